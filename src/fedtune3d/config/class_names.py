"""Names of the two classes of a run, from the definition of its labels."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from fedtune3d._utils.json_values import Json
from fedtune3d.cohorts.labels import ClassMapping, Diagnoses, LabelMapping
from fedtune3d.config.outcome import LabelsSection, recorded_outcome
from fedtune3d.evaluation.outcome import NumberOutcome, Outcome, in_shown_order

if TYPE_CHECKING:
    from fedtune3d.config.experiment import Experiment

AnyLabels = LabelMapping | ClassMapping
_LABELS: TypeAdapter[AnyLabels] = TypeAdapter(LabelsSection)
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
        """All names in the order of all counts per class (`in_shown_order`): ``AD + CN``."""
        return " + ".join(in_shown_order(self.in_order))

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


def class_title(name: str) -> str:
    """Return the name of a class for use in a sentence: `AD`, or `class 1` if the name is a number."""
    return f"class {name}" if name.replace(".", "", 1).lstrip("-").isdecimal() else name


def class_titles(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of classes as they stand in a text; see `class_title`."""
    return tuple(map(class_title, names))


def of_class(count: object, name: str) -> str:
    """Format a number of people or scans of a class: `12 AD`, `4/8 of class 1`, or `12 with cdr >= 1`."""
    title = class_title(name)
    if any(sign in title for sign in "=<>"):
        return f"{count} with {title}"
    return f"{count} of {title}" if title.startswith("class ") else f"{count} {title}"


UNNAMED = ClassNames()
"""The names where nothing is known of the labels."""


def names_of(experiment: "Experiment") -> ClassNames:
    """Name the classes of an experiment by its diagnoses: its own, else those of its first site.

    A name is the diagnosis, several joined by a slash, or the value that a label expression asks for. Where these are
    too long or equal, the classes are called positive and negative. Two named classes have their own names.
    """
    by_site = [(site.name, site.labels) for site in experiment.sites]
    return _class_names(experiment.outcome, experiment.labels, by_site)


def recorded_names(config: Mapping[str, Json]) -> ClassNames:
    """Name the classes of a recorded configuration; see `names_of`."""
    sites = config.get("sites")
    sections = [section for section in sites if isinstance(section, dict)] if isinstance(sites, list) else []
    by_site = [(str(section.get("name")), _read(section.get("labels"))) for section in sections]
    return _class_names(recorded_outcome(config), _read(config.get("labels")), by_site)


def _read(labels: Json) -> AnyLabels | None:
    return _LABELS.validate_python(labels) if labels else None


def _class_names(
    outcome: Outcome, labels: AnyLabels | None, by_site: Sequence[tuple[str, AnyLabels | None]]
) -> ClassNames:
    if isinstance(outcome, NumberOutcome):
        return ClassNames(several=outcome.strata)
    own = [(site, mapping) for site, mapping in by_site if mapping is not None]
    labels = labels or next((mapping for _, mapping in own), None)
    if labels is None:
        return ClassNames()
    if isinstance(labels, ClassMapping):
        titles = class_titles(outcome.names)
        return ClassNames(titles[-1], titles[0], several=titles if len(titles) > 2 else ())
    positive, negative = _name(labels.positive), _name(labels.negative)
    if positive is None or negative is None or positive == negative:
        positive, negative = "positive", "negative"
    parts = [
        f"{name}: {_text(diagnoses)}"
        for name, diagnoses in ((positive, labels.positive), (negative, labels.negative))
        if _text(diagnoses) != name
    ]
    if others := [site for site, mapping in own if mapping != labels]:
        parts.append(f"{', '.join(others)}: a definition of their own, see the configuration")
    return ClassNames(class_title(positive), class_title(negative), f"{'; '.join(parts)}." if parts else "")


def _text(diagnoses: Diagnoses) -> str:
    return diagnoses if isinstance(diagnoses, str) else "/".join(diagnoses)


def _name(diagnoses: Diagnoses) -> str | None:
    """Return a short name of a class; None if there is none."""
    text = _text(diagnoses)
    if isinstance(diagnoses, str) and (words := re.findall(r"""==\s*["']?([^\s"'=<>!]+)""", text)):
        text = "/".join(dict.fromkeys(words)) if not any(map(str.isdigit, words)) else text
    return text if len(text) <= LONGEST else None
