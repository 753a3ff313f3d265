import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from fedtune3d._utils.seeds import torch_rng
from fedtune3d._utils.state_dicts import save_state, state_sha256
from fedtune3d.aggregation.fed_prox import ProximalStep
from fedtune3d.aggregation.scaffold import CONTROL, CONTROL_CHANGE, ControlVariateStep
from fedtune3d.aggregation.site_step import SiteStep
from fedtune3d.models.assembly import AssembledModel
from fedtune3d.models.encoders.contract import InputSpec
from fedtune3d.models.tuning import Frozen, Full, Lora, Trainable, read_state
from fedtune3d.training.dataset import FeatureSet, ScanSet, open_scans
from fedtune3d.training.faults import DeadlineExceeded, NotFinite
from fedtune3d.training.features import FeatureCache
from fedtune3d.training.local import LocalRound, set_training_mode, train_locally
from fedtune3d.training.losses import class_weights
from fedtune3d.training.prefix import Prefix
from fedtune3d.training.settings import TrainingSettings

FIRST = LocalRound(seed=1, site="A", round=1, rounds=4)
PLAIN = TrainingSettings(optimizer="sgd", head_learning_rate=0.1, weight_decay=0, clip_norm=None, class_weighted=False)


class Numbers(ScanSet):
    """Points of the plane, labelled by the sign of their first coordinate."""

    def __init__(self, count: int = 12) -> None:
        self.points = torch.randn(count, 2, generator=torch_rng("points"))
        super().__init__((self.points[:, 0] > 0).long().tolist(), first_stage=0)
        self.seen: list[list[int]] = []

    def inputs(self, indices: Sequence[int], views: Sequence[int]) -> torch.Tensor:
        self.seen.append(list(indices))
        return self.points[list(indices)]

    def draw_views(self, count: int, generator: torch.Generator) -> list[int]:
        return [0] * count


class Logistic(nn.Module):
    """One linear layer as a model of one stage."""

    stage_count = 1

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 2), *layers)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=torch_rng("logistic", parameter.numel())))

    def run_stages(self, x: torch.Tensor, start: int, stop: int) -> torch.Tensor:
        return self.layers(x)


def answer_of(model: nn.Module) -> Trainable:
    return Trainable(
        tuple(sorted(model.state_dict())), tuple(sorted(name for name, _ in model.named_parameters())), prefix_end=0
    )


def train(settings: TrainingSettings, step: SiteStep = SiteStep(), data: ScanSet | None = None, **options):  # noqa: B008
    model = Logistic()
    assembled = AssembledModel(model, answer_of(model))
    result = train_locally(
        assembled,
        read_state(model, assembled.trainable),
        Numbers() if data is None else data,
        settings,
        FIRST,
        step=step,
        **options,
    )
    return read_state(model, assembled.trainable), result


def train_model(model: nn.Module, trainable: Trainable, *arguments):
    """`train_locally` from the state that the model holds."""
    return train_locally(AssembledModel(model, trainable), read_state(model, trainable), *arguments)


def mean_gradient(weights: torch.Tensor | None = None) -> tuple[dict[str, torch.Tensor], float]:
    """Gradient and loss of the start over all points, by autograd in float64."""
    model, data = Logistic().double(), Numbers()
    each = functional.cross_entropy(model.run_stages(data.points.double(), 0, 1), data.labels, reduction="none")
    loss = (each * (1 if weights is None else weights[data.labels])).mean()
    loss.backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}, loss.item()


def assert_one_step(state: dict[str, torch.Tensor], gradient: dict[str, torch.Tensor], rate: float = 0.1) -> None:
    start = Logistic().state_dict()
    for name, tensor in state.items():
        torch.testing.assert_close(tensor.double(), start[name].double() - rate * gradient[name], rtol=1e-5, atol=1e-6)


def test_one_batch_of_all_scans_is_one_gradient_step() -> None:
    gradient, loss = mean_gradient()
    state, result = train(replace(PLAIN, batch_size=100))
    assert_one_step(state, gradient)
    assert result.loss == pytest.approx(loss, abs=1e-6)
    assert (result.examples, result.steps, result.parts) == (12, 1, {})


@pytest.mark.parametrize(("batch_size", "accumulation"), [(5, 3), (4, 3), (1, 12), (7, 9)])
def test_accumulated_batches_of_any_size_equal_one_large_batch(batch_size: int, accumulation: int) -> None:
    gradient, loss = mean_gradient()
    state, result = train(replace(PLAIN, batch_size=batch_size, accumulation=accumulation))
    assert_one_step(state, gradient)
    assert result.loss == pytest.approx(loss, abs=1e-6)
    assert result.steps == 1


