"""What a site tells for the leak audit: fingerprints that no one without the key can test, and who is in each split."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.progress import Advance
from fedtune3d._utils.seeds import numpy_rng
from fedtune3d.cohorts.records import ScanRecord
from fedtune3d.evaluation.auc import auc_estimate
from fedtune3d.evaluation.estimate import Estimate, undefined
from fedtune3d.evaluation.predictions import Predictions
from fedtune3d.preparation.fingerprints import id_pattern, keyed, normal_id
from fedtune3d.preparation.near_fingerprints import near_bands
from fedtune3d.preparation.store import load_prepared

LEAST_KEY_BYTES = 16
KEY_BYTES = 32
"""Of a key that is drawn for the sites of one process."""
_OLDEST = 150.0
_WOMEN, _MEN = ("F", "f", "female", "Female", "W", "w"), ("M", "m", "male", "Male")


def read_key(site: str, path: Path) -> bytes:
    """The key that the sites share, from a file. Raises `InputError` where it cannot be read or is short."""
    try:
        key = path.read_bytes().strip()
    except OSError as error:
        raise InputError(f"site {site}: fingerprint_key {path}: cannot be read ({error.strerror})") from error
    if len(key) < LEAST_KEY_BYTES:
        raise InputError(
            f"site {site}: fingerprint_key {path}: expected {LEAST_KEY_BYTES} bytes or more, found {len(key)}; "
            "make one with `openssl rand -hex 32` and give the same file to every site"
        )
    return key


@dataclass(frozen=True)
class Fingerprinter:
    """Fingerprints a site's scans.

    Attributes:
        site: The site's name.
        key: Shared by the sites and unknown to the server.
        names_leave: Whether scans are named as the site names them, or by eight digits that only the site can look up.
        groups_leave: Whether a declared group can be seen to be another site's, too.
    """

    site: str
    key: bytes
    names_leave: bool
    groups_leave: bool

    def shown(self, name: str) -> str:
        """A name as it leaves the site."""
        return name if self.names_leave else f"#{keyed(self.key, 'shown', self.site, name)[:8]}"

    def answer(
        self,
        prepared: Mapping[ScanRecord, Path],
        splits: Mapping[tuple[str, str], str],
        near: bool,
        progress: Advance,
    ) -> dict[str, Any]:
        """What leaves the site: one row a scan, and a value by which the server sees that all sites have one key.

        Args:
            prepared: Every usable scan and its prepared .npy.
            splits: (participant, session) → split.
            near: Whether near fingerprints are wanted, too.
            progress: Called with (scans done, scans in all).
        """
        rows = []
        for done, (record, path) in enumerate(prepared.items(), start=1):
            rows.append(self._row(record, path, splits.get((record.participant_id, record.session_id)), near))
            progress(done, len(prepared))
        return {"key": keyed(self.key, "the same key"), "scans": rows}

    def _row(self, record: ScanRecord, prepared: Path, split: str | None, near: bool) -> dict[str, Any]:
        person = record.participant_id
        kind = "declared" if record.group_declared else "own"
        scope = () if record.group_declared and self.groups_leave else (self.site,)
        scan = load_prepared(prepared)
        row = {
            "scan": self.shown(record.name),
            "person": self.shown(person),
            "split": split,
            "group": keyed(self.key, "group", kind, record.group_id, *scope),
            "id": keyed(self.key, "id", normal_id(person)),
            "pattern": keyed(self.key, "pattern", id_pattern(person)),
            "exact": keyed(self.key, "exact", scan.voxels_sha256),
        }
        return row | {"near": near_bands(np.asarray(scan.voxels), self.key)} if near else row


def describe(
    records: Sequence[ScanRecord], splits: Mapping[tuple[str, str], str], least: int, seed: int
) -> dict[str, Any]:
    """Classes, sex and age per split (people, not scans), and whether age tells the label; no number of under `least`.

    A count under `least` is None, and so is whatever it could be reckoned from.

    Returns:
        ``splits``: split (and ``all``) → ``negative`` and ``positive``, each with ``people``, ``women`` and ``age``
        ([mean, standard deviation] in years); ``age_auc``: the `Estimate` of the AUC of age for the label.
    """
    parts: dict[str, list[ScanRecord]] = {"train": [], "validation": [], "test": []}
    for record in records:
        split = splits.get((record.participant_id, record.session_id))
        if split is not None:
            parts[split].append(record)
    found = {name: _classes(part, least) for name, part in parts.items()}
    for name in ("negative", "positive"):
        _hide_differences([classes[name] for classes in found.values()])
    found["all"] = _classes(records, least)
    return {"splits": found, "age_auc": _age_auc(records, least, seed)}


def _classes(records: Iterable[ScanRecord], least: int) -> dict[str, Any]:
    people = {(record.participant_id, record.label): record for record in records}
    classes = {}
    for name, label in (("negative", 0), ("positive", 1)):
        of_class = [record for record in people.values() if record.label == label]
        ages = [record.age for record in of_class if record.age is not None]
        women, men = (sum(record.sex in names for record in of_class) for names in (_WOMEN, _MEN))
        sexes_leave = women + men == len(of_class) and _may_leave(women, least) and _may_leave(men, least)
        classes[name] = {
            "people": len(of_class) if _may_leave(len(of_class), least) else None,
            "women": women if sexes_leave else None,
            "age": [round(float(f(ages)), 1) for f in (np.mean, _deviation)] if len(ages) >= max(2, least) else None,
        }
    return classes


def _deviation(ages: Sequence[float]) -> float:
    return float(np.std(ages, ddof=1))


def _hide_differences(parts: Sequence[dict[str, Any]]) -> None:
    """Hide a second split's numbers where one split's are hidden: the sum of all would tell them."""
    for key, hidden in (("people", ("people", "women", "age")), ("women", ("women",))):
        if sum(part[key] is None for part in parts) == 1:
            smallest = min((part for part in parts if part[key]), key=lambda part: part[key], default=None)
            if smallest is not None:
                smallest.update(dict.fromkeys(hidden))


def _may_leave(count: int, least: int) -> bool:
    return count == 0 or count >= least


def _age_auc(records: Sequence[ScanRecord], least: int, seed: int) -> Estimate:
    with_age = [record for record in records if record.age is not None]
    people = [len({record.group_id for record in with_age if record.label == label}) for label in (0, 1)]
    if min(people) < least:
        return undefined(f"fewer than {least} people of a class have an age")
    predictions = Predictions(
        tuple(record.group_id for record in with_age),
        tuple(record.session_id for record in with_age),
        np.array([record.label for record in with_age], dtype=np.int8),
        np.array([min(record.age or 0.0, _OLDEST) / _OLDEST for record in with_age]),
    )
    return auc_estimate(predictions, numpy_rng(seed, "age AUC"))
