"""Intensity profiles: the distribution of voxel intensities over all brains of a site."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fedtune3d.preparation.store import load_prepared

POINTS = 256
BANDWIDTH = 0.01
"""Standard deviation of the Gaussian kernel, relative to the width of the grid."""
_FINER = 8
_TAIL = 0.001
_EVERY = 16


@dataclass(frozen=True)
class SiteProfile:
    """The number of a site's scans, and the density of their brain voxels at `grid_points`."""

    scans: int
    density: tuple[float, ...]


@dataclass(frozen=True)
class Profiles:
    """The content of ``profiles.json``: the sites' intensity profiles on one grid.

    Attributes:
        grid: The grid's lowest and highest intensity; None if no profile may leave its site.
        sites: Site → its profile; sites with too few people are left out.
        wasserstein: Pairs of sites with the distance between their profiles, in units of intensity.
    """

    grid: tuple[float, float] | None
    sites: Mapping[str, SiteProfile]
    wasserstein: tuple[tuple[str, str, float], ...]


def load_brain(prepared: Path) -> NDArray[np.float32]:
    """Load the voxels of a prepared scan inside the brain, (n,)."""
    scan = load_prepared(prepared)
    return np.asarray(scan.voxels[scan.brain], np.float32)


def intensity_range(brains: Iterable[NDArray[np.float32]]) -> list[float]:
    """Return the 0.1% and 99.9% quantiles of intensity over every 16th voxel, rounded to two digits."""
    low, high = np.quantile(np.concatenate([brain[::_EVERY] for brain in brains]), (_TAIL, 1 - _TAIL))
    return [float(f"{low:.1e}"), float(f"{high:.1e}")]


def shared_grid(ranges: Iterable[Sequence[float]]) -> tuple[float, float]:
    """Return one range for all sites, extended by 5% on either side."""
    lows, highs = zip(*ranges, strict=True)
    margin = 0.05 * (max(highs) - min(lows)) or 1.0
    return min(lows) - margin, max(highs) + margin


def grid_points(low: float, high: float) -> NDArray[np.float64]:
    """Return the (256,) intensities at which profiles are evaluated."""
    step = (high - low) / POINTS
    return np.asarray(low + step * (np.arange(POINTS) + 0.5), np.float64)


def intensity_profile(
    brains: Iterable[NDArray[np.float32]], low: float, high: float, progress: Callable[[int], None] = lambda done: None
) -> list[float]:
    """Estimate the density of the voxels of all brains at `grid_points`, with a Gaussian kernel.

    The kernel is applied to counts in bins of an eighth of the grid's step, which is a twentieth of its standard
    deviation. Voxels outside the grid are ignored.

    Returns:
        256 numbers with four significant digits, which integrate to 1 over the grid.
    """
    counts = np.zeros(POINTS * _FINER)
    for done, brain in enumerate(brains, start=1):
        counts += np.histogram(brain, bins=len(counts), range=(low, high))[0]
        progress(done)
    smooth = ndimage.gaussian_filter1d(counts, BANDWIDTH * len(counts), mode="constant")
    curve = smooth.reshape(POINTS, _FINER).mean(axis=1)
    curve /= max(float(curve.sum()), 1e-300) * (high - low) / POINTS
    return [float(f"{value:.4g}") for value in curve]


def compare_profiles(low: float, high: float, profiles: Mapping[str, tuple[int, Sequence[float]]]) -> Profiles:
    """Combine profiles on one grid, with the distance between every two.

    Args:
        low: The grid's lowest intensity.
        high: The grid's highest intensity.
        profiles: Site → number of scans, density.
    """
    sites = {site: SiteProfile(scans, tuple(density)) for site, (scans, density) in sorted(profiles.items())}
    distances = tuple(
        (a, b, wasserstein(sites[a].density, sites[b].density, low, high)) for a, b in combinations(sites, 2)
    )
    return Profiles((low, high), sites, distances)


def wasserstein(first: Sequence[float], second: Sequence[float], low: float, high: float) -> float:
    """Compute the first Wasserstein distance of two profiles on one grid, in units of intensity: the area between
    their distribution functions (Vallender, 1974, Theory Probab. Appl. 18:784–786)."""
    step = (high - low) / POINTS
    difference = np.cumsum((np.asarray(first) - np.asarray(second)) * step)
    return float(np.abs(difference).sum() * step)