def test_class_weights_make_both_classes_count_alike() -> None:
    assert class_weights(torch.tensor([0, 0, 0, 1])).tolist() == pytest.approx([4 / 6, 2.0])
    assert class_weights(torch.tensor([1, 1])).tolist() == [1.0, 1.0]
    weights = class_weights(Numbers().labels).double()
    state, result = train(replace(PLAIN, batch_size=100, class_weighted=True))
    gradient, loss = mean_gradient(weights)
    assert_one_step(state, gradient)
    assert result.loss == pytest.approx(loss, abs=1e-6)


def test_clipping_bounds_the_step() -> None:
    gradient, _ = mean_gradient()
    norm = torch.cat([tensor.flatten() for tensor in gradient.values()]).norm()
    state, _ = train(replace(PLAIN, batch_size=100, clip_norm=0.01))
    assert_one_step(state, {name: tensor * 0.01 / norm for name, tensor in gradient.items()})


def test_proximal_term_pulls_back_to_what_was_received() -> None:
    settings = replace(PLAIN, batch_size=100, local_epochs=2)
    free, _ = train(settings)
    pulled, _ = train(settings, ProximalStep(mu=4.0))
    once, _ = train(replace(settings, local_epochs=1))
    start = Logistic().state_dict()
    for name in start:  # the second step gains − rate · μ · (w₁ − w₀)
        torch.testing.assert_close(pulled[name], free[name] - 0.1 * 4.0 * (once[name] - start[name]))


def test_control_variates_shift_every_gradient_and_the_change_recovers_the_mean_gradient() -> None:
    start = Logistic().state_dict()
    server = {name: torch.full_like(tensor, 0.3) for name, tensor in start.items()}
    own = {name: torch.full_like(tensor, 0.1) for name, tensor in start.items()}
    step = ControlVariateStep(control=server)
    gradient, _ = mean_gradient()
    state, result = train(replace(PLAIN, batch_size=100, clip_norm=0.5), step, remembered={CONTROL: own})
    norm = torch.cat([tensor.flatten() for tensor in gradient.values()]).norm()
    clipped = {name: tensor * min(1, 0.5 / norm) for name, tensor in gradient.items()}
    assert_one_step(state, {name: tensor + 0.2 for name, tensor in clipped.items()})
    for name, change in result.parts[CONTROL_CHANGE].items():  # c_k⁺ is the mean gradient of the loss along the way
        torch.testing.assert_close((own[name] + change).double(), clipped[name], rtol=1e-4, atol=1e-5)


def test_control_variates_refuse_another_optimizer() -> None:
    step = ControlVariateStep()
    for settings in (TrainingSettings(), replace(PLAIN, momentum=0.9)):
        with pytest.raises(ValueError, match="optimizer: sgd without momentum"):
            train(settings, step)


def test_names_that_the_step_freezes_do_not_train() -> None:
    state, _ = train(PLAIN, SiteStep(frozen=("layers.0.bias",)))
    start = Logistic().state_dict()
    assert torch.equal(state["layers.0.bias"], start["layers.0.bias"])
    assert not torch.equal(state["layers.0.weight"], start["layers.0.weight"])


def test_each_epoch_sees_each_scan_once_in_an_order_of_its_own() -> None:
    data = Numbers()
    steps: list[tuple[int, int]] = []
    train(replace(PLAIN, batch_size=5, local_epochs=2), data=data, progress=lambda *step: steps.append(step))
    assert [len(batch) for batch in data.seen] == [5, 5, 2, 5, 5, 2]
    first, second = ([index for batch in data.seen[start : start + 3] for index in batch] for start in (0, 3))
    assert sorted(first) == sorted(second) == list(range(12))
    assert first != second
    assert steps == [(done, 6) for done in range(1, 7)]


def test_few_scans_are_passed_over_until_there_are_enough_steps() -> None:
    """12 scans in batches of 5 are 3 steps a pass: at least 7 steps are 3 passes, each over every scan once."""
    data = Numbers()
    _, result = train(replace(PLAIN, batch_size=5, min_steps=7), data=data)
    assert result.steps == 9
    seen = [index for batch in data.seen for index in batch]
    assert all(sorted(seen[start : start + 12]) == list(range(12)) for start in (0, 12, 24))
    assert seen[:12] != seen[12:24]
    _, enough = train(replace(PLAIN, batch_size=5, local_epochs=2, min_steps=5))
    assert enough.steps == 6


@pytest.mark.parametrize(
    ("scans", "changes", "passes", "steps"),
    [
        (6, {}, 1, 1),
        (6, {"min_steps": 8}, 8, 8),
        (9, {"min_steps": 8}, 4, 8),
        (6, {"batch_size": 1, "accumulation": 4, "min_steps": 3}, 2, 4),
        (100, {"min_steps": 8, "local_epochs": 2}, 2, 26),
    ],
)
def test_passes_and_steps_of_a_round(scans: int, changes: dict[str, int], passes: int, steps: int) -> None:
    settings = TrainingSettings(**changes)  # type: ignore[arg-type]
    assert (settings.passes(scans), settings.local_steps(scans)) == (passes, steps)


