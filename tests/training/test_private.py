"""DP-SGD by hand: what a step computes, how much a person can move it, and what an attacker can tell."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from scipy.stats import beta
from torch.nn import functional

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.seeds import torch_rng
from fedtune3d.aggregation.fed_prox import ProximalStep
from fedtune3d.aggregation.scaffold import CONTROL_CHANGE, ControlVariateStep
from fedtune3d.aggregation.site_step import SiteStep
from fedtune3d.federation.privacy.differential_privacy.accounting import epsilon_of
from fedtune3d.models.assembly import AssembledModel
from fedtune3d.models.classifier import Classifier
from fedtune3d.models.tuning import Frozen, Full, Lora, Trainable, read_state
from fedtune3d.training.dataset import LabelledScan, ScanSet, open_scans
from fedtune3d.training.draws import SeededDraws, SystemDraws
from fedtune3d.training.faults import DeadlineExceeded
from fedtune3d.training.features import FeatureCache
from fedtune3d.training.local import LocalRound, train_locally
from fedtune3d.training.prefix import Prefix
from fedtune3d.training.private import ClippedSum, Protection, SampledGaussian, grouped, train_privately
from fedtune3d.training.settings import TrainingSettings

BuildModel = Callable[..., tuple[Classifier, Trainable]]
ROUND = LocalRound(seed=1, site="A", round=1, rounds=4)
PLAIN = TrainingSettings(optimizer="sgd", head_learning_rate=0.1, weight_decay=0, clip_norm=None, class_weighted=False)
HEADS = ["linear", "conv_s"]


class Maps(ScanSet):
    """Feature maps of noise, (channels, 4, 4, 4), of two classes."""

    def __init__(self, count: int, channels: int = 384, scale: float = 1.0) -> None:
        self.maps = scale * torch.randn(count, channels, 4, 4, 4, generator=torch_rng("maps", count))
        super().__init__([index % 2 for index in range(count)], first_stage=STAGES)

    def inputs(self, indices: Sequence[int], views: Sequence[int]) -> torch.Tensor:
        return self.maps[list(indices)]

    def draw_views(self, count: int, generator: torch.Generator) -> list[int]:
        return [0] * count


STAGES = 4
"""Stages of the tiny encoder, after which its head begins."""


def head_of(build_model: BuildModel, head: str) -> tuple[AssembledModel, Maps]:
    model, trainable = build_model(Frozen(), head)
    assert model.stage_count == STAGES + 1
    return AssembledModel(model, trainable), Maps(10, model.encoder.spec.features.channels)


def train(
    assembled: AssembledModel,
    data: ScanSet,
    people: Sequence[str],
    mechanism: SampledGaussian,
    clip: float,
    settings: TrainingSettings = PLAIN,
    step: SiteStep = SiteStep(),  # noqa: B008
    **options: object,
) -> dict[str, torch.Tensor]:
    state = read_state(assembled.model, assembled.trainable)
    protection = Protection(mechanism, clip, SeededDraws(ROUND))
    train_privately(assembled, state, data, people, settings, protection, ROUND, step=step, **options)  # type: ignore[arg-type]
    trained = read_state(assembled.model, assembled.trainable)
    assembled.write(state)
    return trained


def by_hand(assembled: AssembledModel, data: ScanSet, people: Sequence[str], clip: float) -> dict[str, torch.Tensor]:
    """One step of SGD at rate 0.1 along the mean over people of their clipped gradients, each by a backward pass."""
    model, names = assembled.model, assembled.trainable.parameters
    parameters = dict(model.named_parameters())
    total = {name: torch.zeros_like(parameters[name]) for name in names}
    for person in dict.fromkeys(people):
        scans = [scan for scan, owner in enumerate(people) if owner == person]
        logits = model.run_stages(data.inputs(scans, [0] * len(scans)), data.first_stage, model.stage_count)
        loss = functional.cross_entropy(logits, data.labels[scans], reduction="sum")
        gradients = torch.autograd.grad(loss, [parameters[name] for name in names])
        norm = math.sqrt(sum(float(gradient.double().square().sum()) for gradient in gradients))
        for name, gradient in zip(names, gradients, strict=True):
            total[name] += gradient * min(1.0, clip / norm)
    return {name: (parameters[name] - 0.1 * total[name] / len(set(people))).detach() for name in names}


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("clip", [1e9, 0.05])
def test_without_noise_a_step_is_sgd_along_the_mean_of_the_clipped_gradients(
    build_model: BuildModel, head: str, clip: float
) -> None:
    assembled, data = head_of(build_model, head)
    people = ["a", "b", "c", "a", "d", "e", "f", "g", "a", "h"]  # three scans of one person
    trained = train(assembled, data, people, SampledGaussian(0.0, 1.0, 1), clip)
    for name, expected in by_hand(assembled, data, people, clip).items():
        torch.testing.assert_close(trained[name], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("head", HEADS)
def test_without_noise_clipping_and_repeated_people_it_is_plain_training(build_model: BuildModel, head: str) -> None:
    """Two epochs of momentum and weight decay, one batch each."""
    assembled, data = head_of(build_model, head)
    settings = replace(PLAIN, momentum=0.9, weight_decay=0.1, local_epochs=2, batch_size=10)
    private = train(assembled, data, list("abcdefghij"), SampledGaussian(0.0, 1.0, 2), 1e9, settings)
    train_locally(assembled, read_state(assembled.model, assembled.trainable), data, settings, ROUND)
    for name, tensor in read_state(assembled.model, assembled.trainable).items():
        torch.testing.assert_close(private[name], tensor, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "tuning", [pytest.param(Lora(rank=2, blocks="all"), marks=pytest.mark.slow), Full()], ids=["lora", "full"]
)
def test_where_the_encoder_trains_the_gradients_are_those_of_single_people(
    build_model: BuildModel, tuning: Lora | Full, scans: list[LabelledScan], features: Path
) -> None:
    model, trainable = build_model(tuning)
    assembled = AssembledModel(model, trainable)
    data = open_scans(scans[:4], Prefix(model, trainable), FeatureCache(features), model.encoder.spec.input)
    people = ["a", "b", "a", "c"]
    trained = train(
        assembled, data, people, SampledGaussian(0.0, 1.0, 1), 0.05, replace(PLAIN, encoder_learning_rate=0.1)
    )
    model.eval()
    for name, expected in by_hand(assembled, data, people, 0.05).items():
        torch.testing.assert_close(trained[name], expected, rtol=1e-4, atol=1e-6)


def sums_of(assembled: AssembledModel, data: ScanSet, people: Sequence[list[int]], clip: float) -> torch.Tensor:
    parameters = {name: dict(assembled.model.named_parameters())[name] for name in assembled.trainable.parameters}
    clipped = ClippedSum(assembled.model, parameters, data.first_stage, clip)
    for group in grouped(people, clipped.scans_at_once):
        clipped.add(data, group, [0] * len(data))
    return torch.cat([clipped.sums[name].flatten() for name in sorted(clipped.sums)])


@pytest.mark.parametrize(
    ("head", "scale"), [("linear", 1e-3), ("linear", 1.0), ("linear", 1e4), ("linear", 1e30), ("conv_s", 1.0)]
)
def test_a_person_moves_the_sum_by_at_most_the_clipping_norm(build_model: BuildModel, head: str, scale: float) -> None:
    """Whatever their scans hold, and however many they have: the person is taken out of each data set in turn."""
    assembled, _ = head_of(build_model, head)
    data = Maps(10, scale=scale)
    people = [[0, 1, 2, 3], [4], [5, 6], [7], [8], [9]]
    total = sums_of(assembled, data, people, 0.5)
    assert total.isfinite().all()
    for index in range(len(people)):
        without = sums_of(assembled, data, people[:index] + people[index + 1 :], 0.5)
        assert (total - without).norm() <= 0.5 * (1 + 1e-9)  # and no gradient depends on its batch


def test_a_state_that_hangs_on_the_last_bit_does_not_let_a_person_move_the_others(build_model: BuildModel) -> None:
    """An attacker who knows all the others chooses weights under which their logits are nothing but rounding."""
    assembled, data = head_of(build_model, "linear")
    weight = assembled.model.get_parameter("head.2.weight")
    pooled = assembled.model.head[:2](data.maps[1:]).double().detach()
    random = torch.randn(2, pooled.shape[1], generator=torch_rng("crafted"), dtype=torch.float64)
    with torch.no_grad():
        weight.copy_(1e30 * (random - random @ torch.linalg.pinv(pooled) @ pooled).float())
    people = [[scan] for scan in range(10)]
    total = sums_of(assembled, data, people, 0.5)
    assert total.isfinite().all()
    without = sums_of(assembled, data, people[1:], 0.5)
    assert (total - without).norm() <= 0.5 * (1 + 1e-9)


class Viewed(Maps):
    """The same in views that differ much."""

    def inputs(self, indices: Sequence[int], views: Sequence[int]) -> torch.Tensor:
        factors = torch.tensor([1.0, -1.0, 0.3, -0.3])[list(views)]
        return self.maps[list(indices)] * factors[:, None, None, None, None]

    def draw_views(self, count: int, generator: torch.Generator) -> list[int]:
        return torch.randint(4, (count,), generator=generator).tolist()


def sum_of_a_step(assembled: AssembledModel, data: ScanSet, people: Sequence[str], clip: float) -> torch.Tensor:
    """The sum behind a whole step, which a step without noise at rate 0.1 tells."""
    settings = replace(PLAIN, encoder_learning_rate=0.1)
    start = _flat(read_state(assembled.model, assembled.trainable))
    trained = _flat(train(assembled, data, people, SampledGaussian(0.0, 1.0, 1), clip, settings))
    return (start - trained) * len(set(people)) / 0.1


def test_the_views_of_others_do_not_depend_on_a_person(build_model: BuildModel) -> None:
    """Drawn one after the other from a seed that the server knows, they all would: the first person shifts the rest."""
    assembled, _ = head_of(build_model, "linear")
    everyone, others = Viewed(10), Viewed(9)
    others.maps, others.labels = everyone.maps[1:], everyone.labels[1:]
    total = sum_of_a_step(assembled, everyone, list("abcdefghij"), 0.5)
    without = sum_of_a_step(assembled, others, list("bcdefghij"), 0.5)
    assert 0.4 < (total - without).norm() <= 0.5 * (1 + 1e-3)


def test_the_dropout_of_others_does_not_depend_on_a_person(
    build_model: BuildModel, scans: list[LabelledScan], features: Path
) -> None:
    model, trainable = build_model(Lora(rank=2, blocks="last:1", dropout=0.5))
    assembled = AssembledModel(model, trainable)
    prefix, cache = Prefix(model, trainable), FeatureCache(features)
    everyone, others = (open_scans(some, prefix, cache, model.encoder.spec.input) for some in (scans[:4], scans[1:4]))
    total = sum_of_a_step(assembled, everyone, list("abcd"), 0.5)
    without = sum_of_a_step(assembled, others, list("bcd"), 0.5)
    assert 0.4 < (total - without).norm() <= 0.5 * (1 + 1e-3)


def test_a_head_that_draws_is_refused(build_model: BuildModel) -> None:
    assembled, data = head_of(build_model, "linear")
    assembled.model.head.append(torch.nn.Dropout(0.5))
    with pytest.raises(RuntimeError, match="random"):
        train(assembled, data, list("abcdefghij"), SampledGaussian(1.0, 1.0, 1), 1.0)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_person_whose_gradient_is_not_finite_does_not_count(build_model: BuildModel, value: float) -> None:
    """Otherwise one person would turn the whole sum into NaN, or stop the round, which tells as much."""
    assembled, data = head_of(build_model, "linear")
    people = [[scan] for scan in range(10)]
    expected = sums_of(assembled, data, people[:3] + people[4:], 0.5)
    data.maps[3, 0, 0, 0, 0] = value
    torch.testing.assert_close(sums_of(assembled, data, people, 0.5), expected)


def test_groups_hold_whole_people() -> None:
    assert list(grouped([[0, 1, 2], [3], [4, 5], [6, 7, 8, 9, 10]], 4)) == [
        [[0, 1, 2], [3]],
        [[4, 5]],
        [[6, 7, 8, 9, 10]],
    ]
    assert list(grouped([], 4)) == []


def test_noise_has_its_deviation_and_sampling_its_rate(build_model: BuildModel) -> None:
    """Noise of σ C / (q n) at learning rate 1, on gradients of 0: the features are 0, and two classes balance."""
    assembled, data = head_of(build_model, "linear")
    data.maps.zero_()
    rate_1 = replace(PLAIN, head_learning_rate=1.0)
    trained = train(assembled, data, list("abcdefghij"), SampledGaussian(3.0, 0.25, 40), 0.5, rate_1)
    weight = next(name for name in trained if name.endswith("weight"))
    moved = trained[weight] - read_state(assembled.model, assembled.trainable)[weight]
    expected = math.sqrt(40) * 3.0 * 0.5 / (0.25 * 10)
    assert moved.std().item() == pytest.approx(expected, rel=3 / math.sqrt(2 * moved.numel()))


def test_each_person_is_drawn_alone(build_model: BuildModel) -> None:
    """The number of people in a step is binomial, not fixed; their sum is divided by the expected number."""
    assembled, data = head_of(build_model, "linear")
    seen: list[int] = []
    data.inputs = lambda indices, views: seen.append(len(set(indices))) or data.maps[list(indices)]  # type: ignore[assignment, func-returns-value]
    train(assembled, data, list("abcdefghij"), SampledGaussian(0.0, 0.3, 400), 1.0)
    assert sum(seen) / 400 == pytest.approx(3.0, abs=4 * math.sqrt(10 * 0.3 * 0.7 / 400))
    assert len(set(seen)) > 4


def test_terms_of_a_rule_are_added_after_the_noise(build_model: BuildModel) -> None:
    """FedProx pulls back what the first step moved; SCAFFOLD shifts each step and sends what follows from it."""
    assembled, data = head_of(build_model, "linear")
    mechanism, people = SampledGaussian(2.0, 1.0, 2), list("abcdefghij")
    plain = train(assembled, data, people, mechanism, 0.1)
    pulled = train(assembled, data, people, mechanism, 0.1, step=ProximalStep(mu=10.0))
    start = read_state(assembled.model, assembled.trainable)
    first = train(assembled, data, people, SampledGaussian(2.0, 1.0, 1), 0.1)
    for name in plain:  # w2' = w2 - 0.1 · 10 (w1 - w0)
        change = first[name] - start[name]
        torch.testing.assert_close(pulled[name] - plain[name], -1.0 * change, rtol=1e-2, atol=2e-3)
    control = {name: torch.ones_like(tensor) for name, tensor in start.items()}
    state, protection = dict(start), Protection(mechanism, 0.1, SeededDraws(ROUND))
    result = train_privately(
        assembled, state, data, people, PLAIN, protection, ROUND, step=ControlVariateStep(control=control)
    )
    trained = read_state(assembled.model, assembled.trainable)
    for name in start:  # c_k' - c_k = -c + (w0 - w) / (2 · 0.1)
        expected = -control[name] + (start[name] - trained[name]) / 0.2
        torch.testing.assert_close(result.parts[CONTROL_CHANGE][name].float(), expected.float(), rtol=1e-3, atol=1e-4)
    assert result.loss is None


def test_equal_causes_give_equal_bits_and_the_system_gives_others(build_model: BuildModel) -> None:
    assembled, data = head_of(build_model, "conv_s")
    people, mechanism = list("abcdefghij"), SampledGaussian(1.0, 0.5, 2)
    first, second = (train(assembled, data, people, mechanism, 1.0) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    state = read_state(assembled.model, assembled.trainable)
    protection = Protection(mechanism, 1.0, SystemDraws())
    train_privately(assembled, state, data, people, PLAIN, protection, ROUND)
    other = read_state(assembled.model, assembled.trainable)
    assert not any(torch.equal(first[name], other[name]) for name in first)


def test_a_deadline_ends_a_round(build_model: BuildModel) -> None:
    assembled, data = head_of(build_model, "linear")
    with pytest.raises(DeadlineExceeded, match=r"^A, round 1, step 1: the deadline passed, 3 steps left$"):
        train(assembled, data, list("abcdefghij"), SampledGaussian(1.0, 1.0, 3), 1.0, deadline=0.0)


def test_a_head_with_statistics_over_the_batch_is_refused(build_model: BuildModel) -> None:
    model, _ = build_model(Frozen(), "linear")
    model.head.append(torch.nn.BatchNorm1d(2))
    names = tuple(f"head.{name}" for name in model.head.state_dict())
    trainable = Trainable(names, tuple(name for name in names if name.endswith(("weight", "bias"))), STAGES)
    with pytest.raises(InputError, match=r"keeps statistics over the batch \(head.3.num_batches_tracked\)"):
        train(AssembledModel(model, trainable), Maps(4), list("abcd"), SampledGaussian(1.0, 1.0, 1), 1.0)


def lower_bound_of_epsilon(hits: int, false_hits: int, draws: int, delta: float) -> float:
    """Return the ε that a test shows: log((TPR − δ) / FPR), both at the worse end of Clopper and Pearson's 95% CI."""
    true_rate = beta.ppf(0.025, hits, draws - hits + 1) if hits else 0.0
    false_rate = beta.ppf(0.975, false_hits + 1, draws - false_hits)
    return math.log(max(true_rate - delta, 1e-12) / false_rate)


