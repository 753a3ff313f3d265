"""Labelled scans as input to the trainable part of a model: cached features or prepared scans."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from fedtune3d._utils.errors import InputError
from fedtune3d.models.encoders.contract import InputSpec
from fedtune3d.training.augmentation import augment
from fedtune3d.training.features import FeatureCache, FeatureKey, read_features
from fedtune3d.training.prefix import Prefix
from fedtune3d.training.settings import AugmentationSettings


@dataclass(frozen=True)
class LabelledScan:
    """A prepared scan on disk (float16, (s, s, s), named by its key), what it should give, and its site.

    `label` is the index of its class; or, as a float, its number on the scale that the model learns.
    """

    path: Path
    label: int | float
    site: str


class ScanSet(ABC):
    """Scans by index. Keeps only paths and labels in memory.

    Attributes:
        labels: (n,) int64 indices of classes, or float32 numbers.
        first_stage: The stage of the model that receives the inputs.
    """

    def __init__(self, labels: Sequence[int | float], first_stage: int) -> None:
        is_number = any(isinstance(label, float) for label in labels)
        self.labels = torch.tensor(labels, dtype=torch.float32 if is_number else torch.int64)
        self.first_stage = first_stage

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def inputs(self, indices: Sequence[int], views: Sequence[int]) -> torch.Tensor:
        """Return a float32 batch of these scans, each in its view; view 0 is the scan itself."""

    @abstractmethod
    def draw_views(self, count: int, generator: torch.Generator) -> list[int]:
        """Draw a view for each of `count` scans in a training epoch."""


class FeatureSet(ScanSet):
    """Scans whose features are in the cache, one file per scan and view."""

    def __init__(self, files: Sequence[Sequence[Path]], labels: Sequence[int | float], first_stage: int) -> None:
        super().__init__(labels, first_stage)
        self.files = files

    def inputs(self, indices: Sequence[int], views: Sequence[int]) -> torch.Tensor:
        """Return a batch (B, …) of inputs to stage `first_stage`."""
        return read_features(self.files[index][view] for index, view in zip(indices, views, strict=True))

    def draw_views(self, count: int, generator: torch.Generator) -> list[int]:
        """Draw from the cached views with equal probability."""
        return torch.randint(len(self.files[0]), (count,), generator=generator).tolist()


class PreparedSet(ScanSet):
    """Prepared scans, for a model without a prefix; augmented on the fly if `augmentation` is given."""

    def __init__(
        self, scans: Sequence[LabelledScan], input_spec: InputSpec, augmentation: AugmentationSettings | None, seed: int
    ) -> None:
        super().__init__([scan.label for scan in scans], first_stage=0)
        self.scans = scans
        self.input_spec = input_spec
        self.augmentation = augmentation
        self.seed = seed

    def inputs(self, indices: Sequence[int], views: Sequence[int]) -> torch.Tensor:
        """Return a batch (B, 1, s, s, s)."""
        return torch.stack(
            [
                read_view(self.scans[index], self.input_spec, view, self.augmentation, self.seed)
                for index, view in zip(indices, views, strict=True)
            ]
        )

    def draw_views(self, count: int, generator: torch.Generator) -> list[int]:
        """Draw a new augmentation for each scan; view 0, the scan itself, without augmentation."""
        if self.augmentation is None:
            return [0] * count
        return torch.randint(1, 2**62, (count,), generator=generator).tolist()


def open_scans(
    scans: Sequence[LabelledScan],
    prefix: Prefix,
    cache: FeatureCache | None,
    input_spec: InputSpec,
    *,
    augmentation: AugmentationSettings | None = None,
    views: int = 1,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> ScanSet:
    """Open scans as input to the model after `prefix`, encoding those that are not in the cache.

    Args:
        scans: Prepared scans, possibly from several sites; may be empty.
        prefix: The model's prefix; if it is empty, the prepared scans are used directly.
        cache: The feature cache; may be None if the prefix is empty.
        input_spec: The encoder's input specification.
        augmentation: For training; None for scans without augmentation.
        views: Number of cached views per scan: the scan itself and ``views - 1`` augmented ones.
        seed: The run's seed, from which augmentations are drawn.
        progress: Called with (scans encoded, scans to encode) after each scan.

    Raises:
        InputError: If a prepared scan cannot be read, its features are not finite, or the disk is full.
    """
    if prefix.end == 0:
        return PreparedSet(scans, input_spec, augmentation, seed)
    if cache is None:
        raise ValueError("a model with a prefix needs a feature cache, got None")
    if views > 1 and augmentation is None:
        raise ValueError(f"{views} views need augmentation settings, got None")
    wanted: dict[FeatureKey, tuple[LabelledScan, int]] = {}
    keys = []
    for scan in scans:
        for view in range(views):
            keys.append(prefix.key(scan.path.stem, view_name(view, augmentation, seed, scan.site)))
            wanted.setdefault(keys[-1], (scan, view))

    def compute(key: FeatureKey) -> torch.Tensor:
        scan, view = wanted[key]
        return prefix.encode(read_view(scan, input_spec, view, augmentation, seed))

    files = cache.features(keys, compute, progress)
    by_scan = [files[start : start + views] for start in range(0, len(files), views)]
    return FeatureSet(by_scan, [scan.label for scan in scans], prefix.end)


def unencoded(
    scans: Sequence[LabelledScan],
    prefix: Prefix,
    cache: FeatureCache,
    *,
    augmentation: AugmentationSettings | None = None,
    views: int = 1,
    seed: int = 0,
) -> list[LabelledScan]:
    """Return the scans that `open_scans` would encode, except those whose entries in the cache are damaged."""
    if prefix.end == 0:
        return []
    names = {site: view_names(views, augmentation, seed, site) for site in {scan.site for scan in scans}}
    return [scan for scan in scans if count_cached([scan.path], names[scan.site], prefix, cache) < views]


def count_cached(scans: Iterable[Path], views: Sequence[str], prefix: Prefix, cache: FeatureCache) -> int:
    """Count the entries that the cache has of prepared scans in these views; damaged ones are among them."""
    return sum(cache.path(prefix.key(scan.stem, view)).exists() for scan in scans for view in views)


def view_names(views: int, augmentation: AugmentationSettings | None, seed: int, site: str) -> list[str]:
    """Return the names of the first views of a site's scans; see `view_name`."""
    return [view_name(view, augmentation, seed, site) for view in range(views)]


