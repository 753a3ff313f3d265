"""How far a run is: its stages with the time left, each site's last round, and the best state so far."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from fedtune3d._utils.folders import RunFolder
from fedtune3d.evaluation.outcome import NumberOutcome
from fedtune3d.federation.ledger import LedgerLine
from fedtune3d.federation.round_state import RoundsFolder
from fedtune3d.report.number_formatting import METHODS, duration
from fedtune3d.report.run_contents import RunContents
from fedtune3d.report.shown_measure import validation_measure

PACE = 5
"""Number of recent rounds whose median duration predicts the time left. The first round, which also opens
what all others have open, counts only while there is no other."""


@dataclass(frozen=True)
class Stage:
    """A stage of a run.

    Attributes:
        title: What is done in it.
        done: Steps done.
        total: All steps.
        seconds_left: Estimated time for the rest; None if nothing is known to estimate it from.
    """

    title: str
    done: int
    total: int
    seconds_left: float | None

    @property
    def finished(self) -> bool:
        """True once all steps are done."""
        return self.done >= self.total


@dataclass(frozen=True)
class SiteProgress:
    """A site in the rounds so far.

    Attributes:
        site: Its name.
        rounds: Rounds answered, of all.
        measure: What a state is scored by on its validation scans, such as ``AUC`` or ``RMSE (years)``.
        score: That of the last state that it scored.
        seconds: Time per round.
        state: Its last answer.
    """

    site: str
    rounds: str
    measure: str
    score: str
    seconds: str
    state: str


def stages(contents: RunContents) -> list[Stage]:
    """Return the stages in their order; a later one is estimated from the pace of the federated rounds."""
    rounds = _rounds(contents)
    trained = [line for line in contents.ledger if line.trains]
    pace = _pace(trained)
    parts = [
        Stage("Preparation", int(contents.environment is not None), 1, None),
        _trainings("Federated rounds", [contents.ledger], rounds, pace),
        *(_baseline(contents, name, rounds, pace) for name in contents.config.get("baselines") or ()),
    ]
    methods = 1 + len(contents.config.get("baselines") or ())
    evaluated = contents.metrics is not None
    left = 0.0 if evaluated else None if pace is None else methods * pace  # about as long as scoring a round
    return [*parts, Stage("Evaluation", methods if evaluated else 0, methods, left)]


def seconds_left(contents: RunContents) -> float | None:
    """Estimate the time for all that is left of a run; None before the first round."""
    open_stages = [stage.seconds_left for stage in stages(contents) if not stage.finished]
    known = [seconds for seconds in open_stages if seconds is not None]
    return sum(known) if known and len(known) == len(open_stages) else None


def site_progress(contents: RunContents) -> list[SiteProgress]:
    """Return one row per site."""
    rounds = _rounds(contents)
    return [_of_site(contents, site, rounds) for site in contents.sites]


def best_so_far(contents: RunContents) -> str:
    """Name the state with the best validation AUC so far, or error where there is no AUC; empty if none is scored."""
    validations = [line.validation for line in contents.ledger]
    scored = [part for part in validations if part.mean_auc is not None or part.pooled_loss is not None]
    if not scored:
        return ""
    best = max(scored, key=lambda validation: validation.rank)
    after = f"after round {best.state_round}" if best.state_round else "before the first round"
    value = best.pooled_loss if best.mean_auc is None else best.mean_auc
    assert value is not None  # as scored
    measured = validation_measure(contents.outcome, best.mean_auc is not None).shown(value)
    return f"validation {measured} {after}"


def _of_site(contents: RunContents, site: str, rounds: int) -> SiteProgress:
    entries = [(line, line.sites[site]) for line in contents.ledger if site in line.sites]
    answered = [(line, entry) for line, entry in entries if line.trains and entry.participated]
    number = isinstance(contents.outcome, NumberOutcome)
    measure = validation_measure(contents.outcome, has_auc=not number)
    received = [entry.received for _, entry in entries if entry.received is not None]
    scores = [value for part in received if (value := part.loss if number else part.auc) is not None]
    times = [entry.seconds for _, entry in answered[-PACE:] if entry.seconds is not None]
    state = "nothing yet" if not entries else "answered" if entries[-1][1].fault is None else entries[-1][1].fault
    if entries:
        state = f"round {entries[-1][0].round}: {state}"
    return SiteProgress(
        site=site,
        rounds=f"{len(answered)} of {rounds}",
        measure=measure.head,
        score=f"{scores[-1] * measure.factor:.2f}" if scores else "–",
        seconds=duration(median(times) if times else None),
        state=state,
    )


def _rounds(contents: RunContents) -> int:
    return int(contents.config.get("training", {}).get("rounds", 0))


def _pace(trained: Sequence[LedgerLine]) -> float | None:
    """Return the seconds that a round takes; None before the first."""
    recent = [line for line in trained if line.round > 1][-PACE:] or trained
    return median([line.seconds for line in recent]) if recent else None


def _baseline(contents: RunContents, name: str, rounds: int, pace: float | None) -> Stage:
    """Return the stage of a baseline: local trains each site alone, leave one site out all sites but one, each once."""
    ledgers = [RoundsFolder(path).lines() for path in _ledgers(RunFolder(contents.path), contents.sites, name)]
    sites = len(contents.sites)
    parts_of_a_round = {"local": 1 / sites, "leave_one_site_out": (sites - 1) / sites}
    own = None if pace is None else pace * parts_of_a_round.get(name, 1.0)
    return _trainings(METHODS.get(name, name), ledgers, rounds, own)


def _ledgers(run: RunFolder, sites: Sequence[str], name: str) -> Iterator[Path]:
    if name == "centralized":
        yield run.centralized_rounds.path
    for site in sites if name != "centralized" else ():
        yield (run.local_rounds(site) if name == "local" else run.rounds_without(site)).path


def _trainings(title: str, ledgers: Sequence[Sequence[LedgerLine]], rounds: int, pace: float | None) -> Stage:
    """Return a stage of one or more trainings of so many rounds each; `pace` is that of a round before the first."""
    trained = [line for ledger in ledgers for line in ledger if line.trains]
    own = _pace(trained) or pace
    total = rounds * len(ledgers)
    left = None if own is None else own * max(0, total - len(trained))
    return Stage(title, len(trained), total, left)
