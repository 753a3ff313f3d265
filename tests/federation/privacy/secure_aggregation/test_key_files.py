"""A site makes its key once, and trusts others by what people compared."""

import stat
from pathlib import Path

import pytest
import yaml
from command_line import call

from fedtune3d._utils.errors import InputError
from fedtune3d.federation.privacy.secure_aggregation.identity import Identity
from fedtune3d.federation.privacy.secure_aggregation.key_files import (
    add_trusted,
    make_identity,
    read_identity,
    read_trusted,
)


def test_a_key_is_made_once_and_for_this_user_only(tmp_path: Path) -> None:
    path = tmp_path / "signing.key"
    with pytest.raises(InputError, match=r"signing\.key: no signing key; make it with `fedtune3d site key`"):
        read_identity(path)
    identity = make_identity(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert make_identity(path).public == identity.public == read_identity(path).public
    path.write_text("nothing")
    with pytest.raises(InputError, match=r"signing\.key: expected an Ed25519 key in PEM"):
        read_identity(path)


def test_trust_is_a_name_and_a_fingerprint(tmp_path: Path) -> None:
    path, fingerprint = tmp_path / "trusted.yaml", Identity.new().fingerprint
    assert read_trusted(path) == {}
    add_trusted(path, "B", fingerprint)
    add_trusted(path, "A", fingerprint)
    assert read_trusted(path) == {"A": fingerprint, "B": fingerprint}
    with pytest.raises(InputError, match="C: expected a fingerprint of eight groups of four letters or digits, got"):
        add_trusted(path, "C", fingerprint[:-1])
    path.write_text("A: 7")
    with pytest.raises(InputError, match=r"trusted\.yaml: A: expected a fingerprint of eight groups of four, got 7"):
        read_trusted(path)


def test_a_site_makes_its_key_and_trusts_another(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "site.yaml").write_text(yaml.safe_dump({"name": "A", "server": "localhost:1", "data": "data"}))
    for _ in range(2):  # a key that is there stays
        code, out, _ = call(capsys, "site", "key", tmp_path)
        assert code == 0
        assert out.split() == ["A", read_identity(tmp_path / "signing.key").fingerprint]
    other = Identity.new().fingerprint
    assert call(capsys, "site", "trust", "B", other, tmp_path)[0] == 0
    assert read_trusted(tmp_path / "trusted.yaml") == {"B": other}
    code, _, err = call(capsys, "site", "trust", "B", "ABCD", tmp_path)
    assert code == 2
    assert "expected a fingerprint" in err
