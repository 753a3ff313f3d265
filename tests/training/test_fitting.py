"""NCC over sites: the centres do not depend on how the scans are spread."""

import numpy as np
import pytest
import torch

from fedtune3d._utils.seeds import numpy_rng
from fedtune3d.aggregation.contract import Memory, Update
from fedtune3d.aggregation.registry import build_rule
from fedtune3d.models.classifier import Classifier
from fedtune3d.models.encoders import build_encoder
from fedtune3d.models.nearest_centre import NearestCentre
from fedtune3d.models.tuning import Frozen, apply_tuning, read_state, write_state
from fedtune3d.training.dataset import ScanSet
from fedtune3d.training.fitting import fit_locally
from fedtune3d.training.prediction import predict


class Features(ScanSet):
    """Features held in memory, as the head takes them."""

    def __init__(self, features: torch.Tensor, labels: list[int], first_stage: int) -> None:
        super().__init__(labels, first_stage)
        self.features = features

    def inputs(self, indices: list[int], views: list[int]) -> torch.Tensor:
        return self.features[list(indices)].float()

    def draw_views(self, count: int, generator: torch.Generator) -> list[int]:
        return [0] * count


@pytest.fixture(scope="module")
def model() -> Classifier:
    return Classifier(build_encoder("tiny"), NearestCentre(384))


def drawn(model: Classifier) -> Features:
    rng = numpy_rng("ncc")
    labels = [int(label) for label in rng.integers(0, 2, 24)]
    features = torch.from_numpy(rng.normal(size=(24, 384, 2, 2, 2)) + 0.3 * np.array(labels)[:, None, None, None, None])
    return Features(features.half(), labels, model.stage_count - 1)


def centres_over(model: Classifier, data: Features, parts: list[list[int]]) -> torch.Tensor:
    trainable = apply_tuning(model, Frozen())
    updates, zero = [], {name: torch.zeros_like(tensor) for name, tensor in read_state(model, trainable).items()}
    for number, part in enumerate(parts):
        subset = Features(data.features[part], [int(data.labels[index]) for index in part], data.first_stage)
        write_state(model, trainable, zero)
        fit_locally(model, subset)
        state = read_state(model, trainable)
        updates.append(Update(f"site-{number}", len(part), lambda _, state=state: state))
    state = build_rule("ncc").aggregate(zero, updates, Memory()).state
    write_state(model, trainable, state)
    return state["head.sums"] / state["head.counts"][:, None]


def test_no_parameter_trains_and_the_state_is_sums_and_counts(model: Classifier) -> None:
    trainable = apply_tuning(model, Frozen())
    assert trainable.parameters == ()
    assert trainable.names == ("head.counts", "head.sums")


def test_any_split_over_sites_gives_the_same_centres(model: Classifier) -> None:
    data = drawn(model)
    whole = centres_over(model, data, [list(range(24))])
    rng = numpy_rng("splits")
    for sites in (2, 3, 7):
        owner = rng.integers(0, sites, 24)
        parts = [[index for index in range(24) if owner[index] == site] for site in range(sites)]
        split = centres_over(model, data, [part for part in parts if part])
        assert (split - whole).abs().max() < 1e-10
    halves = [centres_over(model, data, [list(part)]) for part in (range(9), range(9, 24))]
    average_of_centres = torch.stack(halves).mean(dim=0)
    assert (average_of_centres - whole).abs().max() > 1e-3  # what the rule must not do


def test_score_is_the_difference_of_distances(model: Classifier) -> None:
    data = drawn(model)
    centres = centres_over(model, data, [list(range(24))]).numpy()
    pooled = data.features.double().mean(dim=(2, 3, 4)).numpy()
    distances = np.linalg.norm(pooled[:, None] - centres[None], axis=2)
    expected = 1 / (1 + np.exp(distances[:, 1] - distances[:, 0]))
    np.testing.assert_allclose(predict(model, data), expected, atol=1e-6)