def test_the_rate_follows_the_round() -> None:
    gradient, _ = mean_gradient()
    state, _ = train(replace(PLAIN, batch_size=100, warmup_rounds=1))
    assert_one_step(state, gradient, rate=0.05)


def test_a_passed_deadline_stops_between_batches() -> None:
    with pytest.raises(DeadlineExceeded, match="A, round 1, batch 1: the deadline passed, 3 batches left"):
        train(replace(PLAIN, batch_size=5), deadline=time.monotonic() - 1)


def test_a_loss_that_is_not_finite_names_site_round_and_batch() -> None:
    data = Numbers()
    data.points[:] = float("nan")
    with pytest.raises(NotFinite, match="A, round 1, batch 1: the loss is nan"):
        train(PLAIN, data=data)


def test_a_gradient_that_is_not_finite_is_refused() -> None:
    model = Logistic(Overflowing())
    with pytest.raises(NotFinite, match="A, round 1, batch 1: the gradient's norm is nan"):
        train_model(model, answer_of(model), Numbers(), PLAIN, FIRST)


class Overflowing(nn.Module):
    """A finite loss with a gradient that is not: the square root at zero."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + (x - x.detach()).abs().sqrt()


def test_no_scans_are_refused() -> None:
    with pytest.raises(ValueError, match="A: expected at least one training scan"):
        train(PLAIN, data=Numbers(0))


@pytest.mark.parametrize(("count", "batches"), [(9, [4, 4]), (10, [4, 4, 2]), (4, [4])])
def test_a_lone_last_scan_is_left_out_where_batch_norm_trains(count: int, batches: list[int]) -> None:
    data, model = Numbers(count), Logistic(nn.BatchNorm1d(2))
    train_model(
        model,
        answer_of(model),
        data,
        replace(PLAIN, batch_size=4),
        FIRST,
    )
    assert [len(batch) for batch in data.seen] == batches
    assert model.layers[1].num_batches_tracked == len(batches)


def test_a_lone_last_scan_trains_without_batch_norm() -> None:
    data = Numbers(9)
    train(replace(PLAIN, batch_size=4), data=data)
    assert [len(batch) for batch in data.seen] == [4, 4, 1]


def test_frozen_normalisation_keeps_its_statistics_and_dropout_trains() -> None:
    model = Logistic(nn.BatchNorm1d(2), nn.Dropout(0.5))
    trainable = Trainable(("layers.0.weight",), ("layers.0.weight",), 0)
    set_training_mode(model, trainable)
    assert [layer.training for layer in model.layers] == [True, False, True]
    before = model.layers[1].running_mean.clone()
    train_model(model, trainable, Numbers(), PLAIN, FIRST)
    assert torch.equal(model.layers[1].running_mean, before)
    assert not any(module.training for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("head", ["linear", "conv_s", "conv_l"])
@pytest.mark.parametrize(
    "tuning", [Frozen(), Full(), Lora(blocks="last:1", dropout=0.2)], ids=["frozen", "full", "lora"]
)
def test_every_head_and_tuning_trains_what_it_says_and_nothing_else(build_model, scans, features, tuning, head) -> None:
    model, trainable = build_model(tuning, head)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    data = open_scans(scans[:3], Prefix(model, trainable), FeatureCache(features), InputSpec())
    result = train_model(model, trainable, data, TrainingSettings(batch_size=2), FIRST)
    after = model.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed <= set(trainable.names)
    assert {name for name in changed if name.startswith("head.")}
    assert tuning == Frozen() or {name for name in changed if name.startswith("encoder.")}
    assert result.examples == 3


def test_local_epochs_lower_the_loss_and_learn(build_model, scans, features) -> None:
    model, trainable = build_model(head="conv_s")
    data = open_scans(scans, Prefix(model, trainable), FeatureCache(features), InputSpec())
    losses = [
        train_model(
            model,
            trainable,
            data,
            TrainingSettings(),
            replace(FIRST, round=number),
        ).loss
        for number in range(1, 9)
    ]
    assert losses[-1] < 0.5 * losses[0]


SAME_BITS = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
torch.manual_seed(99)
from fedtune3d.models.assembly import AssembledModel
from fedtune3d.models.classifier import Classifier
from fedtune3d.models.encoders import build_encoder
from fedtune3d.models.encoders.contract import InputSpec, initialise_random
from fedtune3d.models.heads import build_head
from fedtune3d.models.tuning import Frozen, apply_tuning, read_state
from fedtune3d._utils.state_dicts import state_sha256
from fedtune3d.training.dataset import LabelledScan, open_scans
from fedtune3d.training.features import FeatureCache
from fedtune3d.training.local import LocalRound, train_locally
from fedtune3d.training.prefix import Prefix
from fedtune3d.training.settings import TrainingSettings
encoder = build_encoder("tiny")
initialise_random(encoder, 1)
model = Classifier(encoder, build_head("conv_s", encoder.out_channels, 2))
trainable = apply_tuning(model, Frozen(), 3)
scans = [LabelledScan(Path(sys.argv[1]) / f"scan{number}.npy", number % 2, "A") for number in range(10)]
data = open_scans(scans, Prefix(model, trainable), FeatureCache(Path(sys.argv[2])), InputSpec())
assembled, state = AssembledModel(model, trainable), read_state(model, trainable)
train_locally(assembled, state, data, TrainingSettings(batch_size=4), LocalRound(7, "A", 2, 3))
print(state_sha256(read_state(model, trainable)))
"""


