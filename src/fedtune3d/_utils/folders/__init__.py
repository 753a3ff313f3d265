"""Folders and the names of the files in them, which no other code knows. Only paths; nothing is read here."""

from fedtune3d._utils.folders.cache import CacheFolder, PreparedPaths, SiteCache
from fedtune3d._utils.folders.cross_validation import CrossValidationFolder
from fedtune3d._utils.folders.deployment import SIGNING_KEY, TRUSTED, ServerPaths, SitePaths, SiteWork
from fedtune3d._utils.folders.export import AdapterPaths, ExportFolder
from fedtune3d._utils.folders.masking import MaskingPaths
from fedtune3d._utils.folders.rounds import RoundsPaths
from fedtune3d._utils.folders.run import DEFAULT_OUTPUT, MlflowPaths, RunFolder
from fedtune3d._utils.folders.simulation import SimulationFolder
from fedtune3d._utils.folders.site import (
    SiteFolder,
    memory_version,
    memory_versions,
    release_of_round,
    releases_of_rounds,
)
from fedtune3d._utils.folders.study import StudyFolder

__all__ = [
    "DEFAULT_OUTPUT",
    "SIGNING_KEY",
    "TRUSTED",
    "AdapterPaths",
    "CacheFolder",
    "CrossValidationFolder",
    "ExportFolder",
    "MaskingPaths",
    "MlflowPaths",
    "PreparedPaths",
    "RoundsPaths",
    "RunFolder",
    "ServerPaths",
    "SimulationFolder",
    "SiteCache",
    "SiteFolder",
    "SitePaths",
    "SiteWork",
    "StudyFolder",
    "memory_version",
    "memory_versions",
    "release_of_round",
    "releases_of_rounds",
]
