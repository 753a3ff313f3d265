"""Random augmentation of a prepared scan, determined by its seeds."""

from typing import Any

import torch

from fedtune3d._utils.seeds import global_draws_from
from fedtune3d.models.encoders.contract import InputSpec
from fedtune3d.training.settings import AugmentationSettings


def augment(
    voxels: torch.Tensor, input_spec: InputSpec, settings: AugmentationSettings, *causes: str | int
) -> torch.Tensor:
    """Augment a prepared scan with TorchIO: flip, affine, then bias field, gamma and noise inside the brain.

    The brain is where the transformed scan is not 0. Voxels outside stay 0; those inside are rescaled like a prepared
    scan: from 0 to 1 for `minmax`, z-scored otherwise.

    Args:
        voxels: (1, s, s, s), axes (1, x, y, z), RAS, 0 outside the brain.
        input_spec: The encoder's input specification.
        settings: Strengths of the augmentations.
        causes: Seeds of the random draws: (seed, site, scan key, view).

    Returns:
        A float32 tensor of the same shape.
    """
    import torchio

    affine = torch.diag(
        torch.tensor([input_spec.spacing_mm, input_spec.spacing_mm, input_spec.spacing_mm, 1.0])
    ).numpy()
    image = torchio.ScalarImage(tensor=voxels.float(), affine=affine)
    with global_draws_from("augmentation", *causes):
        moved = _spatial_transforms(settings)(image).data
        changed = _intensity_changes(settings)(torchio.ScalarImage(tensor=moved, affine=affine)).data
    rescaled = _from_0_to_1 if input_spec.intensity == "minmax" else _zscored
    return rescaled(changed.float(), moved != 0)


def _spatial_transforms(settings: AugmentationSettings) -> Any:
    import torchio

    flip = torchio.RandomFlip(axes=(0,), flip_probability=settings.flip_probability)
    affine = torchio.RandomAffine(
        scales=settings.scaling,
        degrees=settings.rotation_degrees,
        translation=settings.translation_mm,
        isotropic=True,
        default_pad_value=0,
    )
    uses_affine = settings.rotation_degrees or settings.scaling or settings.translation_mm
    return torchio.Compose([flip, affine] if uses_affine else [flip])


def _intensity_changes(settings: AugmentationSettings) -> Any:
    import torchio

    changes: list[torchio.Transform] = []
    if settings.bias_field:
        changes.append(torchio.RandomBiasField(coefficients=settings.bias_field))
    if settings.log_gamma:
        changes.append(torchio.RandomGamma(log_gamma=settings.log_gamma))
    if settings.noise:
        changes.append(torchio.RandomNoise(std=settings.noise))
    return torchio.Compose(changes)


def _zscored(voxels: torch.Tensor, brain: torch.Tensor) -> torch.Tensor:
    inside = voxels[brain]
    return torch.where(brain, (voxels - inside.mean()) / inside.std(), 0.0)


def _from_0_to_1(voxels: torch.Tensor, brain: torch.Tensor) -> torch.Tensor:
    lowest = voxels[brain].min().clamp(max=0)
    return torch.where(brain, (voxels - lowest) / (voxels[brain].max() - lowest), 0.0)
