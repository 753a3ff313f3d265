"""The primitives as they are put together here, and that their failures show."""

from itertools import combinations

import pytest
import torch

from fedtune3d.federation.privacy.secure_aggregation.identity import Identity
from fedtune3d.federation.privacy.secure_aggregation.primitives import (
    CHUNK,
    add_mask,
    agree,
    derive,
    is_signed,
    join_secret,
    new_secret,
    public_key,
    seal,
    share_secret,
    unseal,
)

# RFC 8439, appendix A.1, test vectors 1 and 2: the key stream of a key and a nonce of zeros.
KEY_STREAM = "76b8e0ada0f13d90405d6ae55386bd28"


def test_a_mask_is_the_key_stream_of_chacha20() -> None:
    words = torch.zeros(2, dtype=torch.int64)
    add_mask(words, bytes(32), 1)
    assert words.numpy().tobytes().hex() == KEY_STREAM


def test_masks_of_several_chunks_cancel() -> None:
    words = torch.arange(2 * CHUNK + 7)
    add_mask(words, bytes(range(32)), 1)
    masked = words.clone()
    assert len(masked.unique()) == len(masked)
    add_mask(words, bytes(range(32)), -1)
    assert torch.equal(words, torch.arange(2 * CHUNK + 7))


def test_two_sites_agree_and_nobody_else_does() -> None:
    one, other, third = new_secret(), new_secret(), new_secret()
    assert agree(one, public_key(other)) == agree(other, public_key(one)) != agree(third, public_key(one))
    with pytest.raises(ValueError):
        agree(one, "00" * 32)  # a point of small order


def test_keys_for_two_uses_differ() -> None:
    assert derive(b"secret", b"one") != derive(b"secret", b"two") != derive(b"other", b"two")


def test_sealed_content_is_bound_to_what_it_is_about() -> None:
    key = derive(b"secret", b"seal")
    sealed = seal(key, b"shares", b"A to B")
    assert unseal(key, sealed, b"A to B") == b"shares"
    assert unseal(key, sealed, b"A to C") is None
    assert unseal(derive(b"other", b"seal"), sealed, b"A to B") is None
    assert unseal(key, "", b"A to B") is None
    flipped = f"{int(sealed[0], 16) ^ 1:x}{sealed[1:]}"
    assert unseal(key, flipped, b"A to B") is None


def test_any_threshold_of_the_shares_makes_the_secret_and_fewer_do_not() -> None:
    secret, holders = new_secret(), ("A", "B", "C", "D")
    shares = share_secret(secret, 3, holders)
    for three in combinations(holders, 3):
        assert join_secret({name: shares[name] for name in three}, holders) == secret
    assert join_secret(shares, holders) == secret
    assert join_secret({name: shares[name] for name in ("A", "B")}, holders) != secret


def test_signatures() -> None:
    identity = Identity.new()
    signature = identity.sign(b"statement")
    assert is_signed(identity.public, signature, b"statement")
    assert not is_signed(identity.public, signature, b"another")
    assert not is_signed(Identity.new().public, signature, b"statement")
    assert not is_signed("ff" * 32, signature, b"statement")
