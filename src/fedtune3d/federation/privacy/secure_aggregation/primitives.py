"""Cryptographic primitives of the protocol, all from libraries: X25519, HKDF, ChaCha20, Ed25519 and Shamir's scheme.

No algorithm is implemented here. Secrets are drawn from the system's random number generator.
"""

import secrets
from collections.abc import Mapping, Sequence

import torch
from Crypto.Protocol.SecretSharing import Shamir
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

SECRET_BYTES = 32
HALF = SECRET_BYTES // 2
"""Size of a secret in pycryptodome's Shamir scheme, over GF(2^128); 32 bytes are shared in two halves."""
SEALED_SHARES_LENGTH = 2 * (2 * SECRET_BYTES + 16)
"""Hexadecimal digits of two shares as `seal` encrypts them, with its tag of 16 bytes."""
CHUNK = 1 << 15
"""Number of words of a mask generated at a time."""
_ONE_USE = bytes(16)
_ONE_USE_NONCE = bytes(12)


def new_secret() -> str:
    """Draw 32 bytes from the system's random number generator, in hexadecimal."""
    return secrets.token_bytes(SECRET_BYTES).hex()


def public_key(private: str) -> str:
    """Return the X25519 public key of a private key."""
    return X25519PrivateKey.from_private_bytes(bytes.fromhex(private)).public_key().public_bytes_raw().hex()


def agree(private: str, public: str) -> bytes:
    """Return the X25519 shared secret. Raises `ValueError` for a public key of small order."""
    return X25519PrivateKey.from_private_bytes(bytes.fromhex(private)).exchange(
        X25519PublicKey.from_public_bytes(bytes.fromhex(public))
    )


def is_public_key(text: str) -> bool:
    """Return whether an X25519 shared secret can be agreed with a public key, which one of small order prevents."""
    try:
        agree(new_secret(), text)
    except ValueError:
        return False
    return True


def derive(secret: bytes, info: bytes) -> bytes:
    """Derive 32 bytes for one use from a secret by HKDF-SHA256."""
    return HKDF(algorithm=hashes.SHA256(), length=SECRET_BYTES, salt=None, info=info).derive(secret)


def seal(key: bytes, content: bytes, about: bytes) -> str:
    """Encrypt and authenticate with ChaCha20-Poly1305; `key` must not be used for any other content."""
    return ChaCha20Poly1305(key).encrypt(_ONE_USE_NONCE, content, about).hex()


def unseal(key: bytes, sealed: str, about: bytes) -> bytes | None:
    """Decrypt the output of `seal`; None if it is not authentic."""
    try:
        return ChaCha20Poly1305(key).decrypt(_ONE_USE_NONCE, bytes.fromhex(sealed), about)
    except InvalidTag:
        return None


def is_signed(identity: str, signature: str, statement: bytes) -> bool:
    """Return whether an Ed25519 identity signed a statement."""
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(identity)).verify(bytes.fromhex(signature), statement)
    except (InvalidSignature, ValueError):
        return False
    return True


def add_mask(words: torch.Tensor, key: bytes, sign: int) -> None:
    """Add a ChaCha20 key stream to words modulo 2^64, in place, or subtract it.

    Args:
        words: (n,) int64, interpreted as unsigned.
        key: 32 bytes, used for this mask only.
        sign: 1 or -1.
    """
    stream = Cipher(algorithms.ChaCha20(key, _ONE_USE), mode=None).encryptor()
    size = 8 * min(CHUNK, len(words))
    nothing, buffer = bytes(size), bytearray(size)
    mask = torch.frombuffer(buffer, dtype=torch.int64)
    for start in range(0, len(words), CHUNK):
        part = words[start : start + CHUNK]
        stream.update_into(nothing, buffer)
        part.add_(mask[: len(part)], alpha=sign)


def share_secret(secret: str, threshold: int, holders: Sequence[str]) -> dict[str, str]:
    """Share 32 bytes among holders, in their order: any `threshold` of them can recover it, fewer learn nothing."""
    content = bytes.fromhex(secret)
    halves = [Shamir.split(threshold, len(holders), content[at : at + HALF], ssss=False) for at in (0, HALF)]
    return {holder: (first[1] + second[1]).hex() for holder, first, second in zip(holders, *halves, strict=True)}


def join_secret(shares: Mapping[str, str], holders: Sequence[str]) -> str:
    """Recover a secret from the shares of at least `threshold` holders; wrong shares are not detected."""
    parts = [(holders.index(holder) + 1, bytes.fromhex(share)) for holder, share in sorted(shares.items())]
    return b"".join(
        Shamir.combine([(index, part[at : at + HALF]) for index, part in parts], ssss=False) for at in (0, HALF)
    ).hex()