@pytest.mark.ci
def test_two_processes_give_the_same_bits(build_model, scans, features: Path, tmp_path: Path) -> None:
    other = subprocess.run(
        [sys.executable, "-c", SAME_BITS, str(scans[0].path.parent), str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    model, trainable = build_model(head="conv_s")
    data = open_scans(scans, Prefix(model, trainable), FeatureCache(features), InputSpec())
    train_model(
        model,
        trainable,
        data,
        TrainingSettings(batch_size=4),
        LocalRound(7, "A", 2, 3),
    )
    assert other.stdout.strip() == state_sha256(read_state(model, trainable))


def test_another_site_round_or_seed_trains_otherwise(build_model, scans, features: Path) -> None:
    hashes = set()
    for occasion in (FIRST, replace(FIRST, seed=2), replace(FIRST, site="B"), replace(FIRST, round=2), FIRST):
        model, trainable = build_model()
        data = open_scans(scans, Prefix(model, trainable), FeatureCache(features), InputSpec())
        train_model(
            model,
            trainable,
            data,
            TrainingSettings(batch_size=3),
            occasion,
        )
        hashes.add(state_sha256(read_state(model, trainable)))
    assert len(hashes) == 4


def test_training_again_from_a_state_gives_the_same_bits(build_model, scans, features: Path) -> None:
    model, trainable = build_model(Lora(blocks="last:1", dropout=0.3), "conv_s")
    received = read_state(model, trainable)
    data = open_scans(scans[:5], Prefix(model, trainable), FeatureCache(features), InputSpec())
    sent = []
    for _ in range(2):
        train_locally(AssembledModel(model, trainable), received, data, TrainingSettings(), FIRST)
        sent.append(state_sha256(read_state(model, trainable)))
    assert sent[0] == sent[1]


PEAK_MEMORY = """
import resource, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from fedtune3d.models.assembly import AssembledModel
from fedtune3d.models.classifier import Classifier
from fedtune3d.models.encoders import build_encoder
from fedtune3d.models.heads import build_head
from fedtune3d.models.tuning import Frozen, apply_tuning, read_state
from fedtune3d.training.dataset import FeatureSet
from fedtune3d.training.local import LocalRound, train_locally
from fedtune3d.training.prediction import predict
from fedtune3d.training.settings import TrainingSettings
model = Classifier(build_encoder("tiny"), build_head("linear", 384))
trainable = apply_tuning(model, Frozen())
assembled, state = AssembledModel(model, trainable), read_state(model, trainable)
for count in (40, 400):
    files = sorted(Path(sys.argv[1]).glob("*.safetensors"))[:count]
    data = FeatureSet([[file] for file in files], [number % 2 for number in range(count)], trainable.prefix_end)
    train_locally(assembled, state, data, TrainingSettings(), LocalRound(1, "A", 1, 1))
    predict(model, data)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.ci
def test_memory_does_not_grow_with_the_number_of_scans(tmp_path: Path) -> None:
    """400 files hold 157 MB, 40 hold 16 MB: kept or mapped features would show."""
    features = torch.randn(384, 8, 8, 8, generator=torch_rng("features")).half()
    save_state(tmp_path / "000.safetensors", {"features": features})
    for number in range(1, 400):
        shutil.copyfile(tmp_path / "000.safetensors", tmp_path / f"{number:03}.safetensors")
    command = [sys.executable, "-c", PEAK_MEMORY, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    peaks = [int(line) / 1024 for line in done.stdout.split()]
    assert peaks[1] - peaks[0] < 30, f"peak MB with 40 and 400 scans: {peaks}"


def test_feature_set_draws_among_views_and_reads_only_what_is_asked(tmp_path: Path) -> None:
    save_state(tmp_path / "a.safetensors", {"features": torch.ones(2)})
    data = FeatureSet([[tmp_path / "a.safetensors"], [tmp_path / "absent.safetensors"]], [0, 1], 3)
    assert data.inputs([0], [0]).tolist() == [[1.0, 1.0]]
