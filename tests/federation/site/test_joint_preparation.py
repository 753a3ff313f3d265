"""Sites of a process prepare their scans together, whichever of them is asked first."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fedtune3d._utils.errors import ScanError
from fedtune3d._utils.folders import RunFolder
from fedtune3d._utils.progress import Advance
from fedtune3d.config.experiment import Experiment
from fedtune3d.federation.site.site import Site
from fedtune3d.workflows.sites import make_sites

pytestmark = pytest.mark.ci


class Told:
    """Notes the bars and the last step of each."""

    def __init__(self) -> None:
        self.bars: dict[str, tuple[int, int]] = {}

    @contextmanager
    def bar(self, text: str) -> Iterator[Advance]:
        """Note the steps of a bar."""
        yield lambda done, total: self.bars.update({text: (done, total)})

    def note(self, text: str) -> None:
        """Ignore the line."""


def sites_of(small_experiment: Any, folder: Path, told: Told, only: str | None = None, **changes: object) -> list[Site]:
    experiment = Experiment.from_yaml(small_experiment.write(folder / "run", **changes))
    return make_sites(experiment, RunFolder(experiment.output), told, workers=1, only=only)


def test_the_first_site_that_is_asked_prepares_for_all(
    small_experiment: Any, small_run: RunFolder, tmp_path: Path
) -> None:
    told = Told()
    first, second = sites_of(small_experiment, tmp_path, told)
    assert [record.site for record in second.records] == ["B"] * 10
    assert told.bars == {"preparing scans": (24, 24)}
    told.bars.clear()
    assert [record.site for record in first.records] == ["A"] * 14
    assert told.bars == {}


def test_a_site_alone_is_named(small_experiment: Any, small_run: RunFolder, tmp_path: Path) -> None:
    told = Told()
    (site,) = sites_of(small_experiment, tmp_path, told, only="B")
    assert len(site.records) == 10
    assert told.bars == {"B: preparing scans": (10, 10)}


def test_a_bad_scan_of_another_site_stops_with_the_name_of_that_site(
    small_experiment: Any, small_run: RunFolder, tmp_path: Path
) -> None:
    shutil.copytree(small_experiment.folder / "B", tmp_path / "B")
    scan = tmp_path / "B" / "sub-03" / "anat" / "sub-03_T1w.nii.gz"
    scan.write_bytes(scan.read_bytes()[:2000])
    roots = {"A": small_experiment.folder / "A", "B": tmp_path / "B"}
    changes = {"sites": [{"name": name, "root": str(root)} for name, root in roots.items()]}
    first, _ = sites_of(small_experiment, tmp_path, Told(), **changes)
    with pytest.raises(ScanError, match=f"^site B: {scan}: expected a whole NIfTI file"):
        _ = first.records
    first, second = sites_of(small_experiment, tmp_path, Told(), on_bad_scan="skip", **changes)
    assert [first.prepared.bad, [record.name for record, _ in second.prepared.bad]] == [[], ["sub-03"]]
