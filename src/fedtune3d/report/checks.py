"""The line of checks under a run's result: leaks, people excluded, answers, quality control, memorisation, privacy."""

from collections.abc import Iterator
from dataclasses import dataclass

from fedtune3d.cohorts.flow import NOBODY
from fedtune3d.report.membership import memorises
from fedtune3d.report.number_formatting import plural
from fedtune3d.report.run_contents import RunContents
from fedtune3d.report.what_left import sums_only


@dataclass(frozen=True)
class Check:
    """A check, in a few words.

    Attributes:
        text: What was checked, and what came of it.
        good: Whether all is well; None if that is not for a program to say.
        section: The section of the page that has more on it.
    """

    text: str
    good: bool | None
    section: str

    @property
    def mark(self) -> str:
        """A tick, an exclamation mark, or an arrow to where more is said."""
        return {True: "✓", False: "!", None: "→"}[self.good]


def checks(contents: RunContents) -> list[Check]:
    """Return the checks of a run that has rounds, in the order in which they are shown."""
    return [
        *_leaks(contents),
        _left_out(contents),
        _answers(contents),
        _quality(contents),
        *_memorisation(contents),
        _privacy(contents),
    ]


def _leaks(contents: RunContents) -> Iterator[Check]:
    if contents.audit is None:
        yield Check("leaks between sets or sites: not checked", False, "participants")
        return
    leaks, warnings = len(contents.audit.leaks), len(contents.audit.findings) - len(contents.audit.leaks)
    yield Check(f"leaks between sets or sites: {leaks or 'none'}", not leaks, "participants")
    if warnings:
        yield Check(f"{plural(warnings, 'warning')} before training", False, "participants")


def _left_out(contents: RunContents) -> Check:
    flows = [contents.flows.get(site) for site in contents.sites]
    known = [flow for flow in flows if flow is not None]
    left_out = sum((step.counts for flow in known for step in flow.left_out), NOBODY).participants
    found = sum((flow.found for flow in known), NOBODY).participants
    if len(known) < len(flows) or left_out is None:
        return Check("excluded: number withheld by some sites", None, "participants")
    of_all = "" if found is None or not left_out else f" of {found}"
    return Check(f"excluded {left_out}{of_all} people", True if not left_out else None, "participants")


def _answers(contents: RunContents) -> Check:
    trained = [line for line in contents.ledger if line.trains]
    missed = {
        site: sum(bool(line.sites[site].fault) for line in trained if site in line.sites) for site in contents.sites
    }
    late = {site: count for site, count in missed.items() if count}
    if not late:
        return Check(f"every site answered in {plural(len(trained), 'round')}", bool(trained), "training")
    listed = ", ".join(f"{site} in {count}" for site, count in late.items())
    return Check(f"no answer from {listed} of {plural(len(trained), 'round')}", False, "training")


def _quality(contents: RunContents) -> Check:
    if len(contents.flagged) < len(contents.sites):
        return Check("scans flagged by QC: known at the sites only (qc.html)", None, "participants")
    count = sum(contents.flagged.values())
    return Check(
        f"{plural(count, 'scan') if count else 'no scan'} flagged by QC", None if count else True, "participants"
    )


def _memorisation(contents: RunContents) -> Iterator[Check]:
    """Say whether the membership attack on the federated model does better than chance; nothing without an attack."""
    method = contents.metrics.methods.get("federated") if contents.metrics else None
    if method is None or method.membership is None or (limits := method.membership.mean_auc.limits) is None:
        return
    found = f"(membership attack AUC {limits[0]:.2f})"
    if memorises(method.membership):
        yield Check(f"the model memorises training people {found}", False, "privacy")
    else:
        yield Check(f"no sign of memorising {found}", None, "privacy")


def _privacy(contents: RunContents) -> Check:
    secure = sums_only(contents)
    epsilon = contents.config.get("privacy", {}).get("epsilon")
    if not secure and epsilon is None:
        return Check("privacy: the server saw each update", None, "privacy")
    kept = ["secure aggregation"] if secure else []
    if epsilon is not None:
        kept.append(f"ε = {epsilon:g}")
    return Check(f"privacy: {', '.join(kept)}", True, "privacy")
