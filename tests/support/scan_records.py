"""Records of scans that no table names."""

from pathlib import Path

from fedtune3d.cohorts.records import ScanRecord


def make_record(path: Path, site: str = "A") -> ScanRecord:
    """A positive scan whose participant is named by the file; its group is not declared."""
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
