"""Contents of a site's own ledgers: what was asked of it, what is left of the budgets, what left, and how far it is."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import yaml
from pydantic import ValidationError

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.folders import SitePaths, SiteWork
from fedtune3d.config.experiment import Experiment
from fedtune3d.federation.flower.site_folder import SiteSettings
from fedtune3d.federation.privacy.account import Charge, read_charges
from fedtune3d.federation.privacy.approval import Approval, Approvals
from fedtune3d.federation.privacy.budget import Allowance, budget_of
from fedtune3d.federation.privacy.differential_privacy.accounting import epsilon_of
from fedtune3d.federation.privacy.differential_privacy.spending import read_spending
from fedtune3d.federation.privacy.egress_log import EgressEntry
from fedtune3d.report.number_formatting import utc


@dataclass(frozen=True)
class Allowed:
    """A purpose of an approved experiment: tasks answered so far, and the maximum."""

    purpose: str
    answered: int
    times: int

    @property
    def left(self) -> int:
        """Tasks that may still be answered."""
        return max(0, self.times - self.answered)


@dataclass(frozen=True)
class Asked:
    """An approved experiment at a site.

    Attributes:
        approval: Its approval.
        people: Number of people for whom it was approved.
        answered: Number of different tasks answered.
        last: Time and purpose of the last one; empty if there is none.
        round: The last round of the federation that was answered; 0 before the first.
        rounds: Rounds of the experiment; None if its file cannot be read by this version.
        budget: The tasks of each purpose; empty if the file cannot be read.
    """

    approval: Approval
    people: int
    answered: int
    last: str
    round: int
    rounds: int | None
    budget: Sequence[Allowed]


@dataclass(frozen=True)
class SiteContents:
    """The contents of a site's ledgers.

    Attributes:
        name: The site's name.
        server: The server's address.
        alive: Time of the last sign of life of ``site join``; None if it never ran.
        last_answer: Time of the last task that was answered; None if there is none.
        asked: The approved experiments, oldest first.
        log: What left, oldest first.
        privacy: ε charged about any person so far, and its limit, in words; empty without differential privacy.
    """

    name: str
    server: str
    alive: datetime | None
    last_answer: datetime | None
    asked: Sequence[Asked]
    log: Sequence[EgressEntry]
    privacy: str

    @property
    def messages(self) -> Mapping[str, int]:
        """Kind of message → number that left."""
        return Counter(entry.kind for entry in self.log)


def read_site_contents(folder: Path, log: Sequence[EgressEntry]) -> SiteContents:
    """Read the ledgers of a site; its scans and predictions are not read.

    Args:
        folder: The site's folder.
        log: Everything that left the site.

    Raises:
        InputError: If a ledger or `site.yaml` is damaged; names the file.
    """
    settings, paths = SiteSettings.read(folder), SitePaths(folder)
    work, approvals = SiteWork(settings.work), Approvals(paths.approvals)
    charges = list(read_charges(paths.charges)) if paths.charges.exists() else []
    return SiteContents(
        name=settings.name,
        server=settings.server,
        alive=_time_of(work.alive),
        last_answer=_time_of(work.answered),
        asked=[_asked(approval, approvals, charges, settings.name) for approval in approvals.all()],
        log=log,
        privacy=_privacy(paths, settings),
    )


def _asked(approval: Approval, approvals: Approvals, charges: Sequence[Charge], site: str) -> Asked:
    own = [charge for charge in charges if charge.experiment == approval.experiment]
    last = own[-1] if own else None
    experiment = _experiment(approvals.file_of(approval.experiment))
    counts = Counter(charge.purpose for charge in own)
    rounds = None if experiment is None else experiment.training.rounds
    latest = max((charge.round for charge in own if not charge.namespace), default=0)
    allowances: Mapping[str, Allowance] = {} if experiment is None else budget_of(experiment, site)
    return Asked(
        approval=approval,
        people=len(approval.people.get("everyone", ())),
        answered=len(own),
        last=f"{utc(last.time)}, {last.purpose.replace('_', ' ')}" if last else "",
        round=latest if rounds is None else min(latest, rounds),  # the last state is scored in a round of its own
        rounds=rounds,
        budget=[Allowed(purpose, counts[purpose], allowance.times) for purpose, allowance in allowances.items()],
    )


def _experiment(file: str) -> Experiment | None:
    """Read the text of an approved experiment file; None if this version cannot."""
    try:
        return Experiment.model_validate(yaml.safe_load(file))
    except (ValidationError, yaml.YAMLError, InputError):
        return None


def _privacy(paths: SitePaths, settings: SiteSettings) -> str:
    charged = (
        [line for line in read_spending(paths.spending) if line.what == "charged"] if paths.spending.exists() else []
    )
    limit = settings.policy.max_epsilon
    if not charged:
        return "" if limit is None else f"ε 0 of {limit:g} about any person, over all experiments"
    by_person = Counter[str](person for line in charged for person in set(line.people))
    most = by_person.most_common(1)[0][0] if by_person else ""
    mechanisms = Counter(line.mechanism for line in charged if most in line.people)
    spent = epsilon_of(mechanisms, settings.policy.max_delta)
    of = "" if limit is None else f" of {limit:g}"
    return (
        f"ε {spent:.3g}{of} about the person in most rounds, over all experiments (δ = {settings.policy.max_delta:g})"
    )


def _time_of(path: Path) -> datetime | None:
    return datetime.fromtimestamp(path.stat().st_mtime) if path.exists() else None
