"""A small experiment or study file, and the problems reported for it."""

from pathlib import Path

import pytest
import yaml

from fedtune3d._utils.errors import InputError
from fedtune3d.config.experiment import Experiment
from fedtune3d.config.study import Study

SMALL = {
    "name": "small",
    "sites": [{"name": "A", "root": "a"}, {"name": "B", "root": "b"}],
    "labels": {"positive": ["AD"], "negative": ["CN"]},
}


def write_small(folder: Path, **changes: object) -> Path:
    """Write a file with two sites and these changes."""
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(SMALL | changes))
    return path


def problems(kind: type[Experiment] | type[Study], path: Path) -> list[str]:
    """Return the lines of the error raised for an invalid file."""
    with pytest.raises(InputError) as caught:
        kind.from_yaml(path)
    return str(caught.value).splitlines()
