import json
import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import pytest

from fedtune3d._utils.errors import InputError, ScanError
from fedtune3d.cohorts.records import ScanRecord
from fedtune3d.preparation.fingerprints import voxels_digest
from fedtune3d.preparation.nifti import read_scan
from fedtune3d.preparation.prepared import (
    BACKGROUND,
    PreparationSettings,
    PreparedScan,
    PreparedStore,
    prepare_all,
    prepare_scan,
)

SaveBrain = Callable[..., Path]


def make_record(path: Path, site: str = "A") -> ScanRecord:
    name = path.name.split("_")[0]
    return ScanRecord(
        site=site,
        participant_id=name,
        session_id="",
        path=path,
        label=1,
        group_id=name,
        group_declared=False,
        age=None,
        sex=None,
        diagnosis="AD",
    )


def known_scores(prepared: PreparedScan, phantom: SimpleNamespace) -> tuple[np.ndarray, np.ndarray]:
    """The z-scores that the phantom has on the prepared grid, and where it is brain."""
    intensity = phantom.intensity(phantom.positions(prepared.voxels.shape, prepared.affine))
    brain = intensity > 0
    return (intensity - intensity[brain].mean()) / intensity[brain].std(), brain


def test_a_scan_of_the_grids_spacing_is_copied(save_brain: SaveBrain, phantom: SimpleNamespace) -> None:
    image = phantom.image(spacing=(1.5, 1.5, 1.5))
    prepared = prepare_scan(save_brain(image=image))
    assert prepared.voxels.shape == (128, 128, 128)
    assert prepared.voxels.dtype == np.float16
    source = image.get_fdata()
    shift = np.rint((prepared.affine[:3, 3] - image.affine[:3, 3]) / 1.5).astype(int)
    assert (shift < 0).all()  # the grid is larger than the scan
    inside = tuple(slice(-start, -start + size) for start, size in zip(shift, source.shape, strict=True))
    brain = source > 0
    expected = np.where(brain, (source - source[brain].mean()) / source[brain].std(), BACKGROUND)
    np.testing.assert_allclose(prepared.voxels[inside], expected, atol=2e-3)
    assert np.count_nonzero(prepared.voxels) == pytest.approx(np.count_nonzero(brain), abs=50)


@pytest.mark.parametrize(
    ("spacing", "tilt", "error"),
    [((2.0, 2.0, 2.0), 0.0, 0.03), ((1.0, 1.0, 2.5), 0.0, 0.05), ((2.0, 1.5, 2.0), 0.15, 0.03)],
    ids=["2 mm", "thick slices", "oblique"],
)
def test_prepared_voxels_are_the_known_ones(
    save_brain: SaveBrain, phantom: SimpleNamespace, spacing: tuple[float, float, float], tilt: float, error: float
) -> None:
    prepared = prepare_scan(save_brain(image=phantom.image(spacing=spacing, tilt=tilt)))
    expected, brain = known_scores(prepared, phantom)
    middle = phantom.positions(prepared.voxels.shape, prepared.affine) - [4.0, -18.0, 12.0]
    deep = ((middle / [60.0, 76.0, 58.0]) ** 2).sum(axis=-1) < 1  # 6 mm from the edge, where smoothing blends in zeros
    difference = prepared.voxels.astype(np.float64) - expected
    scale = np.polyfit(expected[deep], prepared.voxels[deep].astype(np.float64), 1)[0]
    assert scale == pytest.approx(1, abs=0.1)
    assert np.sqrt(((difference - difference[deep].mean())[deep] ** 2).mean()) < 0.1
    assert np.corrcoef(prepared.voxels[deep], expected[deep])[0, 1] > 1 - error**2
    assert (prepared.voxels[~brain] != BACKGROUND).mean() < 0.02
    assert (prepared.voxels[brain] == BACKGROUND).mean() < 0.02
    assert prepared.brain_ml == pytest.approx(4 / 3 * np.pi * 66 * 82 * 64 / 1000, rel=0.02)
    np.testing.assert_allclose(prepared.affine[:3, :3], np.eye(3) * 1.5)
    np.testing.assert_allclose(prepared.affine[:3] @ [64, 64, 64, 1], [4.0, -18.0, 12.0], atol=2.6)


