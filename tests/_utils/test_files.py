"""Files that are whole or absent."""

import stat
from pathlib import Path

import pytest

from fedtune3d._utils.errors import StorageError
from fedtune3d._utils.files import atomic_path, write_bytes, write_json, write_text


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    target = tmp_path / "new" / "file.txt"
    for text in ("first", "second"):
        write_text(target, text)
        assert target.read_text() == text
    assert list(target.parent.iterdir()) == [target]


def test_what_stops_half_way_leaves_the_file_before(tmp_path: Path) -> None:
    target = tmp_path / "file.txt"
    write_text(target, "before")

    def write_half() -> None:
        with atomic_path(target) as partial:
            partial.write_text("ha")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert target.read_text() == "before"
    assert list(tmp_path.iterdir()) == [target]


def test_nan_is_not_json_and_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "values.json", {"loss": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_a_private_file_is_for_its_user_only(tmp_path: Path) -> None:
    write_bytes(tmp_path / "key", b"secret", private=True)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    write_text(tmp_path / "file", "")
    with pytest.raises(StorageError, match="file"):
        write_text(tmp_path / "file" / "inside.txt", "")
