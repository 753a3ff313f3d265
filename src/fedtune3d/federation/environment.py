"""The environment of a run: versions, device, and where the encoder's weights came from."""

import importlib.metadata
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fedtune3d._utils.typed_json import read_typed
from fedtune3d.evaluation.metrics import WeightsSource
from fedtune3d.models.hub import HubOrigin

VERSIONED = ("fedtune3d", "torch", "numpy", "scipy", "scikit-learn", "nibabel", "torchio", "nilearn", "safetensors")
"""Packages whose version is recorded."""


@dataclass(frozen=True)
class TracedWeights(WeightsSource):
    """Weights with their origin on the hub, if `fedtune3d weights fetch` brought the file; else None."""

    hub: HubOrigin | None


@dataclass(frozen=True)
class Environment:
    """What ``environment.json`` holds.

    Attributes:
        versions: Package → version, of `VERSIONED`.
        python: Version.
        platform: Operating system and processor.
        device: ``cpu`` or ``cuda``.
        threads: Of the processor.
        weights: Of the encoder, before training.
        simulated: Whether any site's scans are simulated.
    """

    versions: Mapping[str, str]
    python: str
    platform: str
    device: str
    threads: int
    weights: TracedWeights
    simulated: bool

    @classmethod
    def here(cls, *, device: str, threads: int, weights: TracedWeights, simulated: bool) -> "Environment":
        """Describe this process."""
        return cls(
            versions={name: importlib.metadata.version(name) for name in VERSIONED},
            python=platform.python_version(),
            platform=platform.platform(),
            device=device,
            threads=threads,
            weights=weights,
            simulated=simulated,
        )


def read_environment(path: Path) -> Environment:
    """Read ``environment.json``, as `write_typed` wrote it.

    Raises:
        InputError: Where the file is missing, damaged or of another version; names it.
    """
    return read_typed(Environment, path, "run it again with --resume")
