"""The environment of a run: versions, device, and the source of the encoder's weights."""

import importlib.metadata
import platform
from collections.abc import Mapping
from dataclasses import dataclass

from fedtune3d.config.feature_versions import FeatureVersions
from fedtune3d.evaluation.metrics import WeightsSource
from fedtune3d.models.hub import HubOrigin

VERSIONED = ("fedtune3d", "torch", "numpy", "scipy", "scikit-learn", "nibabel", "torchio", "nilearn", "safetensors")
"""Packages whose versions are recorded."""


@dataclass(frozen=True)
class TracedWeights(WeightsSource):
    """Weights with their origin on the hub; None unless the file came from `fedtune3d weights fetch`."""

    hub: HubOrigin | None


@dataclass(frozen=True)
class Environment:
    """The content of ``environment.json``.

    Attributes:
        versions: Package → version, for `VERSIONED`.
        python: Python version.
        platform: Operating system and processor.
        device: ``cpu`` or ``cuda``.
        threads: Number of CPU threads.
        weights: The encoder's weights before training.
        simulated: Whether any site's scans are simulated.
        started: When the run began, as ISO 8601 with the offset from UTC; None in folders that do not say.
        features: Versions of the encoder and of the preparation; None in folders that do not say.
    """

    versions: Mapping[str, str]
    python: str
    platform: str
    device: str
    threads: int
    weights: TracedWeights
    simulated: bool
    started: str | None = None
    features: FeatureVersions | None = None

    @classmethod
    def here(
        cls,
        *,
        device: str,
        threads: int,
        weights: TracedWeights,
        simulated: bool,
        started: str | None = None,
        features: FeatureVersions | None = None,
    ) -> "Environment":
        """Describe this process."""
        return cls(
            versions={name: importlib.metadata.version(name) for name in VERSIONED},
            python=platform.python_version(),
            platform=platform.platform(),
            device=device,
            threads=threads,
            weights=weights,
            simulated=simulated,
            started=started,
            features=features,
        )
