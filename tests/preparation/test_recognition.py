import errno
import os
from pathlib import Path

import pytest

from fedtune3d._utils.errors import StorageError
from fedtune3d.preparation.recognition import Declared, read_declared


@pytest.mark.parametrize(
    ("name", "done"),
    [
        ("sub-01/anat/sub-01_T1w.nii.gz", set()),
        ("sub-01/anat/sub-01_acq-mprage_T1w.nii", set()),
        ("sub-01/anat/sub-01_desc-brain_T1w.nii.gz", {"brain"}),
        ("sub-01/anat/sub-01_desc-preproc_T1w.nii.gz", {"bias"}),
        ("sub-01/anat/sub-01_space-MNI152NLin2009cAsym_desc-preproc_T1w.nii.gz", {"bias", "register"}),
        ("sub-01/anat/sub-01_space-MNI152Lin_desc-brain_T1w.nii.gz", {"brain", "register"}),
        ("sub-01/anat/sub-01_space-T1w_desc-brain_T1w.nii.gz", {"brain"}),
        (
            "sub-01/ses-M00/t1_linear/sub-01_ses-M00_space-MNI152NLin2009cSym_desc-Crop_res-1x1x1_T1w.nii.gz",
            {"bias", "register"},
        ),
    ],
)
def test_names_say_what_is_done(name: str, done: set[str]) -> None:
    assert read_declared(Path("/nowhere") / name) == Declared(frozenset(done))


def test_a_sidecar_says_whether_the_skull_is_there(tmp_path: Path) -> None:
    scan, sidecar = tmp_path / "sub-01_T1w.nii.gz", tmp_path / "sub-01_T1w.json"
    sidecar.write_text('{"SkullStripped": true}')
    assert read_declared(scan) == Declared(frozenset({"brain"}))
    sidecar.write_text('{"SkullStripped": false}')
    assert read_declared(scan) == Declared(frozenset(), has_skull=True)
    for damaged in ("[]", "{"):
        sidecar.write_text(damaged)
        declared = read_declared(scan)
        assert (declared.done, declared.has_skull) == (frozenset(), False)
        assert str(declared.sidecar_problem).startswith("sub-01_T1w.json: expected a JSON object")


def test_a_failing_machine_is_no_bad_sidecar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bad one makes a bad scan, which a run may leave out."""
    (tmp_path / "sub-01_T1w.json").write_text("{}")

    def fail(path: Path) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(StorageError, match=os.strerror(errno.EIO)):
        read_declared(tmp_path / "sub-01_T1w.nii.gz")


def test_the_mask_of_the_same_space_is_found(tmp_path: Path) -> None:
    for name in ("sub-01_desc-brain_mask.nii.gz", "sub-01_space-MNI152NLin6Asym_desc-brain_mask.nii.gz"):
        (tmp_path / name).touch()
    own = read_declared(tmp_path / "sub-01_desc-preproc_T1w.nii.gz")
    assert own.brain_mask == tmp_path / "sub-01_desc-brain_mask.nii.gz"
    moved = read_declared(tmp_path / "sub-01_space-MNI152NLin6Asym_desc-preproc_T1w.nii.gz")
    assert moved.brain_mask == tmp_path / "sub-01_space-MNI152NLin6Asym_desc-brain_mask.nii.gz"
    assert read_declared(tmp_path / "sub-02_T1w.nii.gz").brain_mask is None
