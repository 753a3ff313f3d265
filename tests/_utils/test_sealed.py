"""Sealed files: any flipped bit is noticed, in every format."""

import json
import random
from pathlib import Path

import pytest
import yaml

from fedtune3d._utils.errors import DamagedFileError
from fedtune3d._utils.files import forget_verified
from fedtune3d._utils.sealed import (
    read_sealed_json,
    read_sealed_text,
    recorded_path,
    require_recorded,
    write_sealed_json,
    write_sealed_text,
)

VALUE = {"loss": 0.1 + 0.2, "sites": {"A": [1, 2], "B": None}, "text": "Genève\n"}


def flip_a_bit(path: Path, content: bytes, generator: random.Random) -> None:
    damaged = bytearray(content)
    damaged[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
    path.write_bytes(damaged)


def test_json_comes_back_and_others_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    write_sealed_json(path, VALUE)
    assert read_sealed_json(path) == VALUE
    plain = json.loads(path.read_text())
    assert plain.pop("checksum").startswith("sha256:")
    assert plain == VALUE


def test_yaml_comes_back_and_others_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    write_sealed_text(path, "a: 1\n")
    assert read_sealed_text(path) == "a: 1\n"
    assert yaml.safe_load(path.read_text()) == {"a": 1}


def test_other_formats_stay_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "splits.tsv"
    for text in ("a\tb\n", "c\td\n"):
        write_sealed_text(path, text)
        assert path.read_text() == text
        assert read_sealed_text(path) == text


@pytest.mark.parametrize("name", ["metrics.json", "config.yaml", "splits.tsv"])
def test_every_flipped_bit_is_noticed(tmp_path: Path, name: str) -> None:
    path, generator = tmp_path / name, random.Random(name)
    write_sealed_text(path, json.dumps(VALUE, indent=2) + "\n")
    content = path.read_bytes()
    for _ in range(200):
        flip_a_bit(path, content, generator)
        with pytest.raises(DamagedFileError, match="damaged; copy it again"):
            read_sealed_text(path)


def test_a_kill_between_note_and_rename_leaves_the_content_before(tmp_path: Path) -> None:
    path = tmp_path / "splits.tsv"
    write_sealed_text(path, "before\n")
    content = path.read_bytes()
    write_sealed_text(path, "after\n")
    path.write_bytes(content)  # as if the rename had not come
    assert read_sealed_text(path) == "before\n"


def test_a_file_without_checksum_is_refused(tmp_path: Path) -> None:
    for name, text in {"a.json": "{}\n", "a.yaml": "a: 1\n", "a.tsv": "a\n"}.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(DamagedFileError):
            read_sealed_text(tmp_path / name)


def test_a_recorded_file_is_verified_once_and_again_when_it_changed(tmp_path: Path) -> None:
    path = tmp_path / "map.nii.gz"
    with recorded_path(path) as partial:
        partial.write_bytes(b"voxels")
    require_recorded(path)
    forget_verified()
    path.write_bytes(b"voxelz")
    with pytest.raises(DamagedFileError, match="does not match its checksum"):
        require_recorded(path)
