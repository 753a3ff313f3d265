"""A site's signing key and the keys that it trusts, as files in the site's folder."""

from pathlib import Path

import yaml

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.files import read_bytes, storage_errors, write_bytes
from fedtune3d._utils.yaml_files import read_yaml
from fedtune3d.federation.privacy.secure_aggregation.identity import Identity, is_fingerprint


def read_identity(path: Path) -> Identity:
    """Read a signing key. Raises `InputError`."""
    try:
        return Identity.from_pem(read_bytes(path))
    except FileNotFoundError:
        raise InputError(f"{path}: no signing key; make it with `fedtune3d site key`") from None
    except ValueError as error:
        raise InputError(f"{path}: {error}; make a new one with `fedtune3d site key`") from None


def make_identity(path: Path) -> Identity:
    """Return the signing key in a file, which is made, for this user only, where there is none."""
    with storage_errors(path):
        if not path.exists():
            write_bytes(path, Identity.new().to_pem(), private=True)
    return read_identity(path)


def read_trusted(path: Path) -> dict[str, str]:
    """Read whom the site trusts: name → fingerprint; nobody where there is no file. Raises `InputError`."""
    if not path.exists():
        return {}
    values = read_yaml(path, if_missing="`fedtune3d site trust` writes it")
    for name, fingerprint in values.items():
        if not isinstance(name, str) or not isinstance(fingerprint, str) or not is_fingerprint(fingerprint):
            raise InputError(f"{path}: {name}: expected a fingerprint of eight groups of four, got {fingerprint!r}")
    return {str(name): str(fingerprint) for name, fingerprint in values.items()}


def add_trusted(path: Path, name: str, fingerprint: str) -> None:
    """Trust a site by the fingerprint of its key, in the place of an earlier one. Raises `InputError`."""
    if not is_fingerprint(fingerprint):
        raise InputError(
            f"{name}: expected a fingerprint of eight groups of four letters or digits, got {fingerprint!r}"
        )
    trusted = read_trusted(path) | {name: fingerprint}
    write_bytes(path, yaml.safe_dump(dict(sorted(trusted.items()))).encode())
