"""A curious server and the sums of a number: it solves them for whole numbers of few people, and tries crafted states.

The site is real, with the policy of a hospital; the server knows the experiment and sends what it likes.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from fedtune3d._utils.progress import Silent
from fedtune3d._utils.state_dicts import State
from fedtune3d.config.experiment import Experiment
from fedtune3d.config.policy import Policy
from fedtune3d.evaluation.outcome import BINARY, NumberOutcome
from fedtune3d.evaluation.regression.number_predictions import NumberPredictions
from fedtune3d.evaluation.regression.residual_bins import residual_bins
from fedtune3d.evaluation.regression.summary import NumberSummary, summarise_numbers
from fedtune3d.federation.messages import Task
from fedtune3d.federation.privacy.gate import PolicyGate
from fedtune3d.federation.privacy.refusal import Refusal
from fedtune3d.federation.privacy.suppression import reveals_numbers
from fedtune3d.federation.tasks.assign_splits import AssignSplits
from fedtune3d.federation.tasks.count_scans import CountScans
from fedtune3d.federation.tasks.describe_people import DescribePeople
from fedtune3d.federation.tasks.evaluate import Evaluate, Evaluation
from fedtune3d.federation.tasks.registry import declared_answer
from fedtune3d.federation.tasks.train import Train, TrainAnswer
from fedtune3d.models.tuning import read_state
from fedtune3d.workflows.approve import approve, read_request
from fedtune3d.workflows.sites import make_hosted_site

pytest.importorskip("flwr")

from fedtune3d.federation.flower.site_host import SiteHost
from fedtune3d.federation.flower.wire import Occasion

PEOPLE = 48
MMSE = (0, 30)
LIMITS = (0.0, 30.0)
ROUNDS = 8
STEP = {"keep_local": [], "frozen": [], "score_kind": "auc"}


def solutions(people: int, total: int, squares: int, low: int = 0, high: int = 30) -> Iterator[tuple[int, ...]]:
    """All ascending whole numbers from `low` to `high` with this sum and sum of squares."""
    if people == 0:
        if total == squares == 0:
            yield ()
        return
    # All that are left are at least `low`, and their squares at least those of equal numbers.
    for number in range(low, min(high, total // people) + 1):
        rest, left, others = total - number, squares - number**2, people - 1
        if left < 0 or rest > high * others or (others and (rest**2 > left * others or left > high * rest)):
            continue
        yield from ((number, *more) for more in solutions(others, rest, left, number, high))


def known_ranks(found: list[tuple[int, ...]]) -> int:
    """How many of the people, in ascending order, have the same number in all solutions."""
    return sum(len(set(numbers)) == 1 for numbers in zip(*found, strict=True))


def sums_of(summary: NumberSummary) -> tuple[int, int, int]:
    """People, sum and sum of squares of their numbers, as the server computes them from what it was sent."""
    joint, middle = summary.test.joint, summary.reference
    total = joint.truth + joint.scans * middle
    squares = joint.truth_squared + 2 * middle * joint.truth + joint.scans * middle**2
    return joint.people, round(total), round(squares)


def constant(truth: Sequence[int], predicted: float) -> NumberPredictions:
    """A model that predicts the same number for everybody."""
    names = tuple(f"sub-{row:02d}" for row in range(len(truth)))
    return NumberPredictions(names, ("",) * len(truth), np.array(truth, float), np.full(len(truth), predicted))


def sent(truth: Sequence[int], predicted: float, min_people: int, federated: float | None = None) -> NumberSummary:
    """What leaves a site that keeps its predictions."""
    test, other = constant(truth, predicted), None if federated is None else constant(truth, federated)
    return summarise_numbers(test, test, LIMITS, share_predictions=False, min_people=min_people, federated=other)


def crafted(truth: Sequence[int]) -> Iterator[NumberSummary]:
    """What leaves for three methods whose models the server made up."""
    people = len(truth)
    return (sent(truth, *methods) for methods in ((23.0, people), (12.0, people, 23.0), (40.0, people, 23.0)))


def explanations(truth: list[int]) -> Iterator[tuple[int, ...]]:
    """The whole numbers for which the server would have been sent the same."""
    told = list(crafted(truth))
    for numbers in solutions(*sums_of(told[0])):
        if all(own == other for own, other in zip(crafted(numbers), told, strict=True)):
            yield numbers


@pytest.mark.ci
def test_of_twice_as_many_people_no_number_follows_even_from_crafted_models() -> None:
    for seed in range(4):
        truth = sorted(np.random.default_rng(seed).integers(17, 30, 10).tolist())
        found = list(islice(explanations(truth), 20))
        assert len(found) > 1, truth
        assert known_ranks(found) < 5, (truth, found)


@pytest.mark.slow
def test_how_far_ten_scores_are_narrowed_down() -> None:
    """The figures of docs/threat-model.md: what remains possible, and within how many points each rank is known."""
    sizes, ranges = [], []
    for seed in range(12):
        found = list(explanations(sorted(np.random.default_rng(seed).integers(17, 30, 10).tolist())))
        sizes.append(len(found))
        ranges += [max(ranks) - min(ranks) for ranks in zip(*found, strict=True)]
    assert (min(sizes), np.median(sizes), max(sizes)) == (4, 53, 161)
    assert (min(ranges), max(ranges)) == (0, 6)


def test_of_five_people_numbers_would_follow() -> None:
    """The attack works, and is why a policy of five people asks for ten of a number."""
    known = []
    for seed in range(20):
        truth = sorted(np.random.default_rng(seed).integers(17, 30, 5).tolist())
        known.append(known_ranks(list(explanations(truth))))
    assert known.count(5) > 5
    assert Policy(min_people=5).for_outcome(NumberOutcome("mmse", *LIMITS, "", "error")).min_people == 10
    assert Policy(min_people=5).for_outcome(BINARY).min_people == 5
    assert Policy().for_outcome(NumberOutcome("mmse", *LIMITS, "", "error")).min_people == 1


def test_of_a_narrow_range_nobody_is_counted() -> None:
    """A range of MMSE holds two or three values: from its exact sums, their counts would follow."""
    sums = {
        tuple(
            (part.truth, part.error, part.squared_error)
            for part in residual_bins(constant([20] * twenties + [21] * (10 - twenties), 25.0), LIMITS, 10)
        )
        for twenties in range(3, 8)
    }
    assert len(sums) <= 3


def write_hospital(folder: Path, write_small_site: Callable[..., None]) -> None:
    """48 people with two images between them; in the second column, six have no number."""
    write_small_site(folder / "bids", 2, seed=4)
    scores = np.random.default_rng(3).integers(17, 30, PEOPLE)
    rows = ["participant_id\tdiagnosis\tmmse\tsix_less"]
    for number, score in enumerate(scores):
        name = f"sub-{number:02d}"
        rows.append(f"{name}\tCN\t{score}\t{'n/a' if number < 6 else score}")
        scan = folder / "bids" / name / "anat" / f"{name}_T1w.nii.gz"
        if not scan.exists():
            scan.parent.mkdir(parents=True)
            os.link(folder / "bids" / f"sub-{number % 2:02d}" / "anat" / f"sub-{number % 2:02d}_T1w.nii.gz", scan)
    (folder / "bids" / "participants.tsv").write_text("\n".join(rows) + "\n")
    settings = {"name": "A", "server": "localhost:1", "data": "bids", "columns": ["mmse", "six_less"]}
    (folder / "site.yaml").write_text(yaml.safe_dump(settings))


def ask(folder: Path, column: str, **changes: object) -> tuple[PolicyGate, State]:
    """Have an experiment approved, and return the gate of its site and the state of its model."""
    values = {
        "name": column,
        "sites": [{"name": "A"}],
        "target": {"column": column, "range": list(MMSE), "missing": "leave_out"},
        "splits": {"train": 0.4, "validation": 0.3, "test": 0.3},
        "model": {"encoder": "tiny", "head": "linear"},
        "training": {"rounds": ROUNDS},
        **changes,
    }
    file = folder / "experiment.yaml"
    file.write_text(yaml.safe_dump(values))
    approve(folder, read_request(folder, file))
    experiment = Experiment.from_yaml(file)
    host = SiteHost(folder, make_hosted_site, Silent())
    gate, site = host._open(Occasion(experiment.public(), experiment.sha256(), None))
    assembled = site.process_model.assembled
    return gate, read_state(assembled.model, assembled.trainable)


def predicting(state: State, number: float) -> State:
    """A state of the linear head that predicts the same number for everybody."""
    scaled = (2 * number - sum(MMSE)) / (MMSE[1] - MMSE[0])
    return {
        name: torch.full_like(tensor, scaled) if name.endswith("bias") else torch.zeros_like(tensor)
        for name, tensor in state.items()
    }


@pytest.mark.ci
def test_constants_in_every_round_tell_a_mean_and_a_variance(
    tmp_path: Path, write_small_site: Callable[..., None]
) -> None:
    write_hospital(tmp_path, write_small_site)
    gate, state = ask(tmp_path, "mmse")
    for first in (CountScans(), AssignSplits(groups={})):
        gate.answer(Task(first))
    constants, told = np.linspace(16, 30, ROUNDS), []
    for round_, number in enumerate(constants, 1):
        task = Task(Train(rule="fedavg", step=STEP), round_, parts={"state": predicting(state, number)})
        received = gate.answer(task).expect(TrainAnswer).received
        assert received is not None
        assert received.loss is not None
        told.append((received.loss * (MMSE[1] - MMSE[0])) ** 2)
    # (c − mean)² + variance: what the first two rounds tell, the others follow from.
    mean = (constants[1] ** 2 - constants[0] ** 2 - told[1] + told[0]) / (2 * (constants[1] - constants[0]))
    variance = told[0] - (constants[0] - mean) ** 2
    assert told == pytest.approx(((constants - mean) ** 2 + variance).tolist(), abs=1e-3)
    answer = gate.answer(Task(Evaluate(method="federated"), parts={"state": predicting(state, constants[-1])}))
    summary = answer.expect(Evaluation).summary
    assert isinstance(summary, NumberSummary)
    people, total, squares = sums_of(summary)
    assert people >= 10
    assert summary.test.absolute_error.total % (30 / 24) == pytest.approx(0)
    found = list(islice(solutions(people, total, squares), 50))
    assert known_ranks(found) < people


@pytest.mark.slow
def test_of_two_targets_that_differ_in_a_few_people_one_releases_numbers(
    tmp_path: Path, write_small_site: Callable[..., None]
) -> None:
    write_hospital(tmp_path, write_small_site)
    kinds = {}
    for column in ("mmse", "six_less"):
        gate, _ = ask(tmp_path, column)
        tasks = (Task(CountScans()), Task(AssignSplits(groups={})), Task(DescribePeople()))
        kinds[column] = {task.kind for task in tasks if reveals_numbers(gate.answer(task), declared_answer(task.kind))}
    assert kinds["mmse"]
    assert kinds["six_less"] == set()  # six people are more than the policy's five, and fewer than ten


@pytest.mark.slow
def test_nothing_is_told_of_fewer_than_ten(tmp_path: Path, write_small_site: Callable[..., None]) -> None:
    write_hospital(tmp_path, write_small_site)
    gate, state = ask(tmp_path, "mmse", splits={"train": 0.7, "validation": 0.15, "test": 0.15})
    for first in (CountScans(), AssignSplits(groups={})):
        gate.answer(Task(first))
    task = Task(Train(rule="fedavg", step=STEP), 1, parts={"state": state})
    answer = gate.answer(task).expect(TrainAnswer)
    assert (answer.received, answer.sent, answer.validation_people) == (None, None, 0)
    evaluated = gate.answer(Task(Evaluate(method="federated"), parts={"state": state})).expect(Evaluation).summary
    assert isinstance(evaluated, NumberSummary)
    assert (evaluated.test.joint.people, evaluated.validation.people) == (0, 0)


@pytest.mark.slow
def test_a_site_of_few_people_does_not_train(tmp_path: Path, write_small_site: Callable[..., None]) -> None:
    write_hospital(tmp_path, write_small_site)
    rows = (tmp_path / "bids" / "participants.tsv").read_text().splitlines()
    (tmp_path / "bids" / "participants.tsv").write_text("\n".join(rows[:14]) + "\n")
    gate, state = ask(tmp_path, "mmse")
    for first in (CountScans(), AssignSplits(groups={})):
        gate.answer(Task(first))
    with pytest.raises(Refusal, match=r"policy\.min_people of site A is 10"):
        gate.answer(Task(Train(rule="fedavg", step=STEP), 1, parts={"state": state}))
