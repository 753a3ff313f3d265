"""How much a model gives away of who was in its training: one sentence and a table."""

from typing import NamedTuple

from fedtune3d.evaluation.estimate import Estimate
from fedtune3d.evaluation.membership import ONE_FALSE_ALARM_IN, MembershipMetrics, Recognised, SiteMembership
from fedtune3d.evaluation.metrics import RunMetrics
from fedtune3d.report.number_formatting import METHODS, interval
from fedtune3d.report.result_warnings import CHANCE
from fedtune3d.report.table import shown_methods

MODELS = {"federated": "the federated model", "local": "the sites' own models", "centralized": "the centralized model"}
"""Method → its models, in words."""

ADVICE = "use fewer rounds or differential privacy, or do not share the weights"


class MembershipCell(NamedTuple):
    """The attack on a method's model: its AUC, and the people recognised, such as ``14 of 100 [9%, 22%]``."""

    auc: Estimate | None
    recognised: str


class MembershipRow(NamedTuple):
    """A site, or the summary of all.

    Attributes:
        name: Name of the site, or ``All``.
        members: Number of training people.
        others: Number of test people.
        summary: Whether it is the summary.
        by_chance: Number of training people to be recognised by chance.
        cells: One per attacked method.
    """

    name: str
    members: int
    others: int
    summary: bool
    by_chance: str
    cells: tuple[MembershipCell, ...]


def attacked_methods(metrics: RunMetrics) -> dict[str, str]:
    """Return the title of each method whose models were attacked, in the order in which they are shown."""
    return {name: METHODS[name] for name in _attacks(metrics)}


def membership_rows(metrics: RunMetrics) -> list[MembershipRow]:
    """Return one row per attacked site, then the summary; no rows if there is no attack."""
    attacks = list(_attacks(metrics).values())
    if not attacks:
        return []
    rows = []
    for name in dict.fromkeys(site for attack in attacks for site in attack.sites):
        parts = [attack.sites.get(name) for attack in attacks]
        first = next(part for part in parts if part is not None)
        cells = tuple(_cell(part) for part in parts)
        rows.append(MembershipRow(name, first.members, first.others, False, _by_chance(first.recognised), cells))
    cells = tuple(MembershipCell(attack.mean_auc, _people(attack.recognised)) for attack in attacks)
    members, others = sum(row.members for row in rows), sum(row.others for row in rows)
    return [*rows, MembershipRow("All", members, others, True, _by_chance(attacks[0].recognised), cells)]


def membership_sentence(metrics: RunMetrics) -> str:
    """Say for a data protection officer how well it can be guessed who was in the training; empty if not measured."""
    parts = [_found(attack, MODELS[name]) for name, attack in _attacks(metrics).items() if name in MODELS]
    if not parts:
        return ""
    found = " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))
    federated = _attacks(metrics).get("federated")
    advice = f" The federated model memorises: {ADVICE}." if federated and memorises(federated) else ""
    return (
        "Anyone with a person's scan and diagnosis can use a trained model to guess whether this person was in its "
        f"training set. With at most 1 false alarm in {ONE_FALSE_ALARM_IN} other people, this attack recognises "
        f"{found}; an AUC of 0.5 is a coin toss, 1 is certainty.{advice}"
    )


def memorises(attack: MembershipMetrics) -> bool:
    """Return whether the attack on a model is shown to do better than chance."""
    limits = attack.mean_auc.limits
    return limits is not None and limits[1] > CHANCE


def _attacks(metrics: RunMetrics) -> dict[str, MembershipMetrics]:
    found = {name: metrics.methods[name].membership for name in shown_methods(metrics)}
    return {name: attack for name, attack in found.items() if attack is not None}


def _found(attack: MembershipMetrics, models: str) -> str:
    part, few = attack.recognised, ", few people" if attack.mean_auc.mark else ""
    count = "an undisclosed number" if part.people is None else str(part.people)
    return (
        f"{count} of {part.members} training people with {models} (by chance {part.by_chance:.0f}; AUC "
        f"{interval(attack.mean_auc)}{few})"
    )


def _cell(site: SiteMembership | None) -> MembershipCell:
    return MembershipCell(None, "–") if site is None else MembershipCell(site.auc, _people(site.recognised))


def _people(recognised: Recognised) -> str:
    if recognised.people is None or recognised.rate.limits is None:
        return "held back"
    _, low, high = recognised.rate.limits
    return f"{recognised.people} of {recognised.members} [{low:.0%}, {high:.0%}]"


def _by_chance(recognised: Recognised) -> str:
    return f"{recognised.by_chance:.1f}"
