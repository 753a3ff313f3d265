"""The site's part of the leak audit: keyed fingerprints of its scans, and a description of the people in each split."""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.progress import Advance
from fedtune3d._utils.seeds import numpy_rng
from fedtune3d.cohorts.records import ScanRecord
from fedtune3d.evaluation.auc_estimate import auc_estimate
from fedtune3d.evaluation.estimate import Estimate, undefined
from fedtune3d.evaluation.predictions import Predictions
from fedtune3d.preparation.fingerprints import id_pattern, keyed, normal_id
from fedtune3d.preparation.near_fingerprints import near_bands
from fedtune3d.preparation.store import load_prepared

MIN_KEY_BITS = 128
KEY_BYTES = 32
"""Length of the key drawn for the sites of one process."""
_MAX_AGE = 150.0
_WOMEN, _MEN = ("F", "f", "female", "Female", "W", "w"), ("M", "m", "male", "Male")


def read_key(site: str, path: Path) -> bytes:
    """Read the sites' shared key. Raises `InputError` if it cannot be read, others can read it, or it is weak."""
    try:
        key = path.read_bytes().strip()
    except OSError as error:
        raise InputError(f"site {site}: fingerprint_key {path}: cannot be read ({error.strerror})") from error
    if path.stat().st_mode & 0o077:
        raise InputError(f"site {site}: fingerprint_key {path}: others on this machine can read it; chmod 600 {path}")
    if (bits := entropy_bits(key)) < MIN_KEY_BITS:
        raise InputError(
            f"site {site}: fingerprint_key {path}: expected {MIN_KEY_BITS} random bits, found about {bits:.0f}; "
            "make one with `openssl rand -hex 32` and give the same file to every site"
        )
    return key


def entropy_bits(key: bytes) -> float:
    """About how many random bits a key holds: its length times the Shannon entropy of its bytes.

    It finds short keys, words and repetitions, not a long text that somebody else knows.
    """
    counts = Counter(key).values()
    return -sum(count * math.log2(count / len(key)) for count in counts)


@dataclass(frozen=True)
class ScanFingerprint:
    """A scan's fingerprint, which the server compares with those of other scans.

    Attributes:
        scan: Participant and session, or digits that only the site can look up.
        person: The participant, likewise.
        split: The scan's split, or None.
        group: Keyed hash of the group.
        id: Keyed hash of the participant's id, ignoring case and leading zeros.
        pattern: Keyed hash of the pattern of that id.
        exact: Keyed hash of the image.
        near: Keyed hashes of the bands of the near fingerprint; empty if it was not requested.
    """

    scan: str
    person: str
    split: str | None
    group: str
    id: str
    pattern: str
    exact: str
    near: tuple[str, ...] = ()


@dataclass(frozen=True)
class PeopleOfClass:
    """The people of one class; None for a number that may not leave the site.

    Attributes:
        people: Number of people.
        women: Number of women.
        age: Mean and standard deviation, in years.
    """

    people: int | None
    women: int | None
    age: tuple[float, float] | None


@dataclass(frozen=True)
class PeopleByClass:
    """The people of each class, in the order of labels; none if no number about any of them leaves the site."""

    classes: tuple[PeopleOfClass, ...]

    def of(self, label: int) -> PeopleOfClass:
        """Return the people of a class."""
        return self.classes[label] if self.classes else _NOT_SHOWN


_NOT_SHOWN = PeopleOfClass(None, None, None)
NOBODY_SHOWN = PeopleByClass(())


@dataclass(frozen=True)
class Fingerprinter:
    """Compute the fingerprints of a site's scans.

    Attributes:
        site: The site's name.
        key: Key shared by the sites and unknown to the server.
        names_leave: Whether scans keep their own names, instead of eight digits that only the site can look up.
        groups_leave: Whether the server can see that a declared group occurs at other sites, too.
    """

    site: str
    key: bytes
    names_leave: bool
    groups_leave: bool

    def shown(self, name: str) -> str:
        """Return a name as it leaves the site."""
        return name if self.names_leave else f"#{keyed(self.key, 'shown', self.site, name)[:8]}"

    @property
    def key_check(self) -> str:
        """A hash that shows the server whether all sites use the same key."""
        return keyed(self.key, "the same key")

    def fingerprint(
        self,
        prepared: Mapping[ScanRecord, Path],
        splits: Mapping[tuple[str, str], str],
        near: bool,
        progress: Advance,
    ) -> tuple[ScanFingerprint, ...]:
        """Compute one fingerprint per scan.

        Args:
            prepared: Every usable scan and its prepared .npy.
            splits: (participant, session) → split.
            near: Whether to compute near fingerprints, too.
            progress: Called with (scans done, total scans).
        """
        rows = []
        for done, (record, path) in enumerate(prepared.items(), start=1):
            rows.append(self._row(record, path, splits.get((record.participant_id, record.session_id)), near))
            progress(done, len(prepared))
        return tuple(rows)

    def _row(self, record: ScanRecord, prepared: Path, split: str | None, near: bool) -> ScanFingerprint:
        person = record.participant_id
        kind = "declared" if record.group_declared else "own"
        scope = () if record.group_declared and self.groups_leave else (self.site,)
        scan = load_prepared(prepared)
        return ScanFingerprint(
            scan=self.shown(record.name),
            person=self.shown(person),
            split=split,
            group=keyed(self.key, "group", kind, record.group_id, *scope),
            id=keyed(self.key, "id", normal_id(person)),
            pattern=keyed(self.key, "pattern", id_pattern(person)),
            exact=keyed(self.key, "exact", scan.voxels_sha256),
            near=tuple(near_bands(np.asarray(scan.voxels), float(scan.affine[0, 0]), self.key)) if near else (),
        )


