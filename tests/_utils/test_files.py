"""Files that are whole or absent."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedtune3d._utils import files
from fedtune3d._utils.errors import StorageError
from fedtune3d._utils.files import (
    atomic_path,
    is_verified,
    mark_verified,
    remove_file,
    write_bytes,
    write_json,
    write_text,
)


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


def test_a_file_is_flushed_before_it_has_its_name_and_its_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, flushed = tmp_path / "file.txt", []
    monkeypatch.setattr(os, "fsync", lambda handle: flushed.append((os.fstat(handle).st_ino, target.exists())))
    write_text(target, "content")
    assert flushed == [(target.stat().st_ino, False), (tmp_path.stat().st_ino, True)]
    write_bytes(tmp_path / "other", b"content", durable=False)
    assert len(flushed) == 2


def test_nan_is_not_json_and_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "values.json", {"loss": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_a_private_file_is_for_its_user_only(tmp_path: Path) -> None:
    write_bytes(tmp_path / "key", b"secret", private=True)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


@pytest.fixture
def umask_027() -> Iterator[None]:
    before = os.umask(0o027)
    yield
    os.umask(before)


def test_permissions_are_those_of_the_umask_even_if_a_writer_replaces_the_file(
    tmp_path: Path, umask_027: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def set_umask(mask: int) -> int:
        raise AssertionError("another thread would create its files with this umask")

    monkeypatch.setattr(os, "umask", set_umask)
    write_text(tmp_path / "text", "")
    with atomic_path(tmp_path / "replaced") as partial:
        partial.unlink()
        partial.touch(0o600)
    monkeypatch.undo()
    assert {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in tmp_path.iterdir()} == {
        "text": "0o640",
        "replaced": "0o640",
    }


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    write_text(tmp_path / "file", "")
    with pytest.raises(StorageError, match="file"):
        write_text(tmp_path / "file" / "inside.txt", "")


def test_what_is_remembered_of_files_does_not_grow_with_their_versions(tmp_path: Path) -> None:
    before, update = len(files._verified), tmp_path / "update"
    for number in range(100):  # a site's update in each round
        write_text(update, str(number))
        assert not is_verified(update)
        mark_verified(update)
        assert is_verified(update)
    assert len(files._verified) == before + 1
    remove_file(update)
    assert len(files._verified) == before
    remove_file(update)  # which is not there any more
