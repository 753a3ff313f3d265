"""The leak audit at the server: overlaps between the sites' fingerprints, and shortcuts to the label."""

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, TypeVar

import numpy as np

from fedtune3d._utils.errors import InputError
from fedtune3d.evaluation.auc import auc_from_counts
from fedtune3d.evaluation.intervals import newcombe
from fedtune3d.federation.messages import Answer, Task
from fedtune3d.federation.site.audit import ScanFingerprint
from fedtune3d.federation.tasks.describe_people import DescribePeople, PeopleDescription
from fedtune3d.federation.tasks.fingerprint_scans import FingerprintScans, ScanFingerprints
from fedtune3d.federation.tasks.profile_intensities import IntensityProfile, ProfileIntensities
from fedtune3d.preparation.near_fingerprints import BANDS, SUSPICIOUS_BANDS
from fedtune3d.preparation.profiles import Profiles, compare_profiles, shared_grid

TELLING_MARGIN = 0.1
"""A variable predicts the label when the whole interval of its AUC is further than this from 0.5."""
_SHOWN = 3


@dataclass(frozen=True)
class Finding:
    """A finding of the audit: a `leak` stops a run, a `warning` does not. The text is one line."""

    level: Literal["leak", "warning"]
    text: str


Key = TypeVar("Key", bound=Hashable)
Ask = Callable[[Task], Sequence[Answer]]
"""Sends all sites one task outside the rounds and returns their answers."""


@dataclass(frozen=True)
class LeakAudit:
    """Outcome of the leak audit.

    Attributes:
        findings: Leaks first.
        described: Site → its people.
    """

    findings: tuple[Finding, ...]
    described: Mapping[str, PeopleDescription]

    @property
    def leaks(self) -> list[Finding]:
        """The findings that stop a run."""
        return [finding for finding in self.findings if finding.level == "leak"]

    def require_none(self) -> None:
        """Raise `InputError` with one line per leak, if there are any."""
        if self.leaks:
            lines = [f"leak: {finding.text}" for finding in self.leaks]
            raise InputError("\n".join([*lines, f"{len(lines)} found: leave out one side, or give both one group_id"]))


def audit_sites(ask: Ask, near: bool) -> LeakAudit:
    """Compare the split sites' fingerprints and look at who is where; `near` also compares near fingerprints."""
    task = Task(FingerprintScans(near=near))
    fingerprints = {answer.site: answer.expect(ScanFingerprints) for answer in ask(task)}
    described = {answer.site: answer.expect(PeopleDescription) for answer in ask(Task(DescribePeople()))}
    return LeakAudit((*find_leaks(fingerprints), *find_shortcuts(described)), described)


def profile_sites(ask: Ask) -> Profiles:
    """Ask the sites for their intensity profiles on one grid; none where each has too few scans for it to leave."""
    ranges = [answer.expect(IntensityProfile).range for answer in ask(Task(ProfileIntensities()))]
    known = [site_range for site_range in ranges if site_range is not None]
    if not known:
        return Profiles(None, {}, ())
    low, high = shared_grid(known)
    answers = ask(Task(ProfileIntensities(grid=(low, high))))
    profiles = {answer.site: answer.expect(IntensityProfile) for answer in answers}
    measured = {
        site: (profile.scans or 0, profile.density) for site, profile in profiles.items() if profile.density is not None
    }
    return compare_profiles(low, high, measured)


@dataclass(frozen=True)
class _Scan(ScanFingerprint):
    """A scan's fingerprint with its site."""

    site: str = ""

    @property
    def place(self) -> str:
        return f"{self.site} {self.scan} ({self.split or 'in no split'})"


