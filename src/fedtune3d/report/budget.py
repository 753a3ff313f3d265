"""Budgets of training, and labels that say what differs where they are not equal."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from fedtune3d._utils.folders import RunFolder
from fedtune3d.federation.ledger import LedgerLine
from fedtune3d.federation.round_state import RoundsFolder
from fedtune3d.models.assembly import NCC
from fedtune3d.report.number_formatting import plural
from fedtune3d.report.run_contents import RunContents
from fedtune3d.training.settings import TrainingSettings

NOUNS = {"rounds": "round", "scans": "training scan", "steps": "step"}
"""Attribute of a budget → what is counted."""


@dataclass(frozen=True)
class Budget:
    """The training of a method over all its sites.

    Attributes:
        rounds: Rounds in which it trained.
        scans: Training scans; None if a site does not let their number leave.
        steps: Optimiser steps in all rounds; None if they cannot be counted.
    """

    rounds: int
    scans: int | None
    steps: int | None

    def __str__(self) -> str:
        counts = [(getattr(self, attribute), noun) for attribute, noun in NOUNS.items()]
        return ", ".join(plural(count, noun) for count, noun in counts if count is not None)


def budgets_of(contents: RunContents) -> dict[str, Budget]:
    """Return method → its budget, of the methods whose ledgers are in the run folder.

    *Local* has the sum over the sites. *Leave one site out* has none, as its trainings share their scans.
    """
    run = RunFolder(contents.path)
    ledgers = {
        "federated": [contents.ledger],
        "local": [RoundsFolder(run.local_rounds(site).path).lines() for site in contents.sites],
        "centralized": [RoundsFolder(run.centralized_rounds.path).lines()],
    }
    steps_of, budgets = _steps(contents), {}
    for method, parts in ledgers.items():
        trainings = [_budget([line for line in part if line.trains], steps_of) for part in parts]
        if all(training.rounds for training in trainings):
            budgets[method] = Budget(
                max(training.rounds for training in trainings),
                _sum([training.scans for training in trainings]),
                _sum([training.steps for training in trainings]),
            )
    return budgets


def differing(budgets: Mapping[str, Sequence[Budget]]) -> dict[str, str]:
    """Describe what differs between the budgets of compared methods, for each of them: `10 rounds, 80 steps`.

    Args:
        budgets: Name → its budgets, one per seed; empty if unknown.

    Returns:
        Name → text; empty for a method whose budget is unknown, and for all if nothing differs.
    """
    texts: dict[str, list[str]] = {name: [] for name in budgets}
    for attribute, noun in NOUNS.items():
        values = {name: [getattr(budget, attribute) for budget in found] for name, found in budgets.items() if found}
        known = {name: sorted(set(own)) for name, own in values.items() if None not in own}
        if len(set(map(tuple, known.values()))) > 1:
            for name, (low, *further) in known.items():
                texts[name].append(f"{low}–{further[-1]} {noun}s" if further else plural(low, noun))
    return {name: ", ".join(parts) for name, parts in texts.items()}


def labelled(title: str, differs: str) -> str:
    """Add what differs, if anything, to a title."""
    return f"{title}, {differs}" if differs else title


def _steps(contents: RunContents) -> Callable[[int], int] | None:
    """Return how many steps a round has by its training scans; None if that is not known."""
    config = contents.config
    if config.get("privacy", {}).get("epsilon") is not None:
        return None  # the steps are those of people drawn at random, or of all at once
    if config.get("model", {}).get("head") == NCC:
        return lambda scans: 0
    try:
        return TypeAdapter(TrainingSettings).validate_python(config.get("training", {})).local_steps
    except ValidationError:
        return None


def _budget(lines: Sequence[LedgerLine], steps_of: Callable[[int], int] | None) -> Budget:
    trained = [(site, entry) for line in lines for site, entry in line.sites.items() if entry.participated]
    scans = {site: entry.examples for site, entry in trained}
    steps = [None if entry.examples is None or steps_of is None else steps_of(entry.examples) for _, entry in trained]
    return Budget(len(lines), _sum(list(scans.values())), _sum(steps))


def _sum(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None
