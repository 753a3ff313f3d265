"""The resolved configuration in a run folder, with the release that defines the folder's layout."""

from pathlib import Path
from typing import Any

import yaml

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.json_values import Json
from fedtune3d._utils.sealed import read_sealed_text, write_sealed_text
from fedtune3d._utils.version import __version__
from fedtune3d._utils.yaml_files import read_yaml

FORMAT_KEY = "fedtune3d"
"""Key of `config.yaml` with the release that defines the run folder's layout; absent in folders of 0.1."""

FORMAT = "0.2"
"""Release that last changed the layout of run folders; this version reads no other layout."""


def write_run_config(path: Path, public: dict[str, Json]) -> None:
    """Write the resolved configuration of a run, without paths, to its `config.yaml`, with a checksum."""
    write_sealed_text(path, yaml.safe_dump({FORMAT_KEY: FORMAT} | public, sort_keys=False))


def read_run_config(path: Path) -> dict[str, Any]:
    """Read the resolved configuration of a run from its `config.yaml`.

    Raises:
        InputError: If it is missing, or was written by a version with another layout.
        DamagedFileError: If it is not what was written.
    """
    config = read_yaml(path, if_missing=f"{path.parent} is not a run folder; give the `output` of an experiment")
    written_by = str(config.pop(FORMAT_KEY, "0.1"))
    if written_by != FORMAT:
        raise InputError(
            f"{path}: this run folder needs fedtune3d {written_by}, but this is {__version__}; "
            "use that version, or run the experiment again with another `output`"
        )
    read_sealed_text(path)  # after the version: another layout need not have a checksum
    return config
