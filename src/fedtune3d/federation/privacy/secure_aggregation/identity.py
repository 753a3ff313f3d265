"""A site's identity: an Ed25519 key generated at the site, and the fingerprint that people compare."""

import base64
import hashlib
import re
from typing import Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

FINGERPRINT_BYTES = 20
_FINGERPRINT = re.compile(r"([A-Z2-7]{4}-){7}[A-Z2-7]{4}")


class Identity:
    """A signing key; its private half never leaves the site."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    @classmethod
    def new(cls) -> Self:
        """Generate a key with the system's random number generator."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_pem(cls, content: bytes) -> Self:
        """Read a key written by `to_pem`. Raises `ValueError` if it is not one."""
        try:
            key = serialization.load_pem_private_key(content, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise ValueError(f"expected an Ed25519 key in PEM ({error})") from None
        if not isinstance(key, Ed25519PrivateKey):
            raise ValueError("expected an Ed25519 key in PEM, got a key of another kind")
        return cls(key)

    def to_pem(self) -> bytes:
        """Return the key as unencrypted PKCS #8 in PEM."""
        return self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    @property
    def public(self) -> str:
        """The public key, in hexadecimal."""
        return self._key.public_key().public_bytes_raw().hex()

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the public key."""
        return fingerprint_of(self.public)

    def sign(self, statement: bytes) -> str:
        """Sign a statement; the same statement always has the same signature."""
        return self._key.sign(statement).hex()


def fingerprint_of(public: str) -> str:
    """Return the first 160 bits of a public key's SHA-256 in base 32, in groups of four for reading aloud."""
    text = base64.b32encode(hashlib.sha256(bytes.fromhex(public)).digest()[:FINGERPRINT_BYTES]).decode()
    return "-".join(text[start : start + 4] for start in range(0, len(text), 4))


def is_fingerprint(text: str) -> bool:
    """Return whether a text has the form of a fingerprint."""
    return _FINGERPRINT.fullmatch(text) is not None
