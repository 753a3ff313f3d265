"""Saliency maps at a site: only a mean map over people and the shares of regions leave it, never one scan's map."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.seeds import numpy_rng
from fedtune3d._utils.state_dicts import State, load_state, save_state
from fedtune3d.config.explain import ExplainSection
from fedtune3d.models.classifier import Classifier
from fedtune3d.models.encoders.contract import InputSpec
from fedtune3d.models.explanation import grad_cam, integrated_gradients, occlusion, places_of
from fedtune3d.models.nearest_centre import NearestCentre
from fedtune3d.preparation.prepared_scan import PreparedScan
from fedtune3d.preparation.store import load_prepared
from fedtune3d.preparation.template import SPACE, Template, load_template
from fedtune3d.preparation.template_space import region_in_scan, template_to_scan, to_template
from fedtune3d.training.prefix import device_of

MAP, REGIONS = "map", "regions"
_FINE_WIDTH = 4
_MATRIX = "template_to_scan"


def place_width(method: str, map_stride: int) -> int:
    """Return the edge length in voxels of one element of the map that leaves; `map_stride` for coarse maps."""
    return _FINE_WIDTH if method == "integrated_gradients" else map_stride


def cannot_explain(model: nn.Module, method: str) -> str | None:
    """Return why this model has no saliency map; None if it can have one."""
    if isinstance(model, Classifier) and isinstance(model.head, NearestCentre):
        return "NCC has no trained weights to randomise for the sanity check"
    if method == "gradcam" and not isinstance(model, Classifier):
        return "Grad-CAM needs a head on an encoder; write explain: occlusion or integrated_gradients"
    if method == "gradcam" and isinstance(model, Classifier) and model.encoder.spec.features.is_vector:
        return "Grad-CAM needs a feature map, not a vector; write explain: occlusion or integrated_gradients"
    return None


def choose(groups: Sequence[str], max_scans: int, *causes: str | int) -> list[int]:
    """Choose the first scan of each group, or a random sample of these if there are more than `max_scans`.

    Args:
        groups: The group of each scan.
        max_scans: The maximum number of scans.
        causes: Seed of the sample.

    Returns:
        Indices of the chosen scans, ascending.
    """
    firsts = sorted({group: index for index, group in reversed(list(enumerate(groups)))}.values())
    if len(firsts) <= max_scans:
        return firsts
    return sorted(int(index) for index in numpy_rng(*causes).choice(firsts, max_scans, replace=False))


def pack_regions(regions: Mapping[str, NDArray[np.bool_]]) -> State:
    """Pack regions on the template's grid into tensors of bits, to be sent."""
    return {name: torch.from_numpy(np.packbits(region)) for name, region in regions.items()}


