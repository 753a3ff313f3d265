"""Which session is the first: by the time of the scan where every one is known, else by name."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fedtune3d._utils.errors import InputError
from fedtune3d.cohorts.labels import LabelMapping
from fedtune3d.cohorts.reading import list_diagnoses, read_site

LABELS = LabelMapping(positive=("AD",), negative=("CN",))
SESSIONS = ("baseline", "followup", "screening")


@pytest.fixture
def site(tmp_path: Path, empty_site: Callable[..., Path]) -> Callable[[str], Path]:
    """One person with three sessions and a sessions.tsv of the rows given."""

    def make(rows: str, header: str = "session_id\tacq_time\tdiagnosis\tage\n") -> Path:
        table = "participant_id\tdiagnosis\tage\tsex\nsub-01\tCN\t60\tF\n"
        scans = [f"sub-01/ses-{name}/anat/sub-01_ses-{name}_T1w.nii.gz" for name in SESSIONS]
        root = empty_site(tmp_path, table, scans)
        (root / "sub-01" / "sub-01_sessions.tsv").write_text(header + rows.replace(" ", "\t"))
        return root

    return make


def names(root: Path, sessions: str | tuple[str, ...] = "all") -> list[str]:
    return [one.session_id.removeprefix("ses-") for one in read_site(root, "A", LABELS, sessions).records]


TIMES = (
    "ses-screening 2020-01-01 n/a n/a\nses-baseline 2020-03-01T10:00:00Z n/a n/a\n"
    "followup 2021-01-01T09:00:00 n/a n/a\n"
)


def test_the_time_of_the_scan_says_which_is_first(site: Callable[[str], Path]) -> None:
    root = site(TIMES)
    assert names(root, "first") == ["screening"]
    assert names(root, "last") == ["followup"]
    assert names(root, ("baseline", "ses-followup")) == ["baseline", "followup"]


def test_where_one_time_is_missing_the_names_do(site: Callable[[str], Path]) -> None:
    root = site(TIMES.replace("2020-01-01", "n/a"))
    assert names(root, "first") == ["baseline"]
    assert names(root, "last") == ["screening"]


def test_what_a_session_says_wins(site: Callable[[str], Path]) -> None:
    root = site("baseline n/a n/a 61\nfollowup n/a AD 63.5\n")
    records = {one.session_id: one for one in read_site(root, "A", LABELS).records}
    assert [(one.label, one.age, one.sex) for one in records.values()] == [
        (0, 61.0, "F"),
        (1, 63.5, "F"),
        (0, 60.0, "F"),
    ]
    assert {one.group_id for one in records.values()} == {"sub-01"}
    assert list_diagnoses(root) == {"CN": 1, "AD": 1}


def test_the_first_session_is_chosen_before_its_label_is_asked(site: Callable[[str], Path]) -> None:
    root = site("baseline n/a MCI n/a\n")
    with pytest.raises(InputError, match="session not chosen: 2, neither positive nor negative: 1"):
        read_site(root, "A", LABELS, "first")


def test_covariates_and_labels_may_stand_in_sessions_alone(site: Callable[[str], Path]) -> None:
    root = site("baseline 0\nfollowup 1\nscreening high\n", header="session_id\tCDR\n")
    rules = LabelMapping(positive="CDR >= 1", negative="CDR == 0")
    cohort = read_site(root, "A", rules)
    assert [(one.session_id, one.label, one.diagnosis) for one in cohort.records] == [
        ("ses-baseline", 0, "CN"),
        ("ses-followup", 1, "CN"),
    ]
    assert [(one.reason, one.detail) for one in cohort.exclusions] == [("label not known", "CDR no number")]
    (warning,) = cohort.warnings
    row = "in the row of sub-01 ses-screening"
    assert warning.line == f"participants.tsv: CDR: 1 value without a label; expected a number, got 'high' {row}"
    with pytest.raises(InputError, match=r"expected a column cdr, found the columns .*; did you mean 'CDR'\?"):
        read_site(root, "A", LabelMapping(positive="cdr >= 1", negative="cdr == 0"))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("baseline n/a n/a n/a\nses-baseline n/a n/a n/a\n", "but sub-01 ses-baseline is in lines 2 and 3"),
        ("../x n/a n/a -3\n", "line 2: expected a session_id of letters"),
    ],
)
def test_bad_tables_of_sessions_are_refused(site: Callable[[str], Path], rows: str, message: str) -> None:
    with pytest.raises(InputError, match=r"sub-01_sessions\.tsv") as caught:
        read_site(site(rows), "A", LABELS)
    assert message in str(caught.value)
