import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scan_records import make_record

from fedtune3d._utils.files import forget_verified
from fedtune3d.preparation.fingerprints import voxels_digest
from fedtune3d.preparation.nifti import read_scan
from fedtune3d.preparation.prepare_scan import prepare_scan
from fedtune3d.preparation.settings import PreparationSettings
from fedtune3d.preparation.store import PreparedStore

SaveBrain = Callable[..., Path]


def test_an_entry_is_made_once_and_names_nobody(save_brain: SaveBrain, tmp_path: Path) -> None:
    store = PreparedStore(tmp_path / "store")
    record = make_record(save_brain("sub-Smith_T1w.nii.gz"))
    assert store.find(record) is None
    path = store.get(record)
    assert store.find(record) == path
    assert {file.name for file in store.folder.iterdir()} == {
        f"{path.stem}{kind}" for kind in (".npy", ".npz", ".json")
    }
    written = path.stat().st_mtime_ns
    assert store.get(record) == path
    assert path.stat().st_mtime_ns == written
    np.testing.assert_array_equal(np.load(path, mmap_mode="r"), prepare_scan(record.path).voxels)
    text = path.with_suffix(".json").read_text()
    assert "Smith" not in text
    assert str(tmp_path) not in text
    info = json.loads(text)
    assert info["source_shape"] == [62, 62, 62]
    chosen = {"size": 128, "spacing_mm": 1.5, "steps": "auto", "intensity": "zscore", "device": "cpu"}
    assert info["causes"]["settings"] == chosen
    assert info["brain_ml"] == pytest.approx(1451, rel=0.02)
    assert info["voxels_sha256"] == voxels_digest(read_scan(record.path))
    assert path.stat().st_size < store.entry_bytes


def test_an_entry_is_found_by_its_causes(save_brain: SaveBrain, phantom: SimpleNamespace, tmp_path: Path) -> None:
    store = PreparedStore(tmp_path / "store")
    record = make_record(save_brain())
    path = store.get(record)
    copy = tmp_path / "elsewhere_T1w.nii.gz"
    shutil.copy(record.path, copy)
    assert store.find(make_record(copy)) == path
    otherwise = PreparedStore(tmp_path / "store", PreparationSettings(intensity="none"))
    assert otherwise.find(record) is None
    assert otherwise.get(record) != path
    save_brain(record.path.name, phantom.image(axes="LPS"))
    assert store.find(record) is None


@pytest.mark.ci
def test_a_damaged_entry_is_made_again(save_brain: SaveBrain, tmp_path: Path) -> None:
    store = PreparedStore(tmp_path / "store")
    record = make_record(save_brain())
    path = store.get(record)
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole[:50], b"", b"no array"):
        path.write_bytes(damaged)
        assert store.find(record) is None
        assert store.get(record).read_bytes() == whole
    np.save(path, np.zeros((128, 128, 128), np.float32))
    assert store.get(record).read_bytes() == whole
    path.with_suffix(".json").unlink()
    assert store.get(record).read_bytes() == whole
    assert path.with_suffix(".json").exists()


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".json"])
def test_every_flipped_bit_of_an_entry_is_noticed(save_brain: SaveBrain, tmp_path: Path, suffix: str) -> None:
    store, record = PreparedStore(tmp_path / "cache"), make_record(save_brain())
    path = store.get(record).with_suffix(suffix)
    content, generator = path.read_bytes(), random.Random(suffix)
    for _ in range(20):
        damaged = bytearray(content)
        damaged[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
        path.write_bytes(damaged)
        forget_verified()
        assert store.find(record) is None
    path.write_bytes(content)
    assert store.find(record) == path.with_suffix(".npy")
