"""Keyed hashes of the people behind an experiment's numbers, kept at the site to prevent differencing attacks.

Two numbers over sets that differ in one person reveal that person's value by subtraction. Therefore the sets behind
every number of an experiment (everyone, each class, each split, each class of a split) are compared with those of all
experiments that released numbers before.
"""

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path

from fedtune3d._utils.errors import DamagedFileError, InputError
from fedtune3d._utils.files import read_bytes, write_bytes
from fedtune3d.cohorts.records import ScanRecord
from fedtune3d.evaluation.outcome import BINARY

KEY_BYTES = 32
HEX_DIGITS = 32
EVERYONE = "everyone"
_ADVICE = "restore it from a backup: without it, nobody is recognised who has withdrawn or whose budget is spent"

PeopleSets = Mapping[str, tuple[str, ...]]
"""Name of a set, such as ``train positive`` → the hashes of its people, sorted."""


def site_key(path: Path, ledgers: Iterable[Path]) -> bytes:
    """Return the key of the hashes, generating it on first use. It never leaves the site.

    Args:
        path: Its file, with a checksum: under another key everybody would be a stranger, without a word.
        ledgers: The files that hold hashes made with it.

    Raises:
        InputError: If it is missing, but one of these files is there.
        DamagedFileError: If it has changed.
    """
    if not path.exists():
        for ledger in ledgers:
            if ledger.exists():
                raise InputError(f"{path}: missing, but {ledger.name} names people by hashes made with it; {_ADVICE}")
        key = secrets.token_bytes(KEY_BYTES)
        write_bytes(path, key + hashlib.sha256(key).digest(), private=True)
    content = read_bytes(path)
    key = content[:KEY_BYTES]
    if content != key + hashlib.sha256(key).digest():
        raise DamagedFileError(path, "does not match its checksum", _ADVICE)
    return key


def hash_person(key: bytes, participant_id: str) -> str:
    """Return the keyed hash of a person; without the key it cannot be linked to anyone."""
    return hmac.new(key, participant_id.encode(), hashlib.sha256).hexdigest()[:HEX_DIGITS]


def people_sets(
    records: Iterable[ScanRecord], splits: Mapping[str, str], key: bytes, classes: Sequence[str] = BINARY.strata
) -> dict[str, tuple[str, ...]]:
    """Return the sets of people that the numbers of an experiment may be about.

    Args:
        records: The scans in use.
        splits: Group → split, for the groups that this site splits itself.
        key: The key of the hashes.
        classes: The names of the classes, in the order of labels.
    """
    sets: dict[str, set[str]] = {EVERYONE: set(), **{name: set() for name in classes}}
    for record in records:
        person, label = hash_person(key, record.participant_id), classes[record.label]
        names = [EVERYONE, label]
        if (split := splits.get(record.group_id)) is not None:
            names += [split, f"{split} {label}"]
        for name in names:
            sets.setdefault(name, set()).add(person)
    return {name: tuple(sorted(people)) for name, people in sets.items()}


def without_people(sets: PeopleSets, gone: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the sets without some people."""
    left = set(gone)
    return {name: tuple(person for person in people if person not in left) for name, people in sets.items()}


def too_close(sets: PeopleSets, released: PeopleSets, min_people: int) -> bool:
    """Return whether a new set differs by 1 to `min_people` − 1 people from one about which numbers were released.

    Sets of fewer than `min_people` have no numbers to subtract; a set about which numbers were released is not new, and
    is compared with those that are.
    """
    new = [set(people) for people in set(sets.values()) - set(released.values())]
    old = [set(people) for people in set(released.values())]
    return any(
        0 < len(here ^ before) < min_people
        for here, before in product(new, old)
        if min(len(here), len(before)) >= min_people
    )