def find_leaks(answers: Mapping[str, ScanFingerprints]) -> list[Finding]:
    """Compare the fingerprints of all sites; leaks come first.

    Leaks: a person (or declared group) in two splits; one image under two people. Warnings: one image twice under one
    person or group; images of two people that share `SUSPICIOUS_BANDS` bands; ids that are the same, or of the same
    form, at several sites, or that differ in case or leading zeros only.

    Raises:
        InputError: If the sites' keys differ, so that nothing could be compared.
    """
    keys = {prints.key for prints in answers.values() if prints.key is not None}
    if len(keys) > 1:
        raise InputError(
            f"sites {', '.join(sorted(answers))}: expected one fingerprint_key, found {len(keys)} different ones; give "
            "every site the same key file"
        )
    scans = [_Scan(**vars(scan), site=site) for site, prints in sorted(answers.items()) for scan in prints.scans]
    findings = [
        *_without_key(answers),
        *_split_people(scans),
        *_same_images(scans),
        *_similar_images(scans),
        *_same_ids(scans),
    ]
    return sorted(findings, key=lambda finding: finding.level != "leak")


def _without_key(answers: Mapping[str, ScanFingerprints]) -> Iterator[Finding]:
    missing = sorted(site for site, prints in answers.items() if prints.key is None)
    if missing:
        yield Finding("warning", f"not looked for leaks at {_listed(missing)}: the site names no fingerprint_key")


def _split_people(scans: Sequence[_Scan]) -> Iterator[Finding]:
    people: dict[tuple[str, str], list[_Scan]] = _grouped(scans, lambda scan: (scan.site, scan.person))
    for (site, person), own in people.items():
        if len(_splits(own)) > 1:
            parts = "; ".join(
                f"{split}: {', '.join(scan.scan for scan in own if scan.split == split)}" for split in _splits(own)
            )
            yield Finding("leak", f"one person in two splits: {site} {person} ({parts})")
    for members in _grouped(scans, lambda scan: scan.group).values():
        apart = {(scan.site, scan.person) for scan in members}
        if len(_splits(members)) > 1 and len(apart) > 1:
            first = [next(scan for scan in members if scan.split == split) for split in _splits(members)]
            yield Finding("leak", f"one group_id in two splits: {' and '.join(scan.place for scan in first)}")


def _same_images(scans: Sequence[_Scan]) -> Iterator[Finding]:
    for copies in _grouped(scans, lambda scan: scan.exact).values():
        places = " and ".join(scan.place for scan in copies)
        if len({scan.group for scan in copies}) > 1:
            yield Finding("leak", f"the same image under two ids: {places}")
        elif len(copies) > 1:
            yield Finding("warning", f"the same image counted {len(copies)} times, of one person or group: {places}")


def _similar_images(scans: Sequence[_Scan]) -> Iterator[Finding]:
    equal: dict[tuple[int, int], int] = defaultdict(int)
    bands: dict[tuple[int, str], list[int]] = defaultdict(list)
    for index, scan in enumerate(scans):
        for number, code in enumerate(scan.near):
            bands[number, code].append(index)
    for members in bands.values():
        for pair in combinations(members, 2):
            equal[pair] += 1
    for (a, b), count in sorted(equal.items()):
        first, second = scans[a], scans[b]
        if count >= SUSPICIOUS_BANDS and first.group != second.group and first.exact != second.exact:
            yield Finding(
                "warning",
                f"perhaps one person under two ids ({count} of {BANDS} bands equal): {first.place} and {second.place}",
            )


def _same_ids(scans: Sequence[_Scan]) -> Iterator[Finding]:
    reported: set[frozenset[str]] = set()
    shared: dict[tuple[str, ...], list[_Scan]] = defaultdict(list)
    for members in _grouped(scans, lambda scan: scan.id).values():
        sites = sorted({scan.site for scan in members})
        people = {(scan.site, scan.person): scan for scan in members}
        if len({scan.group for scan in members}) == 1:
            continue
        if len(sites) > 1:
            shared[tuple(sites)].append(members[0])
        else:
            names = ", ".join(sorted(person for _, person in people))
            yield Finding("warning", f"ids that differ in case or zeros only: {sites[0]} {names}; one person?")
    for sites_of, members in sorted(shared.items()):
        reported.add(frozenset(sites_of))
        yield Finding(
            "warning",
            f"the same participant ids at {_listed(sites_of)}: {len(members)}, such as "
            f"{', '.join(scan.person for scan in members[:_SHOWN])}; if they are the same people, give them one "
            "group_id",
        )
    for members in _grouped(scans, lambda scan: scan.pattern).values():
        sites = sorted({scan.site for scan in members})
        if len(sites) > 1 and not any(set(sites) <= known for known in reported):
            reported.add(frozenset(sites))
            yield Finding(
                "warning",
                f"participant ids of one form at {_listed(sites)}, such as "
                f"{' and '.join(next(s.person for s in members if s.site == site) for site in sites[:2])}; parts of "
                "one cohort?",
            )