def people_by_split(
    records: Sequence[ScanRecord],
    splits: Mapping[tuple[str, str], str],
    min_people: int,
    small: Collection[str] = (),
    classes: int = 2,
) -> dict[str, PeopleByClass]:
    """Describe class, sex and age of the people in each split and, under ``all``, of everyone.

    A count below `min_people` is None, and so is every number from which it could be calculated. Nothing is reported of
    small splits and, if there are any, of all people.

    Args:
        records: The usable scans.
        splits: (participant, session) → split.
        min_people: The minimum number of people behind a number that leaves.
        small: The splits of which no number leaves.
        classes: Number of classes.
    """
    parts: dict[str, list[ScanRecord]] = {"train": [], "validation": [], "test": []}
    for record in records:
        split = splits.get((record.participant_id, record.session_id))
        if split is not None:
            parts[split].append(record)
    labels = range(classes)
    by_class = [_hide_differences([_people_of(part, label, min_people) for part in parts.values()]) for label in labels]
    described = {name: PeopleByClass(tuple(of_class)) for name, *of_class in zip(parts, *by_class, strict=True)}
    described["all"] = PeopleByClass(tuple(_people_of(records, label, min_people) for label in labels))
    hidden = {*small, "all"} if small else set()
    return {name: NOBODY_SHOWN if name in hidden else people for name, people in described.items()}


def _people_of(records: Iterable[ScanRecord], label: int, min_people: int) -> PeopleOfClass:
    people = {record.participant_id: record for record in records if record.label == label}.values()
    ages = [record.age for record in people if record.age is not None]
    women, men = (sum(record.sex in names for record in people) for names in (_WOMEN, _MEN))
    sexes_leave = women + men == len(people) and _may_leave(women, min_people) and _may_leave(men, min_people)
    age = (round(float(np.mean(ages)), 1), round(_deviation(ages), 1)) if len(ages) >= max(2, min_people) else None
    return PeopleOfClass(
        people=len(people) if _may_leave(len(people), min_people) else None,
        women=women if sexes_leave else None,
        age=age,
    )


def _deviation(ages: Sequence[float]) -> float:
    return float(np.std(ages, ddof=1))


def _hide_differences(parts: list[PeopleOfClass]) -> list[PeopleOfClass]:
    """Hide a second split's numbers if only one split's are hidden: the total would reveal them."""
    hidden_people = [part.people is None for part in parts]
    if sum(hidden_people) == 1:
        smallest = min((part for part in parts if part.people), key=lambda part: part.people or 0, default=None)
        parts = [_NOT_SHOWN if part is smallest else part for part in parts]
    if sum(part.women is None for part in parts) == 1:
        smallest = min((part for part in parts if part.women), key=lambda part: part.women or 0, default=None)
        parts = [replace(part, women=None) if part is smallest else part for part in parts]
    return parts


def _may_leave(count: int, minimum: int) -> bool:
    return count == 0 or count >= minimum


def age_auc(records: Sequence[ScanRecord], min_people: int, seed: int) -> Estimate:
    """Compute the AUC of age as a predictor of the label; undefined with fewer than `min_people` in a class."""
    with_age = [record for record in records if record.age is not None]
    people = [len({record.group_id for record in with_age if record.label == label}) for label in (0, 1)]
    if min(people) < min_people:
        if min_people <= 1:
            return undefined("no age is known in one of the classes")
        return undefined(f"the age of fewer than {min_people} people of a class is known")
    predictions = Predictions(
        tuple(record.group_id for record in with_age),
        tuple(record.session_id for record in with_age),
        np.array([record.label for record in with_age], dtype=np.int8),
        np.array([min(record.age or 0.0, _MAX_AGE) / _MAX_AGE for record in with_age]),
    )
    return auc_estimate(predictions, "score", numpy_rng(seed, "age AUC"))
