"""The account of an experiment: charged before, once for the same task, over restarts, and never cut unseen."""

from pathlib import Path

import pytest
import torch

from fedtune3d._utils.errors import DamagedFileError
from fedtune3d.federation.messages import Answer, Task
from fedtune3d.federation.privacy.account import Account, task_sha256
from fedtune3d.federation.privacy.budget import Allowance
from fedtune3d.federation.privacy.refusal import Refusal
from fedtune3d.federation.tasks.count_scans import CountScans
from fedtune3d.federation.tasks.evaluate import Evaluate
from fedtune3d.federation.tasks.score import Score, ScoreAnswer
from fedtune3d.federation.tasks.train import Train, TrainAnswer

BUDGET = {
    "train fedavg": Allowance(4, frozenset({1, 2}), 2),
    "score": Allowance(2, frozenset({3}), 2),
    "evaluate federated": Allowance(1),
}


def account(folder: Path, terms: str = "") -> Account:
    return Account(folder / "charges.jsonl", folder / "answers", "e" * 64, "A", BUDGET, 2, terms)


def state(value: float) -> dict[str, torch.Tensor]:
    return {"w": torch.tensor([value])}


def train(round_: int, value: float = 0.0) -> Task:
    return Task(Train(rule="fedavg", step={}), round_, parts={"state": state(value)})


def evaluate(value: float) -> Task:
    return Task(Evaluate(method="federated"), parts={"state": state(value)})


def test_the_identity_of_a_task_is_all_that_its_answer_follows_from() -> None:
    same = Task(Train(rule="fedavg", step={}), 1, parts={"state": state(0.0)}, deadline_seconds=9.0)
    others = [train(2), train(1, 1.0), Task(Score(), 1, parts={"state": state(0.0)}), evaluate(0.0)]
    others.append(Task(Train(rule="fedavg", step={"mu": 1}), 1, parts={"state": state(0.0)}))
    others.append(Task(Train(rule="fedavg", step={}), 1, parts={"state": state(0.0)}, memory_version=0))
    assert task_sha256(same) == task_sha256(train(1))
    assert len({task_sha256(task) for task in (*others, same)}) == 7


def test_retries_of_a_round_are_bounded_and_the_same_task_costs_nothing(tmp_path: Path) -> None:
    assert account(tmp_path).charge(train(1)) == "train fedavg: 1 of 4"
    assert account(tmp_path).charge(train(1, 1.0)) == "train fedavg: 2 of 4"
    for _ in range(3):
        assert account(tmp_path).charge(train(1)) == "train fedavg: the same task again, uncharged"
    with pytest.raises(Refusal, match=r"needs 2 × train fedavg in round 1, and those were answered already$"):
        account(tmp_path).charge(train(1, 2.0))
    assert account(tmp_path).charge(train(2)) == "train fedavg: 3 of 4"


@pytest.mark.parametrize(
    ("task", "line"),
    [
        (Task(CountScans()), "the approved experiment needs no count_scans"),
        (train(3), "the approved experiment needs no train fedavg in round 3"),
        (Task(Train(rule="ncc", step={}), 1), "the approved experiment needs no train ncc in round 1"),
        (Task(Score(), 1, namespace="local"), r"the approved experiment needs no score \(local\) in round 1"),
        (evaluate(0.0), "evaluate federated: the state is none that this site received in the rounds"),
    ],
)
def test_what_the_experiment_does_not_need_is_refused(tmp_path: Path, task: Task, line: str) -> None:
    with pytest.raises(Refusal, match=line):
        account(tmp_path).charge(task)
    assert not (tmp_path / "charges.jsonl").exists()


def test_only_a_state_of_the_rounds_is_evaluated(tmp_path: Path) -> None:
    own = account(tmp_path)
    for task in (train(1, 1.0), train(2, 2.0), Task(Score(), 3, parts={"state": state(3.0)})):
        own.charge(task)
    with pytest.raises(Refusal, match="the state is none that this site received"):
        own.charge(evaluate(9.0))
    own.charge(evaluate(2.0))
    with pytest.raises(Refusal, match="needs 1 × evaluate federated, and that was answered already"):
        own.charge(evaluate(1.0))


def test_a_site_that_missed_a_round_evaluates_that_rounds_state(tmp_path: Path) -> None:
    own = account(tmp_path)
    own.charge(train(1, 1.0))
    assert own.charge(evaluate(2.0)) == "evaluate federated: 1 of 1"


def test_answers_are_kept_and_older_updates_give_way(tmp_path: Path) -> None:
    own = account(tmp_path)
    answer = Answer("A", TrainAnswer(examples=4, people=4, loss=0.5), {"state": state(1.5)})
    own.keep(train(1), answer)
    stored = account(tmp_path).stored(train(1), TrainAnswer)
    assert stored is not None
    assert (stored.payload, stored.parts["state"]["w"].item()) == (answer.payload, 1.5)
    own.keep(train(2), answer)
    assert own.stored(train(1), TrainAnswer) is None
    own.keep(Task(Score(), 3), Answer("A", ScoreAnswer()))
    assert own.stored(Task(Score(), 3), ScoreAnswer) == Answer("A", ScoreAnswer())
    assert own.stored(train(2), TrainAnswer) is not None


def test_an_answer_is_not_given_again_under_another_policy(tmp_path: Path) -> None:
    """A hospital that raises `min_people` does not mean the answers to come only."""
    account(tmp_path).keep(train(1), Answer("A", TrainAnswer(), {"state": state(1.5)}))
    assert account(tmp_path, terms="stricter").stored(train(1), TrainAnswer) is None
    assert account(tmp_path).stored(train(1), TrainAnswer) is not None


def test_a_damaged_stored_answer_is_computed_again(tmp_path: Path) -> None:
    own = account(tmp_path)
    own.keep(train(1), Answer("A", TrainAnswer(), {"state": state(1.5)}))
    (path,) = (tmp_path / "answers").iterdir()
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    assert own.stored(train(1), TrainAnswer) is None
    assert not path.exists()


def test_charges_that_were_cut_off_are_missed(tmp_path: Path) -> None:
    own, path = account(tmp_path), tmp_path / "charges.jsonl"
    own.charge(train(1))
    own.charge(train(2))
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(lines[0])
    with pytest.raises(DamagedFileError, match="has lost lines: expected 2 or more, found 1"):
        account(tmp_path)
    path.unlink()
    with pytest.raises(DamagedFileError, match="has lost lines: expected 2 or more, found 0"):
        account(tmp_path)
