from pathlib import Path

import numpy as np
import pytest
import torch

from fedtune3d.models.encoders.contract import InputSpec
from fedtune3d.training.dataset import open_scans
from fedtune3d.training.faults import NotFinite
from fedtune3d.training.features import FeatureCache
from fedtune3d.training.prediction import predict, predict_logits
from fedtune3d.training.prefix import Prefix


def test_probabilities_are_the_softmax_of_the_model_in_evaluation_mode(build_model, scans, features: Path) -> None:
    model, trainable = build_model(head="conv_s")
    data = open_scans(scans[:4], Prefix(model, trainable), FeatureCache(features), InputSpec())
    model.train()
    given = predict(model, data, batch_size=3)
    assert not model.training
    with torch.no_grad():
        logits = model.head(data.inputs(range(4), [0] * 4)).double()
    np.testing.assert_allclose(given, logits.softmax(1)[:, 1].numpy(), rtol=1e-5)
    assert given.dtype == np.float64


def test_what_is_said_of_a_scan_does_not_depend_on_the_others(build_model, scans, features: Path) -> None:
    model, trainable = build_model(head="conv_s")
    prefix, cache = Prefix(model, trainable), FeatureCache(features)
    together = predict(model, open_scans(scans, prefix, cache, InputSpec()))
    backwards = predict(model, open_scans(scans[::-1], prefix, cache, InputSpec()))
    alone = [predict(model, open_scans([scan], prefix, cache, InputSpec()))[0] for scan in scans]
    assert together.tolist() == backwards[::-1].tolist() == alone


def test_no_scans_give_no_probabilities(build_model, features: Path) -> None:
    model, trainable = build_model()
    assert predict(model, open_scans([], Prefix(model, trainable), FeatureCache(features), InputSpec())).shape == (0,)


def test_outputs_that_are_not_finite_are_refused(build_model, scans, features: Path) -> None:
    model, trainable = build_model()
    data = open_scans(scans[:2], Prefix(model, trainable), FeatureCache(features), InputSpec())
    with torch.no_grad():
        next(model.head.parameters()).fill_(float("nan"))
    with pytest.raises(NotFinite, match="scan 0 of 2: the model's output is NaN or infinite"):
        predict_logits(model, data)
