"""A run warns of sites with few people as `check` does, from what the sites let leave."""

from pathlib import Path

from fedtune3d._utils.folders import RunFolder
from fedtune3d._utils.typed_json import write_typed
from fedtune3d.cohorts.flow import NOBODY, NOTHING_SHOWN, ByClass, Counts, Flow
from fedtune3d.config.experiment import Experiment
from fedtune3d.federation.leak_audit import Finding, LeakAudit
from fedtune3d.workflows.small_sites import with_small_sites


def flow(validation: int) -> Flow:
    """A site of which everybody has one scan, with so many people of each class in validation."""
    many = ByClass((Counts(40, 40), Counts(40, 40)))
    few = ByClass((Counts(validation, validation),) * 2)
    return Flow(NOBODY, (), NOBODY, NOBODY, {"all": many, "train": many, "validation": few, "test": many})


def test_small_sites_are_findings_as_they_are_of_check(tmp_path: Path) -> None:
    site = {"root": "x", "labels": {"positive": "dx == AD", "negative": "dx == CN"}}
    experiment = Experiment.model_validate(
        {"name": "x", "sites": [{"name": name, **site} for name in "ABC"], "output": str(tmp_path)}
    )
    folder = RunFolder(tmp_path)
    write_typed(folder.flow, {"A": flow(9), "B": flow(2), "C": NOTHING_SHOWN})
    known = Finding("warning", "age")
    first, second = with_small_sites(LeakAudit((known,), {}), experiment, folder).findings
    assert first == known
    assert second.level == "warning"
    assert second.text.startswith("fewer than 5 people of a class in validation: B (2 ")