def view_name(view: int, augmentation: AugmentationSettings | None, seed: int, site: str) -> str:
    """Return a view's name, which encodes everything it depends on except the scan; ``"0"`` for the scan itself."""
    if view == 0 or augmentation is None:
        return "0"
    return json.dumps([view, seed, site, asdict(augmentation)], sort_keys=True)


def read_view(
    scan: LabelledScan, input_spec: InputSpec, view: int, augmentation: AugmentationSettings | None, seed: int
) -> torch.Tensor:
    """Read a prepared scan in a view, (1, s, s, s) float32. Raises `InputError` if the file cannot be read."""
    try:
        voxels = np.load(scan.path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{scan.path}: expected a prepared scan (.npy); {error}; prepare the scans again") from error
    tensor = torch.from_numpy(voxels.astype(np.float32))[None]
    if view == 0 or augmentation is None:
        return tensor
    return augment(tensor, input_spec, augmentation, seed, scan.site, scan.path.stem, view)


def pool(sets: Sequence[ScanSet]) -> ScanSet:
    """Join several sets of the same kind into one, in the given order."""
    first = sets[0]
    if isinstance(first, PreparedSet):
        scans = [scan for part in sets if isinstance(part, PreparedSet) for scan in part.scans]
        return PreparedSet(scans, first.input_spec, first.augmentation, first.seed)
    features = [part for part in sets if isinstance(part, FeatureSet)]
    labels = [label for part in features for label in part.labels.tolist()]
    return FeatureSet([files for part in features for files in part.files], labels, first.first_stage)
