"""The round loop over sites that do arithmetic instead of training: every number can be worked out by hand."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from fedtune3d._utils.ledgers import append_line
from fedtune3d._utils.state_dicts import State, load_info, load_state
from fedtune3d.aggregation.contract import RuleContext
from fedtune3d.aggregation.registry import build_rule
from fedtune3d.aggregation.site_scores import SiteScore
from fedtune3d.federation import arrived_updates
from fedtune3d.federation.in_process import InProcess
from fedtune3d.federation.ledger import SiteEntry
from fedtune3d.federation.messages import Answer, Task
from fedtune3d.federation.round_settings import RoundSettings
from fedtune3d.federation.round_state import RoundsFolder, RoundState
from fedtune3d.federation.rounds import QuorumLostError, run_rounds
from fedtune3d.federation.tasks.score import ScoreAnswer
from fedtune3d.federation.tasks.train import TrainAnswer
from fedtune3d.training.faults import SiteFault
from fedtune3d.training.scores import Scores

INITIAL = {"head.weight": torch.zeros(2, 3), "head.bias": torch.ones(2)}


class Adder:
    """A site that adds its own number to every tensor, and whose validation AUC is what the round says."""

    def __init__(self, name: str, number: float, examples: int, aucs: tuple[float | None, ...] = (0.5,) * 99) -> None:
        self.name, self.number, self.examples, self.aucs = name, number, examples, aucs
        self.tasks: list[Task] = []

    def answer(self, task: Task) -> Answer:
        self.tasks.append(task)
        scores = Scores(auc=self.aucs[task.round - 1], balanced_accuracy=None, loss=1.0, examples=4, why=None)
        if task.kind == "score":
            return Answer(self.name, ScoreAnswer(received=scores))
        state = {name: tensor + self.number for name, tensor in task.parts["state"].items()}
        return Answer(
            self.name,
            TrainAnswer(examples=self.examples, people=self.examples, loss=0.1, received=scores),
            {"state": state},
        )


def run(folder: Path, sites: dict, rounds: int = 3, **settings: object) -> RoundState:
    rule = build_rule("fedavg")
    chosen = RoundSettings(rounds=rounds, **{"best_round": "highest_auc", **settings})  # type: ignore[arg-type]
    return run_rounds(InProcess(sites), rule, RoundsFolder(folder), chosen, INITIAL, RuleContext(sites=tuple(sites)))


def two_sites() -> dict[str, Adder]:
    return {"A": Adder("A", 1.0, 30), "B": Adder("B", 5.0, 10)}


def test_state_ledger_and_best_by_hand(tmp_path: Path) -> None:
    sites = {"A": Adder("A", 1.0, 30, (0.9, 0.6, 0.7, 0.5)), "B": Adder("B", 5.0, 10, (0.9, None, 0.7, 0.8))}
    round_state = run(tmp_path, sites)
    torch.testing.assert_close(
        round_state.state["head.weight"], torch.full((2, 3), 6.0)
    )  # 3 rounds of (30·1 + 10·5) / 40
    lines = RoundsFolder(tmp_path).lines()
    assert [(line.round, line.kind) for line in lines] == [(1, "train"), (2, "train"), (3, "train"), (4, "score")]
    assert lines[0].sites["A"] == SiteEntry(
        participated=True,
        bytes_down=32,
        bytes_up=32,
        weight=0.75,
        examples=30,
        loss=0.1,
        received=Scores(auc=0.9, balanced_accuracy=None, loss=1.0, examples=4, why=None),
        seconds=0.0,
        peak_memory_bytes=0,
    )
    assert [line.validation.mean_auc for line in lines] == pytest.approx([0.9, 0.6, 0.7, 0.65])
    assert round_state.best.round == 2  # round 0 is untrained and never the best
    torch.testing.assert_close(load_state(RoundsFolder(tmp_path).best)["head.weight"], torch.full((2, 3), 4.0))


def test_updates_on_disk_give_the_bits_of_updates_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_memory = run(tmp_path / "in-memory", two_sites())
    monkeypatch.setattr(arrived_updates, "KEPT_BYTES", 0)
    on_disk = run(tmp_path / "on-disk", two_sites())
    assert all(torch.equal(on_disk.state[name], tensor) for name, tensor in in_memory.state.items())
    last = [RoundsFolder(tmp_path / name).last.read_bytes() for name in ("in-memory", "on-disk")]
    assert last[0] == last[1]


def test_tie_goes_to_the_earlier_round(tmp_path: Path) -> None:
    assert run(tmp_path, two_sites()).best.round == 1


def spoil(name: str, change: Callable[[Answer], Answer], rounds: tuple[int, ...]) -> dict[str, Adder]:
    """Two good sites and a third that spoils its answers in the given rounds."""
    sites = two_sites() | {name: Adder(name, 100.0, 40)}
    honest = sites[name].answer

    def answer(task: Task) -> Answer:
        reply = honest(task)
        return change(reply) if task.round in rounds and task.kind == "train" else reply

    sites[name].answer = answer  # type: ignore[method-assign]
    return sites


def with_state(change: Callable[[State], State]) -> Callable[[Answer], Answer]:
    return lambda reply: dataclasses.replace(reply, parts={"state": change(dict(reply.parts["state"]))})


def with_payload(reply: Answer, **changes: object) -> Answer:
    return dataclasses.replace(reply, payload=reply.payload.model_copy(update=changes))


def raise_it(reply: Answer) -> Answer:
    raise SiteFault("the site lost its power")


FAULTS = {
    "raises": (raise_it, "the site lost its power"),
    "missing name": (with_state(lambda s: {"head.bias": s["head.bias"]}), "head.weight missing"),
    "extra name": (with_state(lambda s: s | {"x": torch.ones(1)}), "x not expected"),
    "shape": (with_state(lambda s: s | {"head.bias": torch.ones(3)}), "head.bias: expected shape (2,), got (3,)"),
    "dtype": (
        with_state(lambda s: s | {"head.bias": torch.ones(2).double()}),
        "expected torch.float32, got torch.float64",
    ),
    "nan": (with_state(lambda s: s | {"head.bias": torch.tensor([1.0, torch.nan])}), "head.bias: contains NaN"),
    "infinite": (with_state(lambda s: s | {"head.bias": torch.tensor([1.0, torch.inf])}), "NaN or infinite"),
    "huge": (with_state(lambda s: s | {"head.bias": torch.full((2,), 1e9)}), "above the limit of 1e+06"),
    "no examples": (
        lambda reply: with_payload(reply, examples=0),
        "expected at least 1 training example, got 0",
    ),
    "score": (
        lambda reply: with_payload(reply, scores={"made_up": SiteScore(0.5, "auc", 4)}),
        "expected the scores received_score, sent_score, got made_up",
    ),
    "no state": (lambda reply: dataclasses.replace(reply, parts={}), "contains no state"),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_spoilt_update_is_refused_by_name_and_leaves_no_trace(tmp_path: Path, kind: str) -> None:
    change, message = FAULTS[kind]
    spoilt = run(tmp_path / "spoilt", spoil("C", change, rounds=(2,)))
    line = RoundsFolder(tmp_path / "spoilt").lines()[1]
    assert message in line.sites["C"].fault
    assert not line.sites["C"].participated
    assert line.sites["C"].weight is None

    def recorded(round_: int) -> tuple[str, ...]:
        return ("A", "B") if round_ == 2 else ("A", "B", "C")

    clean = run(tmp_path / "clean", two_sites() | {"C": Adder("C", 100.0, 40)}, participants=recorded)
    assert torch.equal(spoilt.state["head.weight"], clean.state["head.weight"])


def test_without_a_quorum_the_round_is_retried_then_the_run_stops_saved_and_goes_on(tmp_path: Path) -> None:
    sites = spoil("C", raise_it, rounds=(2,))
    with pytest.raises(
        QuorumLostError, match="round 2 needs updates from 3 of 3 sites, but received too few in 2 attempts"
    ):
        run(tmp_path, sites, quorum=3)
    assert load_info(RoundsFolder(tmp_path).last)["round"] == 1
    mended = two_sites() | {"C": Adder("C", 100.0, 40)}
    resumed = run(tmp_path, mended, quorum=3)
    alone = run(tmp_path / "alone", two_sites() | {"C": Adder("C", 100.0, 40)}, quorum=3)
    assert torch.equal(resumed.state["head.weight"], alone.state["head.weight"])


def test_a_task_names_the_version_of_the_memory_that_was_accepted_last(tmp_path: Path) -> None:
    sites = spoil("C", raise_it, rounds=(2,))
    run(tmp_path, sites, rounds=4)
    assert [task.memory_version for task in sites["C"].tasks] == [None, 1, 1, 3, 4]


def test_sites_that_do_not_train_still_score(tmp_path: Path) -> None:
    sites = {name: Adder(name, 1.0, 1) for name in "ABCD"}
    run(tmp_path, sites, rounds=6, fraction=0.5)
    for line in RoundsFolder(tmp_path).lines()[:-1]:
        assert sum(entry.participated for entry in line.sites.values()) == 2
        assert all(entry.received.auc == 0.5 for entry in line.sites.values())


def test_uncommitted_ledger_lines_are_dropped_on_resume(tmp_path: Path) -> None:
    folder = RoundsFolder(tmp_path)
    run(tmp_path, two_sites(), rounds=2)
    append_line(folder.ledger, {"round": 3, "kind": "train"})
    with folder.ledger.open("a") as file:
        file.write('{"round": 4, "ki')
    folder.load()
    assert [line.round for line in folder.lines()] == [1, 2, 3]
