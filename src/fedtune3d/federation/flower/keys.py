"""Keys of sites: made, renewed at a site, and exchanged at the server, without a new federation."""

import base64
import hashlib
import os
import subprocess
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.files import write_bytes
from fedtune3d._utils.folders import SitePaths

PRIVATE = 0o077


def call(*command: object) -> None:
    """Run an OpenSSL or OpenSSH program; what it writes is for this user only. Raises `InputError`."""
    arguments = [str(argument) for argument in command]
    try:
        subprocess.run(arguments, check=True, capture_output=True, text=True, umask=PRIVATE)
    except FileNotFoundError:
        raise InputError(f"{arguments[0]}: not found; install OpenSSL and the OpenSSH client") from None
    except subprocess.CalledProcessError as error:
        raise InputError(f"{arguments[0]} failed: {' '.join(error.stderr.split())[-500:]}") from None


def make_site_key(site: SitePaths, name: str) -> None:
    """Make a site's key pair in its folder, in the place of one that is there."""
    for old in (site.key, site.public_key):
        old.unlink(missing_ok=True)
    call("ssh-keygen", "-q", "-t", "ecdsa", "-b", 384, "-N", "", "-C", name, "-f", site.key)


def renew_site_key(folder: Path, name: str) -> str:
    """Make a new key at a site, keep the old one under ``.old``, and return the new one's fingerprint.

    Raises:
        InputError: If the site has no key yet, or ssh-keygen is missing or fails.
    """
    site = SitePaths(folder)
    if not site.key.exists():
        raise InputError(f"{site.key}: no such file; the server's operator makes the first one with `server init`")
    for path in (site.key, site.public_key):
        if path.exists():
            os.replace(path, path.with_name(f"{path.name}.old"))
    make_site_key(site, name)
    return fingerprint(site.public_key)


def read_public_key(path: Path) -> ec.EllipticCurvePublicKey:
    """Read a site's public key. Raises `InputError` where it is no ECDSA key in OpenSSH's format."""
    try:
        key = serialization.load_ssh_public_key(path.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise InputError(f"{path}: expected a public key in OpenSSH format; {error}") from None
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise InputError(f"{path}: expected an ECDSA key (ssh-keygen -t ecdsa -b 384), got another kind")
    return key


def set_site_key(known: Path, given: Path) -> str:
    """Put a site's new public key in the place of the one that the server knows; return its fingerprint.

    Raises:
        InputError: If the server knows no such site, or the file holds no key.
    """
    if not known.exists():
        raise InputError(f"{known}: the server knows no such site; add it with `fedtune3d server init`")
    read_public_key(given)
    write_bytes(known, given.read_bytes(), private=True)
    return fingerprint(known)


def fingerprint(public_key: Path) -> str:
    """The fingerprint as ``ssh-keygen -l`` shows it, to be compared by telephone."""
    blob = base64.b64decode(public_key.read_bytes().split()[1])
    return f"SHA256:{base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip('=')}"