def test_scores_in_the_brain_have_mean_zero_and_deviation_one(save_brain: SaveBrain) -> None:
    voxels = prepare_scan(save_brain()).voxels.astype(np.float64)
    assert voxels[voxels != BACKGROUND].mean() == pytest.approx(0, abs=1e-3)
    assert voxels[voxels != BACKGROUND].std() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("axes", ["LIA", "LPS", "PSR", "ASL"])
def test_the_order_of_the_stored_axes_is_irrelevant(save_brain: SaveBrain, phantom: SimpleNamespace, axes: str) -> None:
    spacing = (2.0, 2.5, 3.0)
    straight = prepare_scan(save_brain("sub-01_T1w.nii", phantom.image(spacing)))
    turned = prepare_scan(save_brain("sub-02_T1w.nii", phantom.image(spacing, axes)))
    np.testing.assert_allclose(turned.affine, straight.affine, atol=1e-4)
    np.testing.assert_allclose(turned.voxels.astype(float), straight.voxels.astype(float), atol=5e-3)
    flipped = straight.voxels[::-1]
    assert np.abs(flipped.astype(float) - straight.voxels.astype(float)).max() > 1  # the phantom can tell


def test_gain_and_faint_noise_outside_the_brain_change_little(save_brain: SaveBrain, phantom: SimpleNamespace) -> None:
    image = phantom.image()
    clean = image.get_fdata()
    noise = np.abs(np.random.default_rng(0).normal(0, 2, clean.shape))  # the brain is about 500
    noisy = nibabel.Nifti1Image((40 * (clean + noise)).astype(np.float32), image.affine)
    first = prepare_scan(save_brain(image=image))
    second = prepare_scan(save_brain("sub-02_T1w.nii.gz", noisy))
    np.testing.assert_array_equal(first.affine, second.affine)
    assert np.abs(first.voxels.astype(float) - second.voxels.astype(float)).max() < 0.15


