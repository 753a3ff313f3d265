"""The outcome that a model predicts, as in the YAML: classes under `labels`, or a number under `target`."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, PlainSerializer, Tag, model_validator

from fedtune3d._utils.json_values import Json
from fedtune3d._utils.ranges import Number
from fedtune3d._utils.strict import UNION_TAGS, StrictModel
from fedtune3d.cohorts.labels import ClassMapping, LabelMapping
from fedtune3d.config.evaluation import EvaluationSection
from fedtune3d.config.explain import ExplainSection
from fedtune3d.evaluation.outcome import BINARY, NEGATIVE, POSITIVE, ClassOutcome, NumberOutcome, Outcome
from fedtune3d.models.assembly import NCC

TWO, NAMED = UNION_TAGS["labels"]
_Limit = Annotated[Number, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]


def _kind_of_labels(value: object) -> str:
    """Tell `positive` and `negative` from classes of other names."""
    if isinstance(value, LabelMapping | ClassMapping):
        return TWO if isinstance(value, LabelMapping) else NAMED
    is_named = isinstance(value, list | tuple) or (isinstance(value, Mapping) and not {POSITIVE, NEGATIVE} & {*value})
    return NAMED if is_named and value else TWO


LabelsSection = Annotated[
    Annotated[LabelMapping, Tag(TWO)]
    | Annotated[
        ClassMapping,
        BeforeValidator(ClassMapping.read),
        PlainSerializer(ClassMapping.written),
        Tag(NAMED),
    ],
    Discriminator(_kind_of_labels),
]
"""`{positive: …, negative: …}`, or two or more classes of other names, in the order of the classes."""


class TargetSection(StrictModel):
    """A number to predict in the place of classes (docs/outcomes.md).

    Attributes:
        column: Column of the participants or sessions table that holds it, such as ``age``.
        range: Lowest and highest possible value; a value outside stops the run. The model learns the number on the
            scale of this range, so that sites need not tell their means.
        unit: Unit of the number, such as ``years``; empty for a score without one.
        missing: What a missing value means: ``leave_out`` excludes its scan and counts it, ``error`` stops the run.
        loss: What training minimises: mean squared error (``mse``) or mean absolute error (``mae``).
    """

    column: Annotated[str, Field(min_length=1, max_length=100)]
    range: tuple[_Limit, _Limit]
    unit: Annotated[str, Field(max_length=30)] = ""
    missing: Literal["leave_out", "error"]
    loss: Literal["mse", "mae"] = "mse"

    @model_validator(mode="after")
    def _range_is_not_empty(self) -> Self:
        if self.range[0] >= self.range[1]:
            raise ValueError(f"range: expected the lower value first, got {self.range[0]:g} and {self.range[1]:g}")
        return self

    @property
    def outcome(self) -> NumberOutcome:
        """The outcome that this section declares."""
        return NumberOutcome(self.column, *self.range, self.unit, self.missing, self.loss)


def recorded_outcome(config: Mapping[str, Json]) -> Outcome:
    """Return what the model of a recorded configuration predicts, whether or not all of it can be built here."""
    if target := config.get("target"):
        return TargetSection.model_validate(target).outcome
    sites = config.get("sites")
    own = [site.get("labels") for site in sites if isinstance(site, dict)] if isinstance(sites, list) else []
    labels = config.get("labels") or next(filter(None, own), None)
    if not isinstance(labels, list):
        return BINARY
    return ClassOutcome(tuple(name for entry in labels if isinstance(entry, dict) for name in entry))


def find_outcome_problems(
    labels: LabelMapping | ClassMapping | None,
    target: TargetSection | None,
    by_site: Iterable[tuple[str, LabelMapping | ClassMapping | None]],
) -> list[str]:
    """List why it is not clear what the model predicts: nothing declared, too much, or sites that differ."""
    own = list(by_site)
    if target is not None:
        given = ["labels"] if labels is not None else []
        given += [f"labels of site {site}" for site, mapping in own if mapping is not None]
        return [
            f"target and {name} are both given; keep the one that says what the model predicts" for name in given[:1]
        ]
    problems = []
    for site, mapping in own:
        if mapping is None and labels is None:
            problems.append(f"site {site} has no labels; give labels to it or to the whole experiment")
    declared = [(site, mapping or labels) for site, mapping in own]
    names = {site: mapping.outcome.names for site, mapping in declared if mapping is not None}
    first = next(iter(names), "")
    for site, classes in names.items():
        if classes != names[first]:
            problems.append(
                f"labels of site {site}: expected the classes {', '.join(names[first])} as at site {first}, got "
                f"{', '.join(classes)}; name the same classes in the same order"
            )
    return problems


def find_outcome_misfits(
    outcome: Outcome,
    head: str,
    evaluation: EvaluationSection,
    explain: ExplainSection | None,
) -> list[str]:
    """List settings that make no sense for what the model predicts."""
    problems = []
    number = isinstance(outcome, NumberOutcome)
    if number and head == NCC:
        problems.append("head ncc finds the nearest class centre, but target is a number; choose another head")
    if not outcome.is_binary:
        named = "a number" if number else f"{outcome.width} classes"
        for key in ("recalibration", "prevalences", "auc_interval"):
            if getattr(evaluation, key) != EvaluationSection.model_fields[key].default:
                problems.append(f"evaluation.{key} is for two classes, but the outcome is {named}; leave it out")
    if explain is not None and explain.of is not None:
        classes = outcome.names if isinstance(outcome, ClassOutcome) else ()
        if explain.of not in classes:
            known = f"one of {', '.join(classes)}" if classes else "nothing, as the outcome is a number"
            problems.append(f"explain.of: expected {known}, got {explain.of!r}")
    return problems
