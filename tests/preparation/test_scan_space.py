"""Brains without a skull that are asked to be corrected and registered; needs no extra."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest

from fedtune3d.preparation.prepare_scan import prepare_scan
from fedtune3d.preparation.scan_space import to_scan_space
from fedtune3d.preparation.settings import PreparationSettings
from fedtune3d.preparation.template import SPACE

Dice = Callable[[np.ndarray, np.ndarray], float]


@pytest.mark.slow
def test_a_brain_is_registered_and_goes_back(
    save_brain: Callable[..., Path], phantom: SimpleNamespace, dice: Dice
) -> None:
    path = save_brain(image=phantom.image((2.0, 2.5, 3.0), "LIA", tilt=0.2))
    prepared = prepare_scan(path, PreparationSettings(steps=("brain", "bias", "register"), intensity="none"))
    assert prepared.steps == ("bias", "register")  # the brain is there
    assert prepared.space == SPACE
    assert prepared.quality.template_dice > 0.9
    back = to_scan_space(prepared.brain.astype(np.float32), prepared)
    source = nib.load(path)
    np.testing.assert_allclose(back.affine, source.affine, atol=1e-5)
    assert dice(np.asarray(back.dataobj) > 0.5, source.get_fdata() > 0) > 0.95
    with pytest.raises(ValueError, match=r"expected a volume of shape \(128, 128, 128\), got \(64, 64, 64\)"):
        to_scan_space(np.zeros((64, 64, 64)), prepared)


def test_an_unregistered_map_goes_back_too(save_brain: Callable[..., Path], phantom: SimpleNamespace) -> None:
    image = phantom.image((1.5, 1.5, 1.5), "PSR")
    prepared = prepare_scan(save_brain(image=image), PreparationSettings(intensity="none"))
    back = np.asarray(to_scan_space(prepared.voxels, prepared).dataobj)
    np.testing.assert_allclose(back, image.get_fdata(), atol=0.3)  # float16 and no interpolation