def test_holes_in_the_brain_belong_to_it(save_brain: SaveBrain, phantom: SimpleNamespace) -> None:
    image = phantom.image()
    voxels = image.get_fdata().astype(np.float32)
    middle = tuple(slice(size // 2 - 3, size // 2 + 3) for size in voxels.shape)
    voxels[middle] = 0
    prepared = prepare_scan(save_brain(image=nibabel.Nifti1Image(voxels, image.affine)))
    assert prepared.voxels[64, 64, 64] < -3


def with_skull(phantom: SimpleNamespace) -> nibabel.Nifti1Image:
    image = phantom.image()
    voxels = image.get_fdata()
    head = phantom.positions(voxels.shape, image.affine) - [4.0, -18.0, 12.0]
    around = ((head / [90.0, 100.0, 90.0]) ** 2).sum(axis=-1) < 1
    return nibabel.Nifti1Image((voxels + 300 * (around & (voxels == 0))).astype(np.float32), image.affine)


def test_heads_and_crumbs_are_refused(save_brain: SaveBrain, phantom: SimpleNamespace) -> None:
    with pytest.raises(
        ScanError, match=r"head.nii: expected a brain-extracted scan.* found \d,\d+ mL; raw heads need brain"
    ):
        prepare_scan(save_brain("head.nii", with_skull(phantom)), PreparationSettings(steps=()))
    small = phantom.image()
    small.set_sform(small.affine @ np.diag([0.5, 0.5, 0.5, 1]), code=1)
    with pytest.raises(ScanError, match=r"found 18\d mL; is it cropped, or its spacing wrong\?"):
        prepare_scan(save_brain("small.nii", small))
    mask = nibabel.Nifti1Image((phantom.image().get_fdata() > 0).astype(np.uint8), phantom.image().affine)
    with pytest.raises(ScanError, match=r"mask.nii: .* found one value in the whole brain; is it a mask\?"):
        prepare_scan(save_brain("mask.nii", mask))


@pytest.mark.parametrize("size", [1e6, 3e38])
def test_a_spike_that_flattens_the_rest_is_refused(
    save_brain: SaveBrain, phantom: SimpleNamespace, size: float
) -> None:
    image = phantom.image()
    voxels = image.get_fdata().astype(np.float32)
    voxels[31, 31, 31] = size
    with pytest.raises(ScanError, match=r"within 50 standard deviations of the brain's mean, found one at \d+; clip"):
        prepare_scan(save_brain(image=nibabel.Nifti1Image(voxels, image.affine)))


def test_a_real_head_is_refused_where_brain_extraction_is_left_out(real_data: Path) -> None:
    with pytest.raises(ScanError, match=r"found 3,4\d\d mL; raw heads need brain extraction first"):
        prepare_scan(real_data / "scans" / "chris_T1w.nii.gz", PreparationSettings(steps=()))


def test_a_real_brain_is_centred_and_whole(real_data: Path, tmp_path: Path) -> None:
    image = nibabel.load(real_data / "anatomies" / "anatomy-03.nii.gz")
    labels = np.asarray(image.dataobj)
    brain = (labels > 0) & (labels < 100)
    painted = np.where(brain, 200 + (labels.astype(np.int64) * 37) % 800, 0).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(painted, image.affine), tmp_path / "brain.nii")
    prepared = prepare_scan(tmp_path / "brain.nii")
    assert prepared.brain_ml == pytest.approx(brain.sum() / 1000, rel=1e-3)
    inside = np.argwhere(prepared.voxels != BACKGROUND)
    assert len(inside) * 1.5**3 / 1000 == pytest.approx(prepared.brain_ml, rel=0.03)
    np.testing.assert_allclose((inside.min(axis=0) + inside.max(axis=0)) / 2, [64, 64, 64], atol=3)


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
    smaller = PreparedStore(tmp_path / "store", PreparationSettings(size=96, spacing_mm=2.0))
    assert smaller.find(record) is None
    assert np.load(smaller.get(record)).shape == (96, 96, 96)
    save_brain(record.path.name, phantom.image(axes="LPS"))
    assert store.find(record) is None


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


def make_cohort(save_brain: SaveBrain, phantom: SimpleNamespace) -> list[ScanRecord]:
    """Three scans of site A, of which the middle one is bad, and one of site B."""
    paths = [
        save_brain(f"sub-0{i}_T1w.nii.gz", phantom.image(axes=axes)) for i, axes in enumerate(("RAS", "LPS", "LIA"))
    ]
    bad = save_brain("sub-09_T1w.nii.gz")
    bad.write_bytes(bad.read_bytes()[:2000])
    first, second, third, fourth = paths[0], bad, paths[1], paths[2]
    return [make_record(first), make_record(second), make_record(third), make_record(fourth, "B")]


def test_any_number_of_workers_gives_the_same_files(
    save_brain: SaveBrain, phantom: SimpleNamespace, tmp_path: Path
) -> None:
    records = make_cohort(save_brain, phantom)
    alone, together = PreparedStore(tmp_path / "alone"), PreparedStore(tmp_path / "together")
    seen: list[tuple[int, int]] = []
    one = prepare_all(records, alone, workers=1, on_bad_scan="skip", progress=lambda *counts: seen.append(counts))
    two = prepare_all(records, together, workers=2, on_bad_scan="skip")
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert list(one.paths) == list(two.paths) == [records[0], records[2], records[3]]
    assert one.bad == two.bad
    assert [record.participant_id for record, _ in one.bad] == ["sub-09"]
    assert "sub-09_T1w.nii.gz: expected a whole NIfTI file" in one.bad[0][1]
    for record in one.paths:
        assert one.paths[record].read_bytes() == two.paths[record].read_bytes()
        assert one.paths[record].name == two.paths[record].name
    assert {file.name for file in alone.folder.iterdir()} == {file.name for file in together.folder.iterdir()}


def test_a_bad_scan_stops_the_batch_and_what_was_made_stays(
    save_brain: SaveBrain, phantom: SimpleNamespace, tmp_path: Path
) -> None:
    records = make_cohort(save_brain, phantom)
    store = PreparedStore(tmp_path / "store")
    with pytest.raises(ScanError, match=r"sub-09_T1w.nii.gz: expected a whole NIfTI file"):
        prepare_all(records, store)
    assert store.find(records[0]) is not None
    assert store.find(records[3]) is None
    records[0].path.unlink()
    with pytest.raises(ScanError, match=r"sub-00_T1w.nii.gz: expected a readable scan; No such file"):
        prepare_all(records, store)
    kept = prepare_all(records, store, on_bad_scan="skip")
    assert [record.participant_id for record, _ in kept.bad] == ["sub-00", "sub-09"]


def test_a_site_without_a_usable_scan_is_refused(save_brain: SaveBrain, tmp_path: Path) -> None:
    good, bad = make_record(save_brain()), make_record(save_brain("sub-02_T1w.nii.gz"), "B")
    bad.path.write_bytes(b"")
    with pytest.raises(InputError, match=r"site B: expected a usable scan, but all 1 are bad; the first: .*sub-02_T1w"):
        prepare_all([good, bad], PreparedStore(tmp_path / "store"), on_bad_scan="skip")


def test_a_full_disk_is_noticed_before_anything_is_written(
    save_brain: SaveBrain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = make_record(save_brain())
    store = PreparedStore(tmp_path / "store")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=4_000_000))
    with pytest.raises(InputError, match="store: preparing 1 scans needs 4 MB of disk, but 4 MB are free"):
        prepare_all([record], store)
    assert not store.folder.exists()
    monkeypatch.undo()
    store.get(record)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=0))
    assert list(prepare_all([record], store).paths) == [record]  # nothing is missing


