import pytest
import torch

from fedtune3d._utils.seeds import torch_rng
from fedtune3d.models.encoders.contract import InputSpec
from fedtune3d.training.augmentation import augment
from fedtune3d.training.settings import AugmentationSettings

NOTHING = AugmentationSettings(0, 0, 0, 0, 0, 0, 0)


@pytest.fixture
def voxels() -> torch.Tensor:
    """A z-scored box in an otherwise empty volume."""
    scan = torch.zeros(1, 32, 32, 32)
    box = torch.randn(16, 20, 14, generator=torch_rng("box"))
    scan[0, 8:24, 6:26, 8:22] = (box - box.mean()) / box.std()
    return scan


def test_the_same_causes_give_the_same_bits_and_others_do_not(voxels: torch.Tensor) -> None:
    first, second, other = (
        augment(voxels, InputSpec(), AugmentationSettings(), 1, "A", "key", view) for view in (1, 1, 2)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert (first.shape, first.dtype) == (voxels.shape, torch.float32)


def test_global_generator_and_input_are_untouched(voxels: torch.Tensor) -> None:
    before, copy = torch.get_rng_state(), voxels.clone()
    augment(voxels, InputSpec(), AugmentationSettings(), 1)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(voxels, copy)


def test_the_brain_stays_zscored_and_the_rest_empty(voxels: torch.Tensor) -> None:
    changed = augment(voxels, InputSpec(), AugmentationSettings(), 1)
    inside = changed[changed != 0]
    assert inside.mean().abs() < 1e-5
    assert inside.std() == pytest.approx(1, abs=1e-3)
    assert 0.5 < len(inside) / (voxels != 0).sum() < 2
    assert (changed[0, :2] == 0).all()


def test_no_strength_changes_nothing(voxels: torch.Tensor) -> None:
    assert torch.allclose(augment(voxels, InputSpec(), NOTHING, 1), voxels, atol=1e-5)


def test_flip_mirrors_left_and_right_only(voxels: torch.Tensor) -> None:
    mirrored = augment(voxels, InputSpec(), AugmentationSettings(1, 0, 0, 0, 0, 0, 0), 1)
    assert torch.allclose(mirrored, voxels.flip(1), atol=1e-5)


@pytest.mark.parametrize("name", ["rotation_degrees", "scaling", "translation_mm", "bias_field", "log_gamma", "noise"])
def test_each_strength_changes_the_scan(voxels: torch.Tensor, name: str) -> None:
    strengths = {**vars(NOTHING), name: 5.0 if name in ("rotation_degrees", "translation_mm") else 0.3}
    changed = augment(voxels, InputSpec(), AugmentationSettings(**strengths), 1)
    assert (changed - voxels).abs().max() > 1e-2


def test_scans_from_0_to_1_stay_between_them(voxels: torch.Tensor) -> None:
    inside = voxels != 0
    scaled = torch.where(inside, (voxels - voxels.min()) / (voxels.max() - voxels.min()), 0.0)
    changed = augment(scaled, InputSpec(intensity="minmax"), AugmentationSettings(), 1)
    assert (changed.min().item(), changed.max().item()) == (0, pytest.approx(1))
