"""Sites that train alone at the same time: one ask per round, and the bits of one after the other."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import torch

from fedtune3d.aggregation.contract import RuleContext
from fedtune3d.aggregation.registry import build_rule
from fedtune3d.federation.in_process import InProcess
from fedtune3d.federation.lone_rounds import run_lone_rounds
from fedtune3d.federation.messages import LOCAL, Answer, Fault, Part, Task
from fedtune3d.federation.round_settings import RoundSettings
from fedtune3d.federation.round_state import RoundsFolder
from fedtune3d.federation.rounds import QuorumLostError, run_rounds
from fedtune3d.federation.tasks.score import ScoreAnswer
from fedtune3d.federation.tasks.train import TrainAnswer
from fedtune3d.training.faults import SiteFault
from fedtune3d.training.scores import Scores

INITIAL = {"weight": torch.tensor([0.1, -3.0])}
NUMBERS = {"A": 1.0, "B": 5.0, "C": 0.25}


class Adder:
    """A site that adds its own number to the state, after as many faults as it is given per round."""

    def __init__(self, name: str, faults: int = 0) -> None:
        self.name, self.faults = name, faults
        self.asked: list[int] = []

    def answer(self, task: Task) -> Answer:
        assert task.namespace == LOCAL
        self.asked.append(task.round)
        scores = Scores(auc=0.5 + 0.01 * task.round, balanced_accuracy=None, loss=1.0, examples=4, why=None)
        if task.kind == "score":
            return Answer(self.name, ScoreAnswer(received=scores))
        if self.asked.count(task.round) <= self.faults:
            raise SiteFault("no luck")
        state = {"weight": task.parts["state"]["weight"] * 1.1 + NUMBERS[self.name]}
        return Answer(self.name, TrainAnswer(examples=4, people=4, loss=0.1, received=scores), {"state": state})


class Counting(InProcess):
    """Counts the asks, and the sites in each."""

    def __init__(self, sites: Mapping[str, Adder]) -> None:
        super().__init__(sites)
        self.sizes: list[int] = []

    def ask(self, tasks: Mapping[str, Task]) -> Iterator[Answer | Fault]:
        self.sizes.append(len(tasks))
        return super().ask(tasks)


def context(sites: tuple[str, ...]) -> RuleContext:
    return RuleContext(sites=sites)


def run_together(
    federation: InProcess, folder: Path, rounds: int = 3, lost: dict[str, str] | None = None
) -> tuple[str, ...]:
    def on_lost(site: str, error: QuorumLostError) -> None:
        if lost is None:
            raise error
        lost[site] = str(error)

    return run_lone_rounds(
        federation,
        {site: RoundsFolder(folder / site) for site in federation.sites},
        lambda: build_rule("fedavg"),
        RoundSettings(rounds=rounds),
        INITIAL,
        context,
        lambda done, total: None,
        on_lost,
    )


def run_in_turn(sites: Mapping[str, Adder], folder: Path, rounds: int = 3) -> None:
    for site in sites:
        alone = Part(InProcess(sites), (site,), LOCAL)
        run_rounds(
            alone,
            build_rule("fedavg"),
            RoundsFolder(folder / site),
            RoundSettings(rounds=rounds),
            INITIAL,
            context((site,)),
        )


def check_the_same(together: Path, in_turn: Path) -> None:
    for site in NUMBERS:
        for name in ("last", "best"):
            path = Path(site) / "checkpoints" / f"{name}.safetensors"
            assert (together / path).read_bytes() == (in_turn / path).read_bytes(), path
        lines = [RoundsFolder(folder / site).lines() for folder in (together, in_turn)]
        assert [(line.round, line.kind, line.validation, line.faults_before) for line in lines[0]] == [
            (line.round, line.kind, line.validation, line.faults_before) for line in lines[1]
        ]
        assert not (together / site / "spool").exists()


def test_one_ask_per_round_gives_the_bits_of_one_site_after_the_other(tmp_path: Path) -> None:
    federation = Counting({name: Adder(name) for name in NUMBERS})
    assert run_together(federation, tmp_path / "together") == ("A", "B", "C")
    assert federation.sizes == [3, 3, 3, 3]  # three rounds, and the last state's score
    run_in_turn({name: Adder(name) for name in NUMBERS}, tmp_path / "in-turn")
    check_the_same(tmp_path / "together", tmp_path / "in-turn")


def test_a_site_that_needs_another_attempt_is_asked_again_alone(tmp_path: Path) -> None:
    federation = Counting({name: Adder(name, faults=name == "B") for name in NUMBERS})
    run_together(federation, tmp_path / "together")
    assert federation.sizes == [3, 1, 3, 1, 3, 1, 3]
    run_in_turn({name: Adder(name, faults=name == "B") for name in NUMBERS}, tmp_path / "in-turn")
    check_the_same(tmp_path / "together", tmp_path / "in-turn")


def test_a_site_without_an_update_leaves_the_others_at_work(tmp_path: Path) -> None:
    lost: dict[str, str] = {}
    federation = InProcess({name: Adder(name, faults=9 * (name == "A")) for name in NUMBERS})
    assert run_together(federation, tmp_path, lost=lost) == ("B", "C")
    assert lost.keys() == {"A"}
    assert "round 1 needs updates from 1 of 1 sites" in lost["A"]
    with pytest.raises(QuorumLostError, match="A: no luck"):
        run_together(federation, tmp_path / "strict")


def test_sites_stopped_in_different_rounds_go_on_to_the_same_bits(tmp_path: Path) -> None:
    sites = {name: Adder(name) for name in NUMBERS}
    run_in_turn({"A": sites["A"]}, tmp_path / "together", rounds=1)
    run_in_turn({"B": sites["B"]}, tmp_path / "together", rounds=2)
    assert run_together(InProcess(sites), tmp_path / "together") == ("A", "B", "C")
    run_in_turn({name: Adder(name) for name in NUMBERS}, tmp_path / "in-turn")
    check_the_same(tmp_path / "together", tmp_path / "in-turn")
    before = [len(site.asked) for site in sites.values()]
    run_together(InProcess(sites), tmp_path / "together")
    assert [len(site.asked) for site in sites.values()] == before  # all are finished
