"""An identity survives its file, and a fingerprint names one key."""

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from fedtune3d.federation.privacy.secure_aggregation.identity import Identity, fingerprint_of, is_fingerprint


def test_an_identity_survives_its_file() -> None:
    identity = Identity.new()
    again = Identity.from_pem(identity.to_pem())
    assert again.public == identity.public
    assert again.sign(b"x") == identity.sign(b"x")


def test_other_files_are_refused() -> None:
    other = X25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for content, line in ((b"nothing", "expected an Ed25519 key in PEM"), (other, "got a key of another kind")):
        with pytest.raises(ValueError, match=line):
            Identity.from_pem(content)


def test_a_fingerprint_can_be_read_aloud() -> None:
    # SHA-256 of 32 zero bytes begins 66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3.
    assert fingerprint_of("00" * 32) == "MZUH-VLPY-MK6X-O3EP-YGFY-5H4O-EAEJ-OFEF"
    assert is_fingerprint(Identity.new().fingerprint)
    assert not is_fingerprint("MZUH-VLPY")
    assert not is_fingerprint("mzuh-vlpy-mk6x-o3ep-ygfy-5h4o-eaej-ofef")
