"""The names of files: no two files of a folder share one, and a site's half is apart from the rest."""

import dataclasses
import inspect
from pathlib import Path
from typing import Any

import pytest

from fedtune3d._utils import folders
from fedtune3d._utils.folders.cache import CacheFolder, PreparedPaths, SiteCache
from fedtune3d._utils.folders.deployment import ServerPaths, SitePaths, SiteWork
from fedtune3d._utils.folders.export import AdapterPaths, ExportFolder, scan_stem
from fedtune3d._utils.folders.rounds import RoundsPaths
from fedtune3d._utils.folders.run import MlflowPaths, RunFolder
from fedtune3d._utils.folders.simulation import SimulationFolder
from fedtune3d._utils.folders.site import SiteFolder, memory_version, memory_versions
from fedtune3d._utils.folders.study import StudyFolder

KINDS = [
    *(AdapterPaths, ExportFolder, MlflowPaths, RoundsPaths, RunFolder, ServerPaths, SimulationFolder, SiteCache),
    *(SiteFolder, SitePaths, SiteWork, StudyFolder),
]
SAME = {RunFolder: {"best_checkpoint"}}
"""Properties that are meant to name a path that another one names."""


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_file_of_a_folder_has_a_name_of_its_own_inside_it(kind: type[Any]) -> None:
    folder = kind(Path("folder"))
    paths: dict[Path, str] = {}
    for name, _ in inspect.getmembers(kind, lambda member: isinstance(member, property)):
        path = getattr(folder, name)
        if not isinstance(path, Path) or name in SAME.get(kind, set()):
            continue
        assert path not in paths, f"{name} and {paths.get(path)}"
        assert path.is_relative_to("folder")
        assert path != Path("folder")
        paths[path] = name
    assert paths


def test_every_kind_of_folder_is_tried() -> None:
    exported = {getattr(folders, name) for name in folders.__all__}
    kinds = {thing for thing in exported if dataclasses.is_dataclass(thing)}
    assert kinds - {*KINDS, CacheFolder, PreparedPaths} == set()


def test_what_stays_at_a_site_is_under_its_own_folder() -> None:
    run = RunFolder(Path("run"))
    site = run.site("A")
    at_site = [site.splits, site.flow, site.egress, site.example("x"), site.saliency, site.predictions(), site.memory()]
    assert all(path.is_relative_to("run/sites/A") for path in at_site)
    may_leave = [run.summary("A"), run.saliency_map("A", "trained"), run.feature_statistics("A"), run.local_rounds("A")]
    assert not any(Path(getattr(path, "path", path)).is_relative_to("run/sites") for path in may_leave)


def test_methods_and_namespaces_have_files_of_their_own() -> None:
    site = SiteFolder(Path("A"))
    assert site.predictions("local") != site.predictions()
    assert site.memory("local") != site.memory()
    run = RunFolder(Path("run"))
    ledgers = {rounds.ledger for rounds in (run.rounds, run.local_rounds("A"), run.rounds_without("A"))}
    assert len(ledgers | {run.centralized_rounds.ledger}) == 4


def test_versions_of_a_memory_are_found_by_number(tmp_path: Path) -> None:
    for version in (2, 10):
        memory_version(tmp_path, version).touch()
    (tmp_path / "other.safetensors").touch()
    assert memory_versions(tmp_path) == {2: memory_version(tmp_path, 2), 10: memory_version(tmp_path, 10)}


def test_memories_of_a_rule_come_oldest_first(tmp_path: Path) -> None:
    rounds = RoundsPaths(tmp_path)
    rounds.checkpoints.mkdir()
    for round_ in (10, 9):
        rounds.rule_memory(round_).touch()
    rounds.last.touch()
    assert rounds.rule_memories() == [rounds.rule_memory(9), rounds.rule_memory(10)]


def test_the_cache_lists_its_sites(tmp_path: Path) -> None:
    cache = CacheFolder(tmp_path)
    for site in ("B", "A"):
        cache.site(site).prepared.mkdir(parents=True)
    (tmp_path / "a file").touch()
    assert list(cache.sites()) == ["A", "B"]


def test_a_prepared_scan_is_three_files() -> None:
    assert [path.name for path in PreparedPaths(Path("ab.npy")).all] == ["ab.npy", "ab.npz", "ab.json"]


@pytest.mark.parametrize(("scan", "stem"), [("sub-1/ses-2", "sub-1_ses-2"), ("x.nii.gz", "x"), ("x.nii", "x")])
def test_a_scan_as_part_of_a_file_name(scan: str, stem: str) -> None:
    assert scan_stem(scan) == stem