def _grouped(scans: Iterable[_Scan], by: Callable[[_Scan], Key]) -> dict[Key, list[_Scan]]:
    groups: dict[Key, list[_Scan]] = {}
    for scan in scans:
        groups.setdefault(by(scan), []).append(scan)
    return groups


def _splits(scans: Iterable[_Scan]) -> list[str]:
    return sorted({scan.split for scan in scans if scan.split is not None})


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def find_shortcuts(described: Mapping[str, PeopleDescription]) -> list[Finding]:
    """Warn where age or the site alone predicts the label, by the descriptions of all sites' people."""
    findings = []
    for site, people in sorted(described.items()):
        limits = people.age_auc.limits
        if limits is not None and _tells(*limits[1:]):
            value, low, high = limits
            findings.append(
                Finding(
                    "warning",
                    f"{site}: age alone tells the label, AUC {value:.2f} [{low:.2f}, {high:.2f}]; "
                    "match the classes by age, or report a model of age alongside",
                )
            )
    counts = {site: _people_by_class(people) for site, people in described.items()}
    known = {site: pair for site, pair in counts.items() if pair is not None}
    if len(known) > 1:
        auc, low, high = site_auc(list(known.values()))
        if _tells(low, high):
            shares = ", ".join(f"{site} {100 * pair[1] / sum(pair):.0f} %" for site, pair in sorted(known.items()))
            findings.append(
                Finding(
                    "warning",
                    f"the site alone tells the label, AUC {auc:.2f} [{low:.2f}, {high:.2f}], Cramér's V "
                    f"{cramers_v(list(known.values())):.2f}: positive are {shares}",
                )
            )
    return findings


def _tells(low: float, high: float) -> bool:
    return bool(low > 0.5 + TELLING_MARGIN or high < 0.5 - TELLING_MARGIN)


def _people_by_class(description: PeopleDescription) -> tuple[int, int] | None:
    """Negatives and positives of a site; None if either number is suppressed."""
    everyone = description.splits.get("all")
    if everyone is None or everyone.negative.people is None or everyone.positive.people is None:
        return None
    return everyone.negative.people, everyone.positive.people


def site_auc(counts: Sequence[tuple[int, int]]) -> tuple[float, float, float]:
    """Compute the AUC, with its 95% CI (Newcombe), of a site's share of positives as the score of its people.

    Args:
        counts: (negatives, positives) of each site. With people of one class only the AUC is 0.5, its interval all.
    """
    ordered = sorted((pair for pair in counts if sum(pair)), key=lambda pair: pair[1] / sum(pair))
    negatives, positives = (np.array([pair[label] for pair in ordered]) for label in (0, 1))
    if not negatives.sum() or not positives.sum():
        return 0.5, 0.0, 1.0
    auc = float(auc_from_counts(negatives, positives))
    return (auc, *newcombe(auc, int(negatives.sum()), int(positives.sum())))


def cramers_v(counts: Sequence[tuple[int, int]]) -> float:
    """Cramér's V of site and label, corrected for bias.

    References:
        Bergsma, 2013, J. Korean Stat. Soc. 42:323–328.
    """
    table = np.array([pair for pair in counts if sum(pair)], dtype=float)
    table = table[:, table.sum(axis=0) > 0]
    n, (rows, columns) = table.sum(), table.shape
    if min(rows, columns) < 2:
        return 0.0
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / n
    phi2 = max(0.0, float(((table - expected) ** 2 / expected).sum() / n) - (rows - 1) * (columns - 1) / (n - 1))
    smaller = min(size - (size - 1) ** 2 / (n - 1) for size in (rows, columns)) - 1
    return math.sqrt(phi2 / smaller)
