"""Two hundred rounds with faults at every point, against a fault-free run over the recorded participation."""

from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_sites import Killed, Member

from fedtune3d._utils.state_dicts import state_sha256
from fedtune3d.aggregation.contract import RuleContext
from fedtune3d.aggregation.registry import build_rule
from fedtune3d.config.experiment import Experiment
from fedtune3d.federation.in_process import InProcess
from fedtune3d.federation.ledger import LedgerLine, append_ledger_line
from fedtune3d.federation.messages import Answer, Task
from fedtune3d.federation.process_model import ProcessModel
from fedtune3d.federation.round_settings import RoundSettings
from fedtune3d.federation.round_state import RoundsFolder, RoundState
from fedtune3d.federation.rounds import QuorumLostError, run_rounds
from fedtune3d.models.normalisation import normalisation_names
from fedtune3d.models.tuning import read_state
from fedtune3d.training.faults import SiteFault

pytestmark = pytest.mark.ci

SITES = ("A", "B", "C", "D")
RULES = {
    "fedavg": "linear",
    "fedavgm": "linear",
    "fedadam": "linear",
    "fedprox": "linear",
    "fedce": "linear",
    "rate_my_lora": "linear",
    "qfedavg": "linear",
    "scaffold": "linear",
    "median": "linear",
    "krum": "linear",
    "fedbn": "conv_s",
}


class Unlucky:
    """A site whose answers get lost, spoilt or late, by dice."""

    def __init__(self, site: Member, dice: np.random.Generator) -> None:
        self.site, self.dice = site, dice

    def answer(self, task: Task) -> Answer:
        if task.kind != "train":
            return self.site.answer(task)
        fate = self.dice.choice(
            ["fine", "deaf", "lost", "nan", "shape", "killed"], p=[0.8, 0.04, 0.04, 0.04, 0.04, 0.04]
        )
        if fate == "deaf":
            raise SiteFault("no answer")
        reply = self.site.answer(task)  # from here on the site has saved its memory
        if fate == "lost":
            raise SiteFault("the answer was lost on the way")
        if fate == "killed":
            raise Killed
        name = min(reply.parts["state"])
        if fate == "nan":
            reply.parts["state"][name].fill_(torch.nan)
        if fate == "shape":
            reply.parts["state"][name] = torch.zeros(1)  # type: ignore[index]
        return reply


class Mortal(RoundsFolder):
    """A run folder whose process dies while it commits, by dice."""

    def __init__(self, folder: Path, dice: np.random.Generator) -> None:
        super().__init__(folder)
        self.dice = dice

    def commit(self, round_state: RoundState, line: LedgerLine | None = None) -> RoundState:
        if line is not None and self.dice.random() < 0.03:
            append_ledger_line(self.ledger, line)
            raise Killed
        committed = super().commit(round_state, line)
        if self.dice.random() < 0.03:
            raise Killed
        return committed


def process_model(rule: str) -> ProcessModel:
    values = {
        "name": "soak",
        "sites": [{"name": site} for site in SITES],
        "labels": {"positive": ["AD"], "negative": ["CN"]},
        "model": {"encoder": "tiny", "head": RULES[rule]},
        "training": {"optimizer": "sgd", "head_learning_rate": 0.05, "batch_size": 4, "rounds": 200},
        "aggregation": {"rule": rule},
        "threads": 1,
    }
    return ProcessModel(Experiment.model_validate(values))


def members(bench: ProcessModel, folder: Path) -> dict[str, Member]:
    return {name: Member(name, bench.experiment, bench, folder / "sites" / name) for name in SITES}


def go(bench: ProcessModel, sites: dict, folder: RoundsFolder, rounds: int, **settings: object) -> RoundState:
    assembled = bench.assembled
    setting = RuleContext(
        SITES,
        assembled.trainable.parameters,
        normalisation_names(assembled.model, assembled.trainable),
        optimizer="sgd",
    )
    chosen = RoundSettings(rounds=rounds, seed=7, fraction=0.75, **settings)  # type: ignore[arg-type]
    initial = read_state(assembled.model, assembled.trainable)
    return run_rounds(InProcess(sites), build_rule(bench.experiment.aggregation.rule), folder, chosen, initial, setting)


def soak(rule: str, rounds: int, tmp_path: Path) -> None:
    bench = process_model(rule)
    initial = read_state(bench.assembled.model, bench.assembled.trainable)
    dice = np.random.default_rng(11)
    round_state, deaths = None, 0
    while round_state is None:
        sites = {name: Unlucky(site, dice) for name, site in members(bench, tmp_path / "faulty").items()}
        try:
            round_state = go(bench, sites, Mortal(tmp_path / "faulty", dice), rounds)
        except (Killed, QuorumLostError):
            deaths += 1
        bench.assembled.model.load_state_dict({**bench.assembled.model.state_dict(), **initial})
    lines = [line for line in RoundsFolder(tmp_path / "faulty").lines() if line.trains]
    assert [line.round for line in lines] == list(range(1, rounds + 1))
    faults = [entry.fault for line in lines for entry in line.sites.values() if entry.fault]
    assert deaths >= rounds // 40
    assert len(faults) >= rounds // 20
    recorded = {line.round: tuple(site for site, entry in line.sites.items() if entry.participated) for line in lines}
    clean = go(
        bench, members(bench, tmp_path / "clean"), RoundsFolder(tmp_path / "clean"), rounds, participants=recorded.get
    )
    assert state_sha256(clean.state) == state_sha256(round_state.state)
    assert clean.memory.values == round_state.memory.values


# Of CONV S, which has the norms that FedBN keeps at the site, a round takes six times as long.
@pytest.mark.parametrize(("rule", "rounds"), [("fedce", 16), ("scaffold", 16), ("fedbn", 6)])
def test_a_few_rounds(rule: str, rounds: int, tmp_path: Path) -> None:
    soak(rule, rounds, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES)
def test_two_hundred_rounds(rule: str, tmp_path: Path) -> None:
    soak(rule, 200, tmp_path)
