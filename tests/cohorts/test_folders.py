"""The folders of a BIDS-like data set, walked in a fixed order."""

from pathlib import Path

import pytest

from fedtune3d._utils.errors import InputError
from fedtune3d.cohorts.folders import anat_folders, read_people_of, readable, t1w_files


def test_sessions_come_in_the_order_of_their_numbers_and_other_folders_are_passed_over(tmp_path: Path) -> None:
    for name in ("sub-2/anat", "sub-10/ses-M12/anat", "sub-10/ses-M6/anat", "sub-3/func", "derivatives/sub-1/anat"):
        (tmp_path / name).mkdir(parents=True)
    assert [(person, session) for person, session, _ in anat_folders(tmp_path)] == [
        *(("sub-2", ""), ("sub-10", "ses-M6"), ("sub-10", "ses-M12"))
    ]


def test_only_t1w_scans_are_taken(tmp_path: Path) -> None:
    wanted = ["sub-1_run-2_T1w.nii.gz", "sub-1_run-10_T1w.nii"]
    for name in (*wanted, "._sub-1_T1w.nii.gz", "sub-1_T2w.nii.gz", "sub-1_T1w.json"):
        (tmp_path / name).touch()
    assert [path.name for path in t1w_files(tmp_path)] == wanted


def test_derivatives_take_the_table_of_the_raw_folder_above(tmp_path: Path) -> None:
    derivatives = tmp_path / "derivatives" / "fmriprep"
    derivatives.mkdir(parents=True)
    with pytest.raises(InputError, match=r"participants\.tsv: expected a table of participants, found none"):
        read_people_of(derivatives, {}, None)
    (tmp_path / "participants.tsv").write_text("participant_id\nsub-1\n")
    assert read_people_of(derivatives, {}, None).ids == ["sub-1"]
    (derivatives / "participants.tsv").write_text("participant_id\nsub-2\n")
    assert read_people_of(derivatives, {}, None).ids == ["sub-2"]


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none: expected a readable folder"), readable(tmp_path):
        list(anat_folders(tmp_path / "none"))
