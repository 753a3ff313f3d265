"""Checks of the server's certificate, before anything listens with it."""

from datetime import UTC, datetime
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import Certificate, InvalidVersion, load_pem_x509_certificate

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.folders import ServerPaths

COPIES = "put back an intact copy; each site has one in its folder"
RENEW = "make a new one with `fedtune3d server renew`"


def require_certificates(paths: ServerPaths) -> None:
    """Check that the authority signed the server's certificate, that it is valid today, and that the key belongs to it.

    Raises:
        InputError: Naming the first file that is missing, damaged, out of date or of another pair.
    """
    authority = read_certificate(paths.authority, COPIES)
    certificate = read_certificate(paths.certificate, RENEW)
    _require_issued(paths.authority, authority, authority, COPIES)
    _require_issued(paths.certificate, certificate, authority, RENEW)
    for path, found in ((paths.authority, authority), (paths.certificate, certificate)):
        if not found.not_valid_before_utc <= datetime.now(UTC) <= found.not_valid_after_utc:
            dates = f"{found.not_valid_before_utc:%Y-%m-%d} to {found.not_valid_after_utc:%Y-%m-%d}"
            raise InputError(f"{path}: valid from {dates} only; check this machine's clock, or {RENEW}")
    try:
        key = load_pem_private_key(paths.key.read_bytes(), None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:  # TypeError: the key is encrypted
        raise InputError(f"{paths.key}: expected the server's private key; {error}; {RENEW}") from None
    if key.public_key() != certificate.public_key():
        raise InputError(f"{paths.key}: is not the key of {paths.certificate.name}; {RENEW}")


def read_certificate(path: Path, advice: str) -> Certificate:
    """Read a certificate. Raises `InputError` with the advice if the file is missing or damaged."""
    try:
        return load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError, InvalidVersion, UnsupportedAlgorithm) as error:
        raise InputError(f"{path}: expected a certificate; {error}; {advice}") from None


def _require_issued(path: Path, certificate: Certificate, authority: Certificate, advice: str) -> None:
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
        raise InputError(f"{path}: was changed, or not signed by this federation's authority; {advice}") from None