def unpack_regions(state: State, size: int) -> dict[str, NDArray[np.bool_]]:
    """Unpack the regions of `pack_regions` on a grid of `size`³, by name. Raises `InputError` if malformed."""
    shape = (size**3 // 8,)
    if any(tensor.dtype != torch.uint8 or tensor.shape != shape for tensor in state.values()):
        raise InputError(f"regions: expected the bits of {size}³ voxels each")
    return {
        name: np.unpackbits(tensor.numpy()).reshape((size,) * 3).astype(bool) for name, tensor in sorted(state.items())
    }


@dataclass(frozen=True)
class MapMaker:
    """Compute saliency maps of scans and keep each in a folder at the site, so that a killed site can continue.

    Attributes:
        model: The model to explain, in evaluation mode.
        settings: The method and its options.
        input: Specification of the model's input.
        map_stride: Voxels along each axis of one element of a coarse map.
        regions: Regions on the template's grid; used only for voxel-level maps.
        causes: Hash of the model's state, part of each map's key.
        folder: Folder in which the maps are kept.
        label: The index of the class that the maps are of; None for the last one.
    """

    model: nn.Module
    settings: ExplainSection
    input: InputSpec
    map_stride: int
    regions: Mapping[str, NDArray[np.bool_]]
    causes: str
    folder: Path
    label: int | None = None

    def of(self, path: Path, features: Tensor | None) -> State:
        """Return the map of a prepared scan, computing it if it is not in the folder.

        Args:
            path: The scan's .npy.
            features: The head's input for Grad-CAM, (1, channels, p, p, p).

        Returns:
            ``map``, (p, p, p) float32; ``in_template``, 1 if the map is in template space; for
            voxel-level maps also ``shares`` and ``volumes``, one number per region. Empty if the scan cannot be
            registered to the template.
        """
        file = self.folder / f"{self._key(path)}.safetensors"
        if file.exists():
            return load_state(file)
        prepared = load_prepared(path)
        if self.settings.method == "integrated_gradients":
            result = self._by_voxel(prepared, self._template_to_scan(path, prepared))
        else:
            in_template = torch.tensor(int(prepared.space == SPACE))
            result = {MAP: self._by_token(prepared, features), "in_template": in_template}
        save_state(file, result)
        return result

    def _key(self, path: Path) -> str:
        method = (self.settings.method, self.settings.steps, *(() if self.label is None else (self.label,)))
        text = json.dumps([path.stem, method, self.causes, self._regions_sha256])
        return hashlib.sha256(text.encode()).hexdigest()

    @cached_property
    def _regions_sha256(self) -> str:
        digest = hashlib.sha256()
        for name, region in sorted(self.regions.items()):
            digest.update(name.encode() + np.packbits(region).tobytes())
        return digest.hexdigest()

    @cached_property
    def _template(self) -> Template:
        return load_template(self.input.size, self.input.spacing_mm)

    def _by_token(self, prepared: PreparedScan, features: Tensor | None) -> Tensor:
        if self.settings.method == "occlusion":
            brain = torch.from_numpy(prepared.brain)
            return occlusion(self.model, self._input(prepared), brain, self.map_stride, of=self.label)
        assert isinstance(self.model, Classifier)
        assert features is not None
        return grad_cam(self.model, features, self.label).cpu()

    def _template_to_scan(self, path: Path, prepared: PreparedScan) -> NDArray[np.float64] | None:
        """Return the result of `template_to_scan`, which takes seconds and is the same for every state of the model."""
        text = json.dumps([path.stem, self.input.size, self.input.spacing_mm])
        file = self.folder / f"template-{hashlib.sha256(text.encode()).hexdigest()}.safetensors"
        if file.exists():
            matrix = load_state(file)[_MATRIX].numpy()
        else:
            found = template_to_scan(prepared, self._template)
            matrix = np.empty((0, 0)) if found is None else found
            save_state(file, {_MATRIX: torch.from_numpy(matrix)})
        return matrix if matrix.size else None

    def _by_voxel(self, prepared: PreparedScan, matrix: NDArray[np.float64] | None) -> State:
        if matrix is None:
            return {}
        scan, steps = self._input(prepared), self.settings.steps
        fine = integrated_gradients(self.model, scan, steps=steps, of=self.label).cpu()
        regions = [region_in_scan(region, matrix) & prepared.brain for _, region in sorted(self.regions.items())]
        on_template = torch.from_numpy(to_template(fine.numpy(), matrix))
        return {
            MAP: places_of(on_template, _FINE_WIDTH),
            "in_template": torch.tensor(1),
            "shares": shares_of(np.abs(fine.numpy()), regions, prepared.brain),
            "volumes": shares_of(np.ones_like(fine.numpy()), regions, prepared.brain),
        }

    def _input(self, prepared: PreparedScan) -> Tensor:
        voxels = torch.from_numpy(np.asarray(prepared.voxels, dtype=np.float32))
        return voxels[None, None].to(device_of(self.model))


def shares_of(values: NDArray[np.float32], regions: Sequence[NDArray[np.bool_]], brain: NDArray[np.bool_]) -> Tensor:
    """Return each region's share of the sum over the brain, (regions,) float64; 0 if that sum is 0."""
    total = float(values[brain].sum(dtype=np.float64))
    shares = [float(values[region].sum(dtype=np.float64)) / total if total else 0.0 for region in regions]
    return torch.tensor(shares, dtype=torch.float64)


@dataclass(frozen=True)
class AverageMap:
    """The mean of several people's maps.

    Attributes:
        map: (p, p, p) float32.
        scans: Number of maps averaged.
        in_template: Number of these in MNI152 space.
        shares: Region → mean and standard deviation of its share of the brain's saliency.
        volumes: Region → mean share of the brain.
    """

    map: Tensor
    scans: int
    in_template: int
    shares: dict[str, tuple[float, float]]
    volumes: dict[str, float]


def average(maps: Sequence[State], names: Sequence[str]) -> AverageMap:
    """Average maps, and compute mean and standard deviation of the regions' shares.

    Args:
        maps: Non-empty maps from `MapMaker.of`, one per person.
        names: The regions' names, sorted.
    """
    mean = torch.stack([scan_map[MAP] for scan_map in maps]).double().mean(dim=0).float()
    in_template = sum(int(scan_map["in_template"]) for scan_map in maps)
    if "shares" not in maps[0]:
        return AverageMap(mean, len(maps), in_template, {}, {})
    shares, volumes = (torch.stack([scan_map[key] for scan_map in maps]) for key in ("shares", "volumes"))
    deviations = shares.std(dim=0) if len(maps) > 1 else torch.zeros(len(names))
    return AverageMap(
        mean,
        len(maps),
        in_template,
        dict(zip(names, zip(shares.mean(dim=0).tolist(), deviations.tolist(), strict=True), strict=True)),
        dict(zip(names, volumes.mean(dim=0).tolist(), strict=True)),
    )
