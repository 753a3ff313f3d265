"""Rounds whose updates nobody sees: the same result as rounds that show them, whatever fails in whichever step.

They cover the site's half as well: `site/local_trainer.py` and `site/masked_updates.py`.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import pytest
import torch
from drawn_sites import Killed, Member

from fedtune3d._utils.state_dicts import State, state_sha256
from fedtune3d.aggregation.contract import RuleContext
from fedtune3d.aggregation.site_step import SiteStep
from fedtune3d.config.experiment import Experiment
from fedtune3d.federation.in_process import InProcess
from fedtune3d.federation.messages import Answer, Fault, Task
from fedtune3d.federation.privacy.refusal import Refusal
from fedtune3d.federation.privacy.secure_aggregation.messages import Attempt, key_statement
from fedtune3d.federation.privacy.secure_aggregation.site_part import SiteAttempt, SitePart
from fedtune3d.federation.process_model import ProcessModel
from fedtune3d.federation.round_settings import RoundSettings
from fedtune3d.federation.round_state import RoundsFolder, RoundState
from fedtune3d.federation.rounds import QuorumLostError, run_rounds
from fedtune3d.federation.step_messages import with_step
from fedtune3d.federation.tasks.score import Score
from fedtune3d.models.normalisation import normalisation_names
from fedtune3d.models.tuning import read_state
from fedtune3d.training.faults import SiteFault

SITES = ("A", "B", "C", "D")
STEPS = ("train", "share_secrets", "mask_update", "confirm_survivors", "reveal_shares")


@cache
def process_model(rule: str = "fedavg", secure: bool = True, **options: object) -> ProcessModel:
    values = {
        "name": "secure",
        "sites": [{"name": site} for site in SITES],
        "labels": {"positive": ["AD"], "negative": ["CN"]},
        "model": {"encoder": "tiny", "head": "linear"},
        "training": {"optimizer": "sgd", "momentum": 0, "head_learning_rate": 0.05, "batch_size": 4},
        "aggregation": {"rule": rule, **options},
        "privacy": {"secure_aggregation": secure},
        "threads": 1,
    }
    return ProcessModel(Experiment.model_validate(values))


@dataclass
class Accident:
    """Something that happens to a site, once, when it is asked for a step or has just done it."""

    site: str
    kind: str
    happen: Callable[[], None]
    after: bool = False
    round: int = 1
    left: int = 1

    def happen_once(self) -> None:
        """Let it happen, as often as is left."""
        if self.left > 0:
            self.left -= 1
            self.happen()


def silent() -> None:
    raise SiteFault("no answer")


def killed() -> None:
    raise Killed


@dataclass
class Frail:
    """A site that is made anew for every task, as if it had been restarted, and may have accidents."""

    make: Callable[[], Member]
    accidents: list[Accident] = field(default_factory=list)

    def answer(self, task: Task) -> Answer:
        site = self.make()
        self._befall(site.name, task, after=False)
        answer = site.answer(task)
        self._befall(site.name, task, after=True)
        return answer

    def _befall(self, site: str, task: Task, after: bool) -> None:
        for accident in self.accidents:
            if (accident.site, accident.kind, accident.round, accident.after) == (site, task.kind, task.round, after):
                accident.happen_once()


class Federation(InProcess):
    """All sites of this process, asked behind one door that notes what went through."""

    def __init__(self, sites: Mapping[str, Frail]) -> None:
        super().__init__(sites)
        self.asked: list[tuple[str, str]] = []

    def ask(self, tasks: Mapping[str, Task]) -> Iterator[Answer | Fault]:
        self.asked += [(site, task.kind) for site, task in sorted(tasks.items())]
        return super().ask(tasks)


def federation(bench: ProcessModel, folder: Path, accidents: list[Accident]) -> Federation:
    def make(name: str) -> Callable[[], Member]:
        return lambda: Member(name, bench.experiment, bench, folder / "sites" / name)

    return Federation({name: Frail(make(name), accidents) for name in SITES})


def go(
    bench: ProcessModel, folder: Path, rounds: int = 1, accidents: list[Accident] | None = None, **settings: object
) -> RoundState:
    assembled, experiment = bench.assembled, bench.experiment
    names = normalisation_names(assembled.model, assembled.trainable)
    context = RuleContext(SITES, assembled.trainable.parameters, names, optimizer="sgd")
    secure = experiment.sha256() if experiment.privacy.secure_aggregation else None
    chosen = RoundSettings(rounds=rounds, seed=7, secure_experiment=secure, **settings)  # type: ignore[arg-type]
    sites = federation(bench, folder, accidents or [])
    torch.manual_seed(0)
    initial = {name: torch.zeros_like(tensor) for name, tensor in read_initial(bench).items()}
    return run_rounds(sites, experiment.rule(), RoundsFolder(folder), chosen, initial, context)


def read_initial(bench: ProcessModel) -> State:
    return read_state(bench.assembled.model, bench.assembled.trainable)


def furthest(one: State, other: State) -> float:
    return max(float((one[name].double() - other[name].double()).abs().max()) for name in other)


@pytest.mark.parametrize(
    ("rule", "options"),
    [
        *(pytest.param(rule, {}, marks=pytest.mark.slow) for rule in ("simpleavg", "fedprox", "fedavgm", "fedadam")),
        ("fedavg", {}),
        ("scaffold", {}),
        pytest.param("rate_my_lora", {"temperature": 1.0}, marks=pytest.mark.ci),
        pytest.param("fedce", {"lagged": True}, marks=pytest.mark.ci),
        ("qfedavg", {"site_norms": True}),
    ],
)
def test_every_rule_of_sums_ends_where_it_ends_without_masks(rule: str, options: dict, tmp_path: Path) -> None:
    hidden = go(process_model(rule, True, **options), tmp_path / "hidden", rounds=3)
    visible = go(process_model(rule, False, **options), tmp_path / "visible", rounds=3)
    assert furthest(hidden.state, visible.state) < 1e-6
    assert any(float(tensor.abs().max()) > 1e-3 for tensor in hidden.state.values())
    lines = [RoundsFolder(tmp_path / name).lines()[2] for name in ("hidden", "visible")]
    for site in SITES:
        assert lines[0].sites[site].weight == pytest.approx(lines[1].sites[site].weight, abs=1e-6)
        assert lines[0].sites[site].signals == pytest.approx(lines[1].sites[site].signals, abs=1e-5)


def test_the_ledger_says_how_the_sum_was_formed(tmp_path: Path) -> None:
    go(process_model(), tmp_path)
    line = RoundsFolder(tmp_path).lines()[0]
    assert line.secure is not None
    assert (line.secure.attempt, line.secure.needed) == (1, 3)
    assert line.secure.offered == line.secure.dealt == line.secure.summed == SITES
    assert not (tmp_path / "sum").exists()


@pytest.mark.parametrize("after", [pytest.param(False, marks=pytest.mark.slow), True], ids=["unasked", "answer lost"])
@pytest.mark.parametrize("kind", STEPS)
def test_a_site_that_is_lost_in_any_step_leaves_the_exact_sum_of_the_others(
    kind: str, after: bool, tmp_path: Path
) -> None:
    hidden = go(process_model(), tmp_path / "hidden", accidents=[Accident("D", kind, silent, after)])
    in_the_sum = SITES if kind in ("confirm_survivors", "reveal_shares") else SITES[:3]
    visible = go(process_model(secure=False), tmp_path / "visible", participants=lambda round_: in_the_sum)
    assert furthest(hidden.state, visible.state) < 1e-6
    line = RoundsFolder(tmp_path / "hidden").lines()[0]
    assert line.secure is not None
    assert line.secure.summed == in_the_sum
    assert line.sites["D"].fault == (None if len(in_the_sum) == 4 else "no answer")
    assert line.sites["D"].participated == (len(in_the_sum) == 4)


@pytest.mark.parametrize("kind", STEPS)
@pytest.mark.parametrize("after", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["before", "after"])
def test_a_server_killed_in_any_step_continues_to_the_same_bits(kind: str, after: bool, tmp_path: Path) -> None:
    whole = go(process_model(), tmp_path / "whole", rounds=2)
    accidents = [Accident("B", kind, killed, after, round=2)]
    bench = process_model()
    with pytest.raises(Killed):
        go(bench, tmp_path / "killed", rounds=2, accidents=accidents)
    resumed = go(process_model(), tmp_path / "killed", rounds=2)
    assert state_sha256(resumed.state) == state_sha256(whole.state)
    first_three = kind in ("train", "share_secrets", "mask_update")
    assert RoundsFolder(tmp_path / "killed").lines()[1].secure.attempt == (2 if first_three else 1)


def test_keys_with_which_the_others_could_not_go_on_cost_their_own_site_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = SitePart.begin

    def hostile(part: SitePart, site: str, attempt: Attempt, last: SiteAttempt | None) -> SiteAttempt:
        kept = begin(part, site, attempt, last)
        keys = replace(kept.keys, encryption="00" * 32)  # a point of small order, signed as it should be
        signature = part.identity.sign(key_statement(attempt, site, keys.encryption, keys.masking))
        return replace(kept, keys=replace(keys, signature=signature)) if site == "D" else kept

    monkeypatch.setattr(SitePart, "begin", hostile)
    go(process_model(), tmp_path)
    line = RoundsFolder(tmp_path).lines()[0]
    assert line.secure is not None
    assert (line.secure.attempt, line.secure.summed) == (1, SITES[:3])
    assert line.sites["D"].fault == "no secret can be agreed with its keys"


def test_an_attempt_without_enough_sites_is_made_again_with_fresh_masks(tmp_path: Path) -> None:
    accidents = [Accident(site, "mask_update", silent) for site in "CD"]
    hidden = go(process_model(), tmp_path / "hidden", accidents=accidents)
    assert state_sha256(hidden.state) == state_sha256(go(process_model(), tmp_path / "whole").state)
    line = RoundsFolder(tmp_path / "hidden").lines()[0]
    assert line.secure is not None
    assert line.secure.attempt == 2
    assert line.faults_before == ({"C": "no answer", "D": "no answer"},)


@pytest.mark.parametrize("kind", ["confirm_survivors", "reveal_shares"])
def test_a_sum_whose_survivors_are_fixed_is_finished_and_never_begun_again(kind: str, tmp_path: Path) -> None:
    accidents = [Accident(site, kind, silent, left=2) for site in "CD"]
    with pytest.raises(QuorumLostError, match=r"secure aggregation: 2 of .*run again with --resume"):
        go(process_model(), tmp_path, accidents=accidents)
    go(process_model(), tmp_path)
    line = RoundsFolder(tmp_path).lines()[0]
    assert line.secure is not None
    assert (line.secure.attempt, line.secure.summed) == (1, SITES)


def test_no_round_is_added_up_twice(tmp_path: Path) -> None:
    go(process_model(), tmp_path)
    for path in (tmp_path / "checkpoints").iterdir():
        path.unlink()
    (tmp_path / "rounds.jsonl").unlink()
    with pytest.raises(QuorumLostError, match="no round is added up twice; a new run needs another seed or name"):
        go(process_model(), tmp_path)


def test_a_sum_in_which_a_site_has_too_great_a_share_is_refused_by_the_sites(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Member, "max_share", 0.35)
    with pytest.raises(QuorumLostError, match=r"B would have 36% of the sum, and policy\.max_share is 35%"):
        go(process_model(), tmp_path, retries=0)


@pytest.mark.parametrize(("rule", "options"), [("rate_my_lora", {"temperature": 1e-3}), ("qfedavg", {"q": 20.0})])
def test_a_weight_above_the_limit_is_cut_and_the_ledger_says_so(
    rule: str, options: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Member, "max_share", 0.35)
    go(process_model(rule, True, **options), tmp_path, rounds=4, max_share=0.35)
    lines = [line for line in RoundsFolder(tmp_path).lines() if line.trains]
    assert any(line.secure.adjusted for line in lines)
    for line in lines:
        weights = {site: entry.weight for site, entry in line.sites.items()}
        assert sum(weights.values()) == pytest.approx(1)
        assert max(weights.values()) <= 0.35
        assert {site for site, weight in weights.items() if weight > 0.35 - 1e-6} <= set(line.secure.adjusted)


def test_no_list_is_fixed_under_which_a_survivor_has_too_great_a_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Member, "max_share", 0.4)  # B has 10 of 28 scans, and 10 of 20 without C
    go(process_model(), tmp_path, accidents=[Accident("C", "mask_update", silent)], max_share=0.4)
    line = RoundsFolder(tmp_path).lines()[0]
    assert line.secure is not None
    assert (line.secure.attempt, line.secure.summed) == (2, SITES)


def test_an_update_that_is_not_finite_or_too_large_is_refused_at_its_site(tmp_path: Path) -> None:
    bench = process_model()
    small = bench.experiment.model_copy(
        update={"participation": bench.experiment.participation.model_copy(update={"max_norm": 1e-9})}
    )
    strict = ProcessModel(small)
    line = r"A: its update is not finite, or larger than participation\.max_norm \(1e-09\);"  # and no number of it
    with pytest.raises(QuorumLostError, match=line):
        go(strict, tmp_path, retries=0)


def test_states_that_the_server_makes_up_are_no_questions_to_a_round(tmp_path: Path) -> None:
    """Whether an update is refused tells of the scans as its norm does: each state that may be tried is a question."""
    bench = process_model()
    small = bench.experiment.model_copy(
        update={"participation": bench.experiment.participation.model_copy(update={"max_norm": 1e-9})}
    )
    strict = ProcessModel(small)
    site = Member("A", small, strict, tmp_path / "A")
    state = read_initial(strict)

    def asked(value: float, attempt: int) -> Task:
        crafted = {name: torch.full_like(tensor, value) for name, tensor in state.items()}
        return with_step(Task(Score(), 1, parts={"state": crafted}), "fedavg", SiteStep(), attempt)

    for attempt in (1, 2):
        with pytest.raises(SiteFault, match=r"^its update is not finite, or larger than participation\.max_norm"):
            site.answer(asked(0.0, attempt))
    with pytest.raises(Refusal, match="another training task in a second attempt at round 1"):
        site.answer(asked(0.1, 3))
