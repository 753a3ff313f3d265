"""Who was found is who was left out and who was included, in participants and in scans."""

from dataclasses import replace
from pathlib import Path

import pytest

from fedtune3d._utils.typed_json import from_json, to_json
from fedtune3d.cohorts.flow import ByClass, Counts, Flow, count_flow, leaving, without_folder
from fedtune3d.cohorts.records import FURTHER_SCAN, NO_SCAN, NOT_CHOSEN, OTHER_LABEL, Cohort, Exclusion, ScanRecord


def record(participant: str, session: str, label: int) -> ScanRecord:
    path = Path("/data") / f"{participant}_{session}.nii.gz"
    return ScanRecord("A", participant, session, path, label, participant, False, None, None, None)


RECORDS = (
    record("sub-1", "ses-1", 0),
    record("sub-1", "ses-2", 1),
    record("sub-2", "ses-1", 1),
    record("sub-3", "ses-1", 0),
    record("sub-4", "ses-1", 0),
    record("sub-4", "ses-2", 0),
)
EXCLUSIONS = (
    Exclusion("sub-1", NOT_CHOSEN, "", 2),
    Exclusion("sub-1", FURTHER_SCAN, "", 1),
    Exclusion("sub-5", NO_SCAN, "", 0),
    Exclusion("sub-6", NOT_CHOSEN, "", 1),
    Exclusion("sub-6", OTHER_LABEL, "diagnosis MCI", 1),
    Exclusion("sub-7", OTHER_LABEL, "diagnosis PD", 2),
)
BAD = [
    (RECORDS[3], "/data/sub-3_ses-1.nii.gz: expected a whole NIfTI file, but it cannot be read to its end; why"),
    (RECORDS[5], "/data/sub-4_ses-2.nii.gz: expected finite voxels, found 9 NaN or infinite; mask it"),
]
SPLITS = {"sub-1": "train", "sub-2": "test", "sub-4": "test"}


def steps(flow: Flow) -> dict[tuple[str, str], tuple[int | None, int | None]]:
    return {(step.reason, step.detail): (step.counts.participants, step.counts.scans) for step in flow.left_out}


def by_class(*counts: tuple[int | None, int | None]) -> ByClass:
    """From (participants, scans) of the negative and of the positive."""
    return ByClass(tuple(Counts(*pair) for pair in counts))


def test_a_flow_counted_by_hand() -> None:
    flow = count_flow(Cohort("A", RECORDS, EXCLUSIONS), BAD, SPLITS)
    assert flow.found == Counts(7, 13)
    assert list(steps(flow).items()) == [
        (("no T1w scan", ""), (1, 0)),
        (("session not chosen", ""), (0, 3)),
        (("further T1w scan of a session", ""), (0, 1)),
        (("neither positive nor negative", "diagnosis MCI"), (1, 1)),
        (("neither positive nor negative", "diagnosis PD"), (1, 2)),
        (("scan at fault", "expected a whole NIfTI file"), (1, 1)),
        (("scan at fault", "expected finite voxels"), (0, 1)),
    ]
    assert flow.included == Counts(3, 4)
    assert flow.several_classes == Counts(1, 2)
    assert flow.splits == {
        "all": by_class((1, 2), (2, 2)),
        "train": by_class((0, 1), (1, 1)),
        "validation": by_class((0, 0), (0, 0)),
        "test": by_class((1, 1), (1, 1)),
    }
    assert "sub-" not in str(flow)
    assert "/data" not in str(flow)


@pytest.mark.parametrize("bad", [[], BAD, BAD[:1]])
@pytest.mark.parametrize("exclusions", [(), EXCLUSIONS, EXCLUSIONS[2:]])
def test_found_is_left_out_and_included(exclusions: tuple[Exclusion, ...], bad: list[tuple[ScanRecord, str]]) -> None:
    flow = count_flow(Cohort("A", RECORDS, exclusions), bad)
    assert flow.found == sum((step.counts for step in flow.left_out), flow.included)
    assert flow.splits["all"].total == flow.included
    assert list(flow.splits) == ["all"]
    assert from_json(Flow, to_json(flow)) == flow


def test_details_and_small_counts_stay() -> None:
    flow = count_flow(Cohort("A", RECORDS, EXCLUSIONS), BAD, SPLITS)
    assert leaving(flow, details=True) == flow
    bare = leaving(flow, details=False)
    assert "MCI" not in str(bare)
    assert steps(bare)["neither positive nor negative", ""] == (2, 3)
    assert steps(bare)["scan at fault", ""] == (1, 2)
    few = leaving(flow, details=True, min_people=2)
    assert steps(few)["session not chosen", ""] == (0, 3)
    assert steps(few)["neither positive nor negative", "diagnosis PD"] == (None, None)
    assert few.found == Counts(None, None)  # which would give the few away
    assert few.included == Counts(None, None)
    assert few.splits["all"] == ByClass(())
    assert few.several_classes == Counts(None, None)


def test_enough_of_each_is_shown_whole() -> None:
    records = tuple(record(f"sub-{number}", "", number % 2) for number in range(12))
    flow = count_flow(Cohort("A", records), splits={one.group_id: "train" for one in records})
    assert leaving(flow, details=False, min_people=6) == flow


def test_a_reason_names_no_folder() -> None:
    one = record("sub-1", "ses-1", 0)
    assert without_folder(one, f"{one.path}: expected a scan") == "expected a scan"
    assert without_folder(one, "/data/sub-1.json: expected JSON") == "sub-1.json: expected JSON"


def test_people_of_three_classes_are_counted_in_the_last_that_they_have() -> None:
    first, second = (replace(RECORDS[0], participant_id=f"sub-{number}", group_id=f"sub-{number}") for number in (1, 2))
    records = (replace(first, label=0), replace(first, label=2, session_id="ses-9"), replace(second, label=1))
    flow = count_flow(Cohort("A", records), classes=3)
    assert flow.splits["all"] == by_class((0, 1), (1, 1), (1, 1))
    assert flow.several_classes == Counts(1, 2)
    shown = leaving(flow, details=True, min_people=2)
    assert shown.splits["all"] == ByClass(())
    assert shown.splits["all"].total.held_back
