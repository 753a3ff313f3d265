"""The leak audit at the server: overlaps between the sites' fingerprints, and shortcuts to the label."""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, TypeVar

from fedtune3d._utils.errors import InputError
from fedtune3d.config.class_names import names_of
from fedtune3d.config.experiment import Experiment
from fedtune3d.federation.messages import Answer, Task
from fedtune3d.federation.shortcuts import find_shortcuts
from fedtune3d.federation.site.audit import ScanFingerprint
from fedtune3d.federation.tasks.describe_people import DescribePeople, PeopleDescription
from fedtune3d.federation.tasks.fingerprint_scans import NO_KEY, FingerprintScans, ScanFingerprints
from fedtune3d.federation.tasks.profile_intensities import IntensityProfile, ProfileIntensities
from fedtune3d.preparation.near_fingerprints import BANDS, SUSPICIOUS_BANDS
from fedtune3d.preparation.profiles import Profiles, compare_profiles, shared_grid

MAX_PAIRS = 3_000_000
"""Maximum number of pairs of scans with a common band that are compared: ten times those of 10,000 unrelated scans."""
_MAX_EXAMPLES = 3


@dataclass(frozen=True)
class Finding:
    """A finding of the audit, in one line: a `leak` stops a run, a `warning` does not."""

    level: Literal["leak", "warning"]
    text: str


Key = TypeVar("Key", bound=Hashable)
Ask = Callable[[Task], Sequence[Answer]]
"""Sends all sites one task outside the rounds and returns their answers."""


@dataclass(frozen=True)
class LeakAudit:
    """Outcome of the leak audit.

    Attributes:
        findings: The findings, leaks first.
        described: Site → description of its people.
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
            advice = f"{len(lines)} found: exclude one of the two, or give both the same group_id"
            raise InputError("\n".join([*lines, advice]))


def audit_sites(ask: Ask, near: bool, experiment: Experiment) -> LeakAudit:
    """Look for overlaps between splits and sites and for shortcuts to the label; sites are in the experiment's order.

    Args:
        ask: Sends all sites a task.
        near: Whether to look for similar images, too.
        experiment: The experiment, whose own warnings are findings, too, as are people whom its encoder may know.
    """
    place = {site.name: index for index, site in enumerate(experiment.sites)}

    def in_order(task: Task) -> list[Answer]:
        return sorted(ask(task), key=lambda answer: place.get(answer.site, len(place)))

    task = Task(FingerprintScans(near=near))
    fingerprints = {answer.site: answer.expect(ScanFingerprints) for answer in in_order(task)}
    described = {answer.site: answer.expect(PeopleDescription) for answer in in_order(Task(DescribePeople()))}
    overlaps = experiment.overlaps({site: people.cohorts for site, people in described.items()})
    known = (Finding("warning", text) for text in (*experiment.warnings, *overlaps))
    shortcuts = [Finding("warning", text) for text in find_shortcuts(described, names_of(experiment).in_order)]
    return LeakAudit((*find_leaks(fingerprints), *shortcuts, *known), described)


def profile_sites(ask: Ask) -> Profiles:
    """Collect the sites' intensity profiles on one grid; empty if every site has too few people for one to leave."""
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
    """Compare the fingerprints of all sites. Returns the findings, leaks first.

    Leaks: a person (or declared group) in two splits; the same image under two people. Warnings: the same image twice
    under one person or group; images of two people that share `SUSPICIOUS_BANDS` bands; ids that are equal, or have
    the same pattern, at several sites; ids that differ only in case or leading zeros.

    Raises:
        InputError: If the sites' keys differ and no key is that of most sites, so that nothing can be compared.
    """
    strangers = _with_other_keys(answers)
    compared = {site: prints for site, prints in answers.items() if site not in strangers}
    scans = [_Scan(**vars(scan), site=site) for site, prints in compared.items() for scan in prints.scans]
    findings = [
        *_without_key(answers),
        *_with_key_of_their_own(strangers),
        *_split_people(scans),
        *_same_images(scans),
        *_similar_images(scans),
        *_same_ids(scans),
    ]
    return sorted(findings, key=lambda finding: finding.level != "leak")


def _with_other_keys(answers: Mapping[str, ScanFingerprints]) -> list[str]:
    """The sites whose key is another than that of most. Raises `InputError` where no key is that of most."""
    keys = {site: prints.key for site, prints in answers.items() if prints.key is not None}
    if len(set(keys.values())) <= 1:
        return []
    ((common, count),) = Counter(keys.values()).most_common(1)
    if 2 * count <= len(keys):
        raise InputError(
            f"sites {', '.join(answers)}: expected the same fingerprint_key, found {len(set(keys.values()))} "
            "different ones; give every site the same key file"
        )
    return [site for site, key in keys.items() if key != common]


def _with_key_of_their_own(sites: Sequence[str]) -> Iterator[Finding]:
    for site in sites:
        yield Finding("warning", f"not looked for leaks at {site}: its fingerprint_key is not the others'")