@pytest.mark.ci
@pytest.mark.parametrize("draws", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_an_attacker_who_knows_all_but_one_person_stays_below_epsilon(build_model: BuildModel, draws: int) -> None:
    """Black-box audit: a canary with the largest gradient, or nothing, and the statistic of the best test there is.

    The attacker projects the change of the state on the canary's own gradient, and chooses the threshold on half of the
    draws. Far less noise than is claimed is found out.
    """
    assembled, data = head_of(build_model, "linear")
    first, second = assembled.model.get_parameter("head.2.weight").detach()
    data.maps[9] = 1e3 * (first - second)[:, None, None, None]  # the canary: positive, and looks most negative
    others, everyone, clip, delta = list("abcdefghi"), list("abcdefghij"), 1.0, 1e-3
    start = read_state(assembled.model, assembled.trainable)
    exact = SampledGaussian(0.0, 1.0, 1)
    direction = _flat(train(assembled, data, everyone, exact, clip)) - _flat(_without(assembled, data, others, clip))
    direction /= direction.norm()

    def statistics(people: int, noise: float, first: int) -> torch.Tensor:
        found = []
        for number in range(draws):
            mechanism = SampledGaussian(noise, 1.0, 1)
            protection = Protection(mechanism, clip, SeededDraws(replace(ROUND, seed=first + number)))
            with _Only(data, people) as present:
                names = everyone[:people] + (["nobody"] if people == 9 else [])
                train_privately(assembled, start, present, names, PLAIN, protection, ROUND)
            found.append(_flat(read_state(assembled.model, assembled.trainable)) @ direction)
        return torch.stack(found)

    def shown(noise: float) -> float:
        within, outside = statistics(10, noise, 0), statistics(9, noise, 10**6)
        half = draws // 2
        bounds = [
            (lower_bound_of_epsilon(int((within[:half] > t).sum()), int((outside[:half] > t).sum()), half, delta), t)
            for t in torch.cat([within[:half], outside[:half]])
        ]
        threshold = max(bounds, key=lambda bound: bound[0])[1]
        hits, false_hits = int((within[half:] > threshold).sum()), int((outside[half:] > threshold).sum())
        return lower_bound_of_epsilon(hits, false_hits, draws - half, delta)

    claimed = epsilon_of({SampledGaussian(2.0, 1.0, 1): 1}, delta)
    assert shown(2.0) <= claimed
    assert shown(0.25) > claimed


class _Only:
    """The data with the scans of the canary blanked out, where it is not in the training set."""

    def __init__(self, data: Maps, people: int) -> None:
        self.data, self.people = data, people

    def __enter__(self) -> Maps:
        self.kept = self.data.maps
        if self.people == 9:
            self.data.maps = self.kept.clone()
            self.data.maps[9] = math.nan  # counts as nobody
        return self.data

    def __exit__(self, *raised: object) -> None:
        self.data.maps = self.kept


def _without(assembled: AssembledModel, data: Maps, others: list[str], clip: float) -> dict[str, torch.Tensor]:
    with _Only(data, 9) as present:
        return train(assembled, present, [*others, "nobody"], SampledGaussian(0.0, 1.0, 1), clip)


def _flat(state: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.cat([state[name].double().flatten() for name in sorted(state)])
