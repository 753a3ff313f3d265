"""Keys and certificates are exchanged without a new federation."""

import os
import stat
from pathlib import Path

import pytest

pytest.importorskip("flwr")

from cryptography.x509 import load_pem_x509_certificate

from fedtune3d._utils.errors import InputError
from fedtune3d.federation.flower.keys import fingerprint, renew_site_key
from fedtune3d.federation.flower.server_folder import ServerFolder


@pytest.fixture
def folder(tmp_path: Path) -> ServerFolder:
    """A server's folder with site A, made under a careless umask."""
    before = os.umask(0)
    try:
        return ServerFolder.make(tmp_path / "server", "localhost:9092", ["A"])
    finally:
        os.umask(before)


def test_secrets_are_for_their_account_alone_whatever_the_umask(folder: ServerFolder) -> None:
    site = folder.paths.site("A")
    for path in (folder.paths.key, folder.paths.authority_key, site.key):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    for path in (folder.path, site.path, folder.public_key("A").parent):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700, path


def test_a_site_gets_a_new_key(folder: ServerFolder) -> None:
    site = folder.paths.site("A")
    before = folder.public_key("A").read_bytes()
    shown = renew_site_key(site.path, "A")
    assert site.key.with_name("site.key.old").exists()
    assert stat.S_IMODE(site.key.stat().st_mode) == 0o600
    assert folder.set_key("A", site.public_key) == shown == fingerprint(site.public_key)
    assert folder.public_key("A").read_bytes() == site.public_key.read_bytes() != before


def test_only_a_key_of_a_known_site_is_taken(folder: ServerFolder, tmp_path: Path) -> None:
    (tmp_path / "none.pub").write_text("no key")
    with pytest.raises(InputError, match="expected a public key in OpenSSH format"):
        folder.set_key("A", tmp_path / "none.pub")
    with pytest.raises(InputError, match="the server knows no such site"):
        folder.set_key("B", folder.paths.site("A").public_key)
    with pytest.raises(InputError, match="no such file; the server's operator makes the first one"):
        renew_site_key(tmp_path, "A")


@pytest.mark.parametrize("name", ["../B", "a/b", "/tmp/x", "", ".", "a b", "x" * 65, "A\n"])
def test_no_name_is_a_path(folder: ServerFolder, name: str) -> None:
    with pytest.raises(InputError, match="expected at most 64 letters, digits, - and _"):
        ServerFolder.make(folder.path, "localhost:9092", [name])
    with pytest.raises(InputError, match="expected at most 64 letters, digits, - and _"):
        folder.set_key(name, folder.paths.site("A").public_key)


def test_the_server_gets_a_new_certificate_of_the_same_authority(folder: ServerFolder) -> None:
    authority, before = folder.paths.authority.read_bytes(), folder.paths.certificate.read_bytes()
    folder.renew_certificate()
    renewed = load_pem_x509_certificate(folder.paths.certificate.read_bytes())
    assert folder.paths.authority.read_bytes() == authority
    assert folder.paths.certificate.read_bytes() != before
    renewed.verify_directly_issued_by(load_pem_x509_certificate(authority))
    folder.paths.authority_key.unlink()
    with pytest.raises(InputError, match="put the authority's key back to renew"):
        folder.renew_certificate()
