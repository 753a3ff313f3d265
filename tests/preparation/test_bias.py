from collections.abc import Callable
from types import SimpleNamespace

import numpy as np

from fedtune3d.preparation.bias import correct_bias

Dice = Callable[[np.ndarray, np.ndarray], float]


def test_a_bias_field_is_taken_out(phantom: SimpleNamespace) -> None:
    image = phantom.image((3.0, 3.0, 3.0))
    brain = image.get_fdata() > 0
    field = np.exp(np.linspace(-0.4, 0.4, brain.shape[1], dtype=np.float32))[None, :, None]
    flat = np.where(brain, 500 + np.random.default_rng(0).normal(0, 5, brain.shape), 0).astype(np.float32)
    corrected = correct_bias(flat * field, image.affine, brain)
    assert (flat * field)[brain].std() / (flat * field)[brain].mean() > 0.15
    assert corrected[brain].std() / corrected[brain].mean() < 0.05
