import torch

from fedtune3d.models.encoders.input_grid import CHANNELS, POSITIONS, SIZE, SPACING_MM, STRIDE
from fedtune3d.models.encoders.sam_med3d import build_encoder
from fedtune3d.preparation.settings import DEFAULT_SETTINGS


def test_an_encoder_makes_features_of_this_grid():
    with torch.inference_mode():
        features = build_encoder("tiny")(torch.zeros(1, 1, SIZE, SIZE, SIZE))
    assert features.shape == (1, CHANNELS, POSITIONS, POSITIONS, POSITIONS)


def test_the_grid_is_that_of_the_released_model():
    assert (SIZE, SPACING_MM, STRIDE, POSITIONS) == (128, 1.5, 16, 8)
    assert (DEFAULT_SETTINGS.causes()["size"], DEFAULT_SETTINGS.causes()["spacing_mm"]) == (128, 1.5)
