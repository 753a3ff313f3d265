"""Scans that a site excludes by a list leave the cohort, and are counted with their reason."""

from pathlib import Path

import pytest

from fedtune3d._utils.errors import InputError
from fedtune3d.cohorts.flow import Counts, count_flow
from fedtune3d.cohorts.records import OTHER_LABEL, REJECTED, Cohort, Exclusion, ScanRecord
from fedtune3d.cohorts.rejected import RejectedScan, read_rejected, without_rejected


def record(person: str, session: str, label: int) -> ScanRecord:
    return ScanRecord("A", person, session, Path(f"{person}{session}.nii"), label, person, False, None, None, None)


COHORT = Cohort(
    "A",
    (
        record("sub-01", "ses-M00", 1),
        record("sub-01", "ses-M12", 1),
        record("sub-02", "", 0),
        record("sub-03", "", 0),
    ),
    (Exclusion("sub-04", OTHER_LABEL, "diagnosis MCI", 1),),
)


def write(folder: Path, *rows: str) -> Path:
    path = folder / "exclude.tsv"
    path.write_text("\n".join(["participant_id\tsession_id\treason", *rows]) + "\n")
    return path


def test_listed_scans_are_left_out_with_their_reason(tmp_path: Path) -> None:
    path = write(tmp_path, "01\tM12\tmotion", "sub-02\tn/a\tlesion", "sub-04\tn/a\tmotion")
    rejected = read_rejected(path)
    assert rejected[0] == RejectedScan("sub-01", "ses-M12", "motion")
    cohort = without_rejected(COHORT, rejected, path)
    assert [kept.name for kept in cohort.records] == ["sub-01_ses-M00", "sub-03"]
    flow = count_flow(cohort)
    assert [(step.reason, step.detail, step.counts) for step in flow.left_out] == [
        (OTHER_LABEL, "diagnosis MCI", Counts(1, 1)),
        (REJECTED, "lesion", Counts(1, 1)),
        (REJECTED, "motion", Counts(0, 1)),  # the person has another scan
    ]
    assert flow.found == Counts(4, 5)


def test_without_a_session_all_scans_of_a_person_are_left_out(tmp_path: Path) -> None:
    path = write(tmp_path, "sub-01\t\tconsent is unclear")
    assert [kept.name for kept in without_rejected(COHORT, read_rejected(path), path).records] == ["sub-02", "sub-03"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["sub-09\tn/a\tmotion"], r"exclude\.tsv: expected scans of this site, got sub-09, which it does not have"),
        (["sub-01\tses-M99\tmotion"], r"got sub-01_ses-M99, which it does not have; correct the row"),
        (["sub-01\tn/a\tx", "sub-02\tn/a\tx", "sub-03\tn/a\tx"], "excludes every usable scan of the site"),
    ],
)
def test_a_list_that_does_not_fit_is_refused(tmp_path: Path, rows: list[str], message: str) -> None:
    path = write(tmp_path, *rows)
    with pytest.raises(InputError, match=message):
        without_rejected(COHORT, read_rejected(path), path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("participant_id\tsession_id\treason\nsub-01\tn/a\tn/a\n", r"line 2: expected a reason"),
        ("participant_id\treason\nsub-01\tmotion\n", "expected a column session_id"),
        ("participant_id\tsession_id\treason\n../x\tn/a\tmotion\n", "expected a participant_id of letters"),
    ],
)
def test_a_malformed_list_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "exclude.tsv").write_text(text)
    with pytest.raises(InputError, match=message):
        read_rejected(tmp_path / "exclude.tsv")
