"""Who was found is who was left out and who was included, in participants and in scans."""

from pathlib import Path
from typing import Any

import pytest

from fedtune3d.cohorts.flow import count_flow, leaving, without_folder
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


def steps(flow: dict[str, Any]) -> dict[tuple[str, str], tuple[int, int]]:
    return {(one["reason"], one["detail"]): (one["participants"], one["scans"]) for one in flow["left_out"]}


def test_a_flow_counted_by_hand() -> None:
    flow = count_flow(Cohort("A", RECORDS, EXCLUSIONS), BAD, SPLITS)
    assert flow["found"] == {"participants": 7, "scans": 13}
    assert list(steps(flow).items()) == [
        (("no T1w scan", ""), (1, 0)),
        (("session not chosen", ""), (0, 3)),
        (("further T1w scan of a session", ""), (0, 1)),
        (("neither positive nor negative", "diagnosis MCI"), (1, 1)),
        (("neither positive nor negative", "diagnosis PD"), (1, 2)),
        (("scan at fault", "expected a whole NIfTI file"), (1, 1)),
        (("scan at fault", "expected finite voxels"), (0, 1)),
    ]
    assert flow["included"] == {"participants": 3, "scans": 4}
    assert flow["both_classes"] == {"participants": 1, "scans": 2}
    assert flow["participants"] == {"all": [1, 2], "train": [0, 1], "validation": [0, 0], "test": [1, 1]}
    assert flow["scans"] == {"all": [2, 2], "train": [1, 1], "validation": [0, 0], "test": [1, 1]}
    assert "sub-" not in str(flow)
    assert "/data" not in str(flow)


@pytest.mark.parametrize("bad", [[], BAD, BAD[:1]])
@pytest.mark.parametrize("exclusions", [(), EXCLUSIONS, EXCLUSIONS[2:]])
def test_found_is_left_out_and_included(exclusions: tuple[Exclusion, ...], bad: list[tuple[ScanRecord, str]]) -> None:
    flow = count_flow(Cohort("A", RECORDS, exclusions), bad)
    for unit in ("participants", "scans"):
        assert flow["found"][unit] == flow["included"][unit] + sum(step[unit] for step in flow["left_out"])
        assert sum(flow[unit]["all"]) == flow["included"][unit]
    assert list(flow["scans"]) == ["all"]


def test_details_and_small_counts_stay() -> None:
    flow = count_flow(Cohort("A", RECORDS, EXCLUSIONS), BAD, SPLITS)
    assert leaving(flow, details=True) == flow
    bare = leaving(flow, details=False)
    assert "MCI" not in str(bare)
    assert steps(bare)["neither positive nor negative", ""] == (2, 3)
    assert steps(bare)["scan at fault", ""] == (1, 2)
    few = leaving(flow, details=True, least=2)
    assert steps(few)["session not chosen", ""] == (0, 3)
    assert steps(few)["neither positive nor negative", "diagnosis PD"] == (None, 2)
    assert few["found"] == {"participants": None, "scans": None}  # which would give the few away
    assert few["included"] == {"participants": None, "scans": None}
    assert few["scans"]["all"] == [None, None]
    assert few["both_classes"] == {"participants": None, "scans": 2}


def test_enough_of_each_is_shown_whole() -> None:
    records = tuple(record(f"sub-{number}", "", number % 2) for number in range(12))
    flow = count_flow(Cohort("A", records), splits={one.group_id: "train" for one in records})
    assert leaving(flow, details=False, least=6) == flow


def test_a_reason_names_no_folder() -> None:
    one = record("sub-1", "ses-1", 0)
    assert without_folder(one, f"{one.path}: expected a scan") == "expected a scan"
    assert without_folder(one, "/data/sub-1.json: expected JSON") == "sub-1.json: expected JSON"
