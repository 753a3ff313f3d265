from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from fedtune3d._utils.errors import InputError
from fedtune3d.cohorts.flow import count_flow
from fedtune3d.cohorts.labels import LabelMapping
from fedtune3d.cohorts.reading import list_diagnoses, read_site
from fedtune3d.cohorts.records import Cohort

Save = Callable[..., Path]
LABELS = LabelMapping(positive=("AD",), negative=("CN",))
HEADER = "participant_id\tdiagnosis\tage\tsex\tgroup_id\n"
TWO = HEADER + "sub-01\tAD\t72\tF\tn/a\nsub-02\tCN\t70.5\tM\tn/a\n"


def left_out(cohort: Cohort) -> dict[str, tuple[int, int]]:
    """Participants and scans by reason."""
    steps = count_flow(cohort).left_out
    return {
        ": ".join(filter(None, (step.reason, step.detail))): (step.counts.participants, step.counts.scans)
        for step in steps
    }


def test_the_folder_above_the_sites_is_no_site(tmp_path: Path, empty_site: Save) -> None:
    """Whether the sites have tables or only people, and whether a table for all of them is given."""
    empty_site(tmp_path / "leiden", TWO, ["sub-01/anat/sub-01_T1w.nii.gz"])
    (tmp_path / "bristol" / "sub-03").mkdir(parents=True)
    (tmp_path / "notes").mkdir()
    for table in (None, tmp_path / "leiden" / "participants.tsv"):
        with pytest.raises(InputError, match=r"look like sites \(bristol, leiden\); name each .* such as .*/bristol$"):
            list_diagnoses(tmp_path, participants=table)
    assert list_diagnoses(tmp_path / "leiden") == Counter({"AD": 1, "CN": 1})


def test_reads_labels_covariates_and_paths(tmp_path: Path, empty_site: Save) -> None:
    table = HEADER + "sub-02\tCN\t70.5\tM\tperson-7\n01\tAD\t89+\tn/a\t\nsub-10\tAD\tn/a\tF\tn/a\n"
    scans = ["sub-01/anat/sub-01_T1w.nii.gz", "sub-02/anat/sub-02_T1w.nii", "sub-10/anat/sub-10_T1w.nii.gz"]
    cohort = read_site(empty_site(tmp_path, table, scans), "A", LABELS)
    assert cohort.site == "A"
    assert cohort.exclusions == ()
    first, second, third = cohort.records
    assert (first.participant_id, first.label, first.age, first.sex) == ("sub-01", 1, 89.0, None)
    assert (first.group_id, first.group_declared, first.diagnosis) == ("sub-01", False, "AD")
    assert (second.participant_id, second.label, second.age, second.sex) == ("sub-02", 0, 70.5, "M")
    assert (second.group_id, second.group_declared) == ("person-7", True)
    assert (third.participant_id, third.session_id, third.age) == ("sub-10", "", None)
    assert [record.path for record in cohort.records] == [tmp_path / scan for scan in scans]
    assert first.name == "sub-01"


def test_counts_what_is_left_out_by_reason(tmp_path: Path, empty_site: Save) -> None:
    table = TWO + "sub-03\tMCI\t70\tF\t\nsub-04\tMCI\t70\tF\t\nsub-05\tn/a\t70\tF\t\nsub-06\tAD\t70\tF\t\n"
    scans = [
        "sub-01/anat/sub-01_run-10_T1w.nii.gz",
        "sub-01/anat/sub-01_run-2_T1w.nii.gz",
        "sub-01/anat/._sub-01_run-1_T1w.nii.gz",
        "sub-01/anat/sub-01_T2w.nii.gz",
        "sub-01/anat/sub-01_T1w.json",
        "sub-01/dwi/sub-01_T1w.nii.gz",
        "sub-02/anat/sub-02_T1w.nii.gz",
        "sub-03/anat/sub-03_T1w.nii.gz",
        "sub-99/anat/sub-99_T1w.nii.gz",
        "sub-99/ses-1/anat/sub-99_ses-1_T1w.nii.gz",
        "derivatives/sub-01/anat/sub-01_T1w.nii.gz",
    ]
    cohort = read_site(empty_site(tmp_path, table, scans), "A", LABELS)
    assert [record.path.name for record in cohort.records] == ["sub-01_run-2_T1w.nii.gz", "sub-02_T1w.nii.gz"]
    assert left_out(cohort) == {
        "not in the table": (1, 2),
        "no T1w scan": (3, 0),
        "further T1w scan of a session": (0, 1),
        "neither positive nor negative: diagnosis MCI": (1, 1),
    }


@pytest.mark.parametrize(
    ("sessions", "expected", "others"),
    [
        ("all", ["ses-M0", "ses-M6", "ses-M12"], 0),
        ("first", ["ses-M0"], 2),
        ("last", ["ses-M12"], 2),
        (("M6", "ses-M12"), ["ses-M6", "ses-M12"], 1),
        ("M6", ["ses-M6"], 2),
    ],
)
def test_chooses_sessions_in_the_order_of_their_numbers(
    tmp_path: Path, sessions: str | tuple[str, ...], expected: list[str], others: int, empty_site: Save
) -> None:
    scans = [f"sub-01/ses-{name}/anat/sub-01_ses-{name}_T1w.nii.gz" for name in ("M12", "M0", "M6")]
    (tmp_path / "sub-01" / "ses-M24" / "anat").mkdir(parents=True)  # a session without a T1w scan is not the last one
    cohort = read_site(empty_site(tmp_path, TWO, scans), "A", LABELS, sessions)
    assert [record.session_id for record in cohort.records] == expected
    assert cohort.records[0].name == f"sub-01_{expected[0]}"
    assert left_out(cohort).get("session not chosen", (0, 0)) == (0, others)