def test_a_killed_preparation_goes_on_to_the_same_files(
    save_brain: SaveBrain, phantom: SimpleNamespace, tmp_path: Path
) -> None:
    axes = ("RAS", "LPS", "LIA", "PSR", "ASL")
    records = [make_record(save_brain(f"sub-0{i}_T1w.nii.gz", phantom.image(axes=code))) for i, code in enumerate(axes)]
    undisturbed, disturbed = PreparedStore(tmp_path / "undisturbed"), PreparedStore(tmp_path / "disturbed")
    prepare_all(records, undisturbed)
    for pattern, count in ((".*.partial.*.npy", 1), ("[!.]*.npy", 2), (".*.partial.*.json", 1), ("[!.]*.json", 3)):
        prepare_until_killed(records, disturbed, pattern, count)
    prepare_all(records, disturbed)
    first, second = (
        {path.name: path.read_bytes() for path in store.folder.iterdir()} for store in (undisturbed, disturbed)
    )
    assert len(first) == 3 * len(axes)
    assert first == second


def prepare_until_killed(records: list[ScanRecord], store: PreparedStore, pattern: str, count: int) -> None:
    """Prepare in a process of its own, killed hard as soon as the store holds so many files of a pattern."""
    process = multiprocessing.get_context("fork").Process(target=prepare_all, args=(records, store))
    process.start()
    while process.is_alive() and len(list(store.folder.glob(pattern))) < count:
        time.sleep(1e-4)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL


@pytest.mark.slow
def test_a_script_without_a_main_guard_may_use_workers(
    save_brain: SaveBrain, phantom: SimpleNamespace, tmp_path: Path
) -> None:
    records = make_cohort(save_brain, phantom)
    script = tmp_path / "script.py"
    script.write_text(
        "import pickle, sys\n"
        "from pathlib import Path\n"
        "from fedtune3d.preparation.prepared import PreparedStore, prepare_all\n"
        "records = pickle.loads(bytes.fromhex(sys.argv[1]))\n"
        "done = prepare_all(records, PreparedStore(Path(sys.argv[2])), workers=2, on_bad_scan='skip')\n"
        "print(len(done.paths), len(done.bad))\n"
    )
    command = [sys.executable, str(script), pickle.dumps(records).hex(), str(tmp_path / "store")]
    result = subprocess.run(command, capture_output=True, text=True, env=os.environ, timeout=120)
    assert result.stdout.split() == ["3", "1"], result.stderr