def _without_key(answers: Mapping[str, ScanFingerprints]) -> Iterator[Finding]:
    missing: dict[str, list[str]] = defaultdict(list)
    for site, prints in answers.items():
        if prints.key is None:
            missing[prints.why or NO_KEY].append(site)
    for why, sites in missing.items():
        yield Finding("warning", f"{_listed(sites)} not audited for leaks: {why}")


def _split_people(scans: Sequence[_Scan]) -> Iterator[Finding]:
    people: dict[tuple[str, str], list[_Scan]] = _grouped(scans, lambda scan: (scan.site, scan.person))
    for (site, person), members in people.items():
        if len(_splits(members)) > 1:
            parts = "; ".join(
                f"{split}: {', '.join(scan.scan for scan in members if scan.split == split)}"
                for split in _splits(members)
            )
            yield Finding("leak", f"one person in two splits: {site} {person} ({parts})")
    for members in _grouped(scans, lambda scan: scan.group).values():
        persons = {(scan.site, scan.person) for scan in members}
        if len(_splits(members)) > 1 and len(persons) > 1:
            first = [next(scan for scan in members if scan.split == split) for split in _splits(members)]
            yield Finding("leak", f"one group_id in two splits: {' and '.join(scan.place for scan in first)}")


def _same_images(scans: Sequence[_Scan]) -> Iterator[Finding]:
    for copies in _grouped(scans, lambda scan: scan.exact).values():
        places = " and ".join(scan.place for scan in copies)
        if len({scan.group for scan in copies}) > 1:
            yield Finding("leak", f"the same image under two ids: {places}")
        elif len(copies) > 1:
            yield Finding("warning", f"the same image {len(copies)} times for one person or group: {places}")


def _similar_images(scans: Sequence[_Scan]) -> Iterator[Finding]:
    equal: dict[tuple[int, int], int] = defaultdict(int)
    bands: dict[tuple[int, str], list[int]] = defaultdict(list)
    for index, scan in enumerate(scans):
        for number, code in enumerate(scan.near):
            bands[number, code].append(index)
    compared, cut_off = 0, None
    for members in sorted(bands.values(), key=len):  # few scans share a band, but for those of a site that floods it
        compared += len(members) * (len(members) - 1) // 2
        if compared > MAX_PAIRS:
            cut_off = Counter(scans[index].site for index in members).most_common(1)[0][0]
            break
        for pair in combinations(members, 2):
            equal[pair] += 1
    if cut_off is not None:
        yield Finding("warning", f"near duplicates were not all looked for: too many scans of {cut_off} share bands")
    for (a, b), count in sorted(equal.items()):
        first, second = scans[a], scans[b]
        if count >= SUSPICIOUS_BANDS and first.group != second.group and first.exact != second.exact:
            yield Finding(
                "warning",
                f"possibly one person under two ids ({count} of {BANDS} bands equal): {first.place} and {second.place}",
            )


def _same_ids(scans: Sequence[_Scan]) -> Iterator[Finding]:
    reported: set[frozenset[str]] = set()
    shared: dict[tuple[str, ...], list[_Scan]] = defaultdict(list)
    for members in _grouped(scans, lambda scan: scan.id).values():
        sites = _sites(members)
        people = {(scan.site, scan.person): scan for scan in members}
        if len({scan.group for scan in members}) == 1:
            continue
        if len(sites) > 1:
            shared[tuple(sites)].append(members[0])
        else:
            names = ", ".join(sorted(person for _, person in people))
            text = f"ids that differ only in case or leading zeros: {sites[0]} {names}; the same person?"
            yield Finding("warning", text)
    for sites_of, members in shared.items():
        reported.add(frozenset(sites_of))
        yield Finding(
            "warning",
            f"{len(members)} participant ids occur at {_listed(sites_of)}, such as "
            f"{', '.join(scan.person for scan in members[:_MAX_EXAMPLES])}; if they are the same people, give them the "
            "same group_id",
        )
    for members in _grouped(scans, lambda scan: scan.pattern).values():
        sites = _sites(members)
        if len(sites) > 1 and not any(set(sites) <= known for known in reported):
            reported.add(frozenset(sites))
            yield Finding(
                "warning",
                f"participant ids have the same pattern at {_listed(sites)}, such as "
                f"{' and '.join(next(s.person for s in members if s.site == site) for site in sites[:2])}; parts of "
                "the same cohort?",
            )


def _grouped(scans: Iterable[_Scan], by: Callable[[_Scan], Key]) -> dict[Key, list[_Scan]]:
    groups: dict[Key, list[_Scan]] = {}
    for scan in scans:
        groups.setdefault(by(scan), []).append(scan)
    return groups


def _sites(scans: Iterable[_Scan]) -> list[str]:
    return list(dict.fromkeys(scan.site for scan in scans))


def _splits(scans: Iterable[_Scan]) -> list[str]:
    return sorted({scan.split for scan in scans if scan.split is not None})


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