def test_a_participant_after_whom_a_group_is_named_belongs_to_it(tmp_path: Path, empty_site: Save) -> None:
    table = HEADER + "sub-01\tAD\t72\tF\tn/a\nsub-02\tAD\t72\tF\tsub-01\n"
    cohort = read_site(empty_site(tmp_path, table, [f"sub-0{i}/anat/sub-0{i}_T1w.nii" for i in (1, 2)]), "A", LABELS)
    assert [(record.group_id, record.group_declared) for record in cohort.records] == [("sub-01", True)] * 2


@pytest.mark.parametrize(
    "table",
    [
        b"\xef\xbb\xbf" + TWO.encode(),
        TWO.replace("\n", "\r\n").encode(),
        TWO.replace("\n", "\r").encode(),
        TWO.rstrip().encode(),
        TWO.replace("\n", "\t\n").encode(),
        (TWO + "\n\t\t\t\t\n").encode(),
        TWO.replace("AD", '"AD"').replace("participant_id", '"participant_id"').encode(),
        TWO.replace("AD", " AD ").encode(),
    ],
    ids=["BOM", "CRLF", "CR", "no last newline", "trailing tabs", "blank lines", "quotes", "blanks"],
)
def test_tolerates_how_tables_are_saved(tmp_path: Path, table: bytes, empty_site: Save) -> None:
    root = empty_site(tmp_path, table, [f"sub-0{i}/anat/sub-0{i}_T1w.nii" for i in (1, 2)])
    assert [(record.participant_id, record.label) for record in read_site(root, "A", LABELS).records] == [
        ("sub-01", 1),
        ("sub-02", 0),
    ]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (None, r"participants\.tsv: expected a table of participants, found none"),
        ("", r"participants\.tsv: expected a header with participant_id, found an empty file"),
        (
            "participant_id\tgroup\tage\nsub-01\tAD\t70\n",
            "a column diagnosis, found the columns participant_id, group, age",
        ),
        ("participant_id,diagnosis\nsub-01,AD\n", "found the columns participant_id,diagnosis; is it tab-separated"),
        ("participant_id\tdiagnosis\tdiagnosis\nsub-01\tAD\tCN\n", "expected each column once, found diagnosis twice"),
        ("participant_id\tdiagnosis\nsub-01\tAD\t70\n", "line 2: expected 2 fields as in the header, got 3"),
        ("participant_id\tdiagnosis\nn/a\tAD\n", "line 2: expected a participant_id, got none"),
        (TWO + "01\tCN\t70\tM\tn/a\n", "sub-01 is in lines 2 and 4; keep one"),
        ((HEADER + "sub-01\tDémence\t1\tF\t\n").encode("latin-1"), "found diagnosis Démence: 1"),
        (TWO.encode("utf-16"), "expected UTF-8 text, found zero bytes"),
        (
            HEADER + "sub-01\tMCI\t\t\t\nsub-02\tMCI\t\t\t\nsub-03\tPD\t\t\t\nsub-04\t\t\t\t\n",
            r"positive \(AD\) or negative \(CN\), found diagnosis MCI: 2, diagnosis PD: 1, diagnosis missing: 1",
        ),
        (HEADER, "found no participant"),
        (
            TWO,
            r"at least one usable scan .* found none \(no T1w scan: 2, not in the table: 1\)",
        ),
    ],
)
def test_bad_tables_are_refused_in_one_line(
    tmp_path: Path, table: str | bytes | None, message: str, empty_site: Save
) -> None:
    root = empty_site(tmp_path / "site", table, ["sub-77/anat/sub-77_T1w.nii.gz"])
    with pytest.raises(InputError, match=message) as caught:
        read_site(root, "A", LABELS)
    assert "\n" not in str(caught.value)
    assert str(root) in str(caught.value)


def test_no_session_of_that_name_is_an_error(tmp_path: Path, empty_site: Save) -> None:
    root = empty_site(tmp_path, TWO, ["sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz"])
    with pytest.raises(InputError, match="session not chosen: 1"):
        read_site(root, "A", LABELS, ("M12",))


def test_missing_root_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none: expected a BIDS or CAPS folder or a \.tsv of paths, found nothing"):
        read_site(tmp_path / "none", "A", LABELS)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file: expected a BIDS or CAPS folder or a \.tsv of paths, found a file"):
        read_site(tmp_path / "file", "A", LABELS)


def test_lists_diagnoses_for_the_user_to_sort(tmp_path: Path, empty_site: Save) -> None:
    root = empty_site(tmp_path, TWO + "sub-03\tMCI\t\t\t\nsub-04\tMCI\t\t\t\nsub-05\tn/a\t\t\t\n", [])
    assert list_diagnoses(root) == Counter({"MCI": 2, "AD": 1, "CN": 1, "n/a": 1})
