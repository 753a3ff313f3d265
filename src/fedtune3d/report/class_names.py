"""Names of the two classes of a run, from the definition of its labels."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fedtune3d.evaluation.outcome import NumberOutcome

if TYPE_CHECKING:
    from fedtune3d.report.run_contents import RunContents

LONGEST = 18
"""Longest name, in characters, that is written in a table head."""


@dataclass(frozen=True)
class ClassNames:
    """The names of the classes, such as ``AD`` and ``CN``.

    Attributes:
        positive: Name of the class whose probability the model gives.
        negative: Name of the other class.
        definition: What a name stands for where it is short for it; empty if the names say all.
        several: All classes in the order of labels where there are more than two; the only stratum of a number.
    """

    positive: str = "positive"
    negative: str = "negative"
    definition: str = ""
    several: tuple[str, ...] = ()

    @property
    def in_order(self) -> tuple[str, ...]:
        """All classes in the order of labels."""
        return self.several or (self.negative, self.positive)

    @property
    def versus(self) -> str:
        """Both names as a question: ``AD vs CN``."""
        return f"{self.positive} vs {self.negative}"

    @property
    def both(self) -> str:
        """All names in the order of all counts per class, the last class first: ``AD + CN``."""
        return " + ".join(self.in_order[::-1])

    @property
    def meaning(self) -> str:
        """One sentence that defines positive, negative, sensitivity and specificity by the class names."""
        if (self.positive, self.negative) == ("positive", "negative"):
            return self.definition
        sentence = (
            f"Positive means {self.positive}, negative {self.negative}: sensitivity is the proportion of "
            f"{self.positive} scans classified as {self.positive}, specificity that of {self.negative} scans "
            f"classified as {self.negative}."
        )
        return f"{sentence} {self.definition}".strip()


UNNAMED = ClassNames()
"""The names where nothing is known of the labels."""


def class_names(contents: "RunContents") -> ClassNames:
    """Name the classes of a run by its diagnoses: those of the experiment, else of its first site.

    A name is the diagnosis, several joined by a slash, or the value that a label expression asks for. Where these are
    too long or equal, the classes are called positive and negative. Two named classes have their own names.
    """
    if isinstance(contents.outcome, NumberOutcome):
        return ClassNames(several=contents.outcome.strata)
    sites = [section for section in contents.config["sites"] if section.get("labels")]
    labels = contents.config.get("labels") or (sites[0]["labels"] if sites else None)
    if not labels:
        return ClassNames()
    if not isinstance(labels, dict):  # classes of any names, in the order of labels
        named = [name for entry in labels for name in entry]
        return ClassNames(named[-1], named[0], several=tuple(named) if len(named) > 2 else ())
    positive, negative = _name(labels["positive"]), _name(labels["negative"])
    if positive is None or negative is None or positive == negative:
        positive, negative = "positive", "negative"
    parts = [
        f"{name}: {_text(labels[key])}"
        for key, name in (("positive", positive), ("negative", negative))
        if _text(labels[key]) != name
    ]
    others = [section["name"] for section in sites if section["labels"] != labels]
    if others:
        parts.append(f"{', '.join(others)}: a definition of their own, see the configuration")
    return ClassNames(positive, negative, f"{'; '.join(parts)}." if parts else "")


def _text(diagnoses: str | list[str]) -> str:
    return diagnoses if isinstance(diagnoses, str) else "/".join(diagnoses)


def _name(diagnoses: str | list[str]) -> str | None:
    """Return a short name of a class; None if there is none."""
    text = _text(diagnoses)
    if isinstance(diagnoses, str) and (words := re.findall(r"""==\s*["']?([^\s"'=<>!]+)""", text)):
        text = "/".join(dict.fromkeys(words)) if not any(map(str.isdigit, words)) else text
    return text if len(text) <= LONGEST else None
