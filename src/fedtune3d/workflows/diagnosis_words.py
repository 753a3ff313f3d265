"""The diagnoses that `init` knows by their words: controls, dementia, the stages between. The rest is the user's."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

CONTROL_WORDS = ("cn", "hc", "nc", "control", "healthy", "normal")
SEVERITY = (("scd", "smc"), ("emci",), ("mci",), ("lmci",))
"""Words of stages between healthy and demented, from the mildest on."""
DEMENTIA_WORDS = ("ad", "dat", "dem", "dementia", "demented", "alzheimer", "alzheimers", "alzheimersdisease")
"""Diagnoses of dementia, in lower case and without signs between letters."""


@dataclass(frozen=True)
class TwoClasses:
    """The diagnoses of two classes, and those that only the user can assign."""

    positive: tuple[str, ...]
    negative: tuple[str, ...]
    open: tuple[str, ...]

    @property
    def has_synonyms(self) -> bool:
        """True if a class has more than one word: they may be synonyms, such as AD and Dementia."""
        return max(len(self.positive), len(self.negative)) > 1

    @property
    def line(self) -> str:
        """The assignment of each diagnosis in one line, for the terminal."""
        lists = (("negative", self.negative), ("positive", self.positive), ("in neither, for you to assign", self.open))
        return "; ".join(f"{title}: {', '.join(diagnoses)}" for title, diagnoses in lists if diagnoses)

    @property
    def comment(self) -> str:
        """A reminder to check it and the unassigned diagnoses, for the file, which has the lists themselves."""
        left = f" In neither list, for you to assign: {', '.join(self.open)}." if self.open else ""
        return f"Check their assignment.{left}"


def sort_into_two(diagnoses: Sequence[str]) -> TwoClasses:
    """Assign controls and dementia, or the only diagnosis next to controls; leave all others to the user."""
    negative = tuple(filter(is_control, diagnoses))
    others = tuple(diagnosis for diagnosis in diagnoses if diagnosis not in negative)
    positive = tuple(diagnosis for diagnosis in others if re.sub("[^a-z]", "", diagnosis.lower()) in DEMENTIA_WORDS)
    if negative and len(others) == 1:
        positive = others
    return TwoClasses(positive, negative, tuple(diagnosis for diagnosis in others if diagnosis not in positive))


def by_severity(diagnoses: Iterable[str]) -> list[str]:
    """Sort diagnoses: controls first, then the stages before dementia, then everything else by name."""
    return sorted(diagnoses, key=_severity)


def is_control(diagnosis: str) -> bool:
    """Return whether a diagnosis is a word for healthy people."""
    return diagnosis.lower() in CONTROL_WORDS


def _severity(diagnosis: str) -> tuple[int, str]:
    stages = [stage for stage, words in enumerate(SEVERITY, 1) if diagnosis.lower() in words]
    return 0 if is_control(diagnosis) else stages[0] if stages else len(SEVERITY) + 1, diagnosis
