"""Scans to predict: from files, folders, BIDS folders and tables."""

from pathlib import Path
from typing import Any

import pytest

from fedtune3d._utils.errors import InputError
from fedtune3d.workflows.new_scans import find_scans


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_a_bids_folder_gives_its_t1w_scans_without_a_table(small_experiment: Any, tmp_path: Path) -> None:
    found = find_scans([small_experiment.folder / "B"])
    assert [path.name for path in found] == [f"sub-{number:02d}_T1w.nii.gz" for number in range(10)]
    scan = touch(tmp_path / "bids" / "sub-1" / "ses-1" / "anat" / "sub-1_ses-1_T1w.nii.gz")
    touch(scan.with_name("sub-1_ses-1_T2w.nii.gz"))
    assert find_scans([tmp_path / "bids"]) == [scan]


def test_a_plain_folder_gives_every_nifti_file_below_it(tmp_path: Path) -> None:
    wanted = [touch(tmp_path / "scans" / name) for name in ("2.nii", "10.nii.gz", "deep/1.nii.gz")]
    for other in ("notes.txt", ".hidden.nii.gz"):
        touch(tmp_path / "scans" / other)
    assert sorted(find_scans([tmp_path / "scans"])) == sorted(wanted)
    assert find_scans([tmp_path / "scans"])[:2] == wanted[:2]  # 2 before 10
    assert find_scans([wanted[2], tmp_path / "scans" / "2.nii"]) == [wanted[2], wanted[0]]  # as they are given


def test_a_table_gives_its_paths_from_its_own_folder(tmp_path: Path) -> None:
    scan = touch(tmp_path / "data" / "one.nii.gz")
    (tmp_path / "scans.tsv").write_text("path\tage\ndata/one.nii.gz\t70\n")
    assert find_scans([tmp_path / "scans.tsv"]) == [scan]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.nii.gz", None, "no such file; give NIfTI scans, folders or a .tsv"),
        ("empty", "", "expected NIfTI scans (.nii, .nii.gz) in this folder, found none"),
        ("gone.tsv", "path\nnone.nii.gz\n", "line 2: none.nii.gz: no such file; paths start from"),
        ("bare.tsv", "path\n", "expected a row per scan, found none"),
        ("wrong.tsv", "file\na.nii\n", "expected a column path, found the columns file"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, name: str, content: str | None, said: str) -> None:
    place = tmp_path / name
    if content is not None:
        place.mkdir() if name == "empty" else place.write_text(content)
    with pytest.raises(InputError) as caught:
        find_scans([place])
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
