"""Whether two models' predictions are of the same scans, as a paired comparison needs."""

from collections.abc import Sequence
from typing import Protocol

from fedtune3d._utils.errors import InputError


class NamedScans(Protocol):
    """Predictions with one row per scan."""

    @property
    def participants(self) -> Sequence[str]:
        """The person of each scan."""

    @property
    def sessions(self) -> Sequence[str]:
        """The session of each scan."""


def scan_order(predictions: NamedScans) -> list[int]:
    """Return the rows in the order of people and sessions."""
    names = _names(predictions)
    return sorted(range(len(names)), key=names.__getitem__)


def require_same_scans(first: NamedScans, second: NamedScans) -> None:
    """Check predictions whose rows are in `scan_order`.

    Raises:
        InputError: If a scan has several rows, or the two are of different scans.
    """
    scans, others = _names(first), _names(second)
    if len(set(scans)) < len(scans):
        raise InputError("paired comparison: expected one row per scan, but a participant and session are repeated")
    if scans != others:
        only_first, only_second = len(set(scans) - set(others)), len(set(others) - set(scans))
        raise InputError(
            f"paired comparison: expected predictions of the same scans, but {only_first} are only in the first and "
            f"{only_second} only in the second; compare runs with the same seed and splits"
        )


def _names(predictions: NamedScans) -> list[tuple[str, str]]:
    return list(zip(predictions.participants, predictions.sessions, strict=True))
