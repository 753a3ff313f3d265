"""The names of files: no two files of a folder share one, and a site's half is apart from the rest."""

import dataclasses
import inspect
from pathlib import Path
from typing import Any

import pytest

from fedtune3d._utils import folders
from fedtune3d._utils.folders.cache import CacheFolder, PreparedPaths, SiteCache
from fedtune3d._utils.folders.cross_validation import CrossValidationFolder
from fedtune3d._utils.folders.deployment import ServerPaths, SitePaths, SiteWork
from fedtune3d._utils.folders.export import AdapterPaths, ExportFolder
from fedtune3d._utils.folders.masking import MaskingPaths
from fedtune3d._utils.folders.rounds import RoundsPaths
from fedtune3d._utils.folders.run import MlflowPaths, RunFolder
from fedtune3d._utils.folders.simulation import SimulationFolder
from fedtune3d._utils.folders.site import SiteFolder
from fedtune3d._utils.folders.study import StudyFolder

KINDS = [
    *(AdapterPaths, ExportFolder, MlflowPaths, RoundsPaths, RunFolder, ServerPaths, SimulationFolder, SiteCache),
    *(CrossValidationFolder, MaskingPaths, SiteFolder, SitePaths, SiteWork, StudyFolder),
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
