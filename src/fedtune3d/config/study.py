"""The typed configuration of a study: an experiment whose head, tuning, rule and seed are lists."""

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, JsonValue, ValidationError, field_validator, model_validator

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.folders import StudyFolder
from fedtune3d._utils.strict import problems_of
from fedtune3d._utils.user_paths import expand_path
from fedtune3d._utils.yaml_files import read_yaml
from fedtune3d.config.experiment import WRITTEN_BY_INIT, Experiment, ExperimentKeys, Seed, default_weights
from fedtune3d.models.assembly import NCC, RESNET18

Choice = str | dict[str, JsonValue]
"""An entry of an axis: a name, or a mapping with the name, its options, and optionally `label` and `OWN` sections."""

OWN = ("training", "privacy")
"""Sections of which an entry of an axis may change keys."""

RANDOM = "random"
"""The reference with the study's own encoder, head, tuning and rule, but random weights."""

REFERENCES: dict[str, dict[str, JsonValue]] = {
    NCC: {
        "model": {"head": NCC},
        "tuning": {"method": "frozen"},
        "aggregation": {"rule": NCC},
        "training": {"rounds": 1},
    },
    RESNET18: {"model": {"encoder": RESNET18, "weights": "random"}, "tuning": {"method": "full"}},
    RANDOM: {"model": {"weights": "random"}},
}
NAME_KEYS = {"heads": "head", "references": "reference", "tunings": "method", "rules": "rule"}
AXES = ("heads", "tunings", "rules")


@dataclass(frozen=True)
class Variant:
    """One value of an axis.

    Attributes:
        axis: A key of `NAME_KEYS`.
        name: Name of the head, reference, tuning method or rule.
        label: Distinguishes it from the others on its axis; part of its trials' names.
        note: Shown next to its name in reports: the user's label or the options; often empty.
        changes: Its changes to the experiment; sections are merged key by key.
    """

    axis: str
    name: str
    label: str
    note: str
    changes: Mapping[str, JsonValue] = field(hash=False)


@dataclass(frozen=True)
class Combination:
    """A head (or reference), a tuning and a rule; it has one trial per seed."""

    head: Variant
    tuning: Variant
    rule: Variant

    @property
    def is_reference(self) -> bool:
        """True for a reference, which has its own tuning and rule."""
        return self.head.axis == "references"

    @property
    def name(self) -> str:
        """The name, such as `conv_s-frozen-fedavg`; for a reference, its label."""
        return self.head.label if self.is_reference else f"{self.head.label}-{self.tuning.label}-{self.rule.label}"

    def trial(self, seed: int) -> str:
        """Return the name of the trial with a seed, used for the experiment and the run folder."""
        return f"{self.name}-seed{seed}"


PARTS = ("head", "tuning", "rule")
STAGES = dict(zip(("heads", "tunings", "rules"), PARTS, strict=True))
"""Stage in a report → the part that varies in it."""


@dataclass(frozen=True)
class Stage:
    """A stage of a study.

    Attributes:
        name: A key of `STAGES`, or ``trials`` for all trials of a crossed study.
        combinations: The combinations, in the order of the study file.
        is_view: Whether it only regroups trials of an earlier stage, with nothing to run.
        has_baselines: Whether one of its combinations also trains the baselines.
    """

    name: str
    combinations: list[Combination]
    is_view: bool = False
    has_baselines: bool = False


Choose = Callable[[Sequence[str], Sequence[Combination]], Combination]
"""Chooses a combination by the given parts (the best, in a study)."""


def _choose_fixed(head: Variant, tuning: Variant) -> Choose:
    """Return a choice that always selects the given head and tuning."""
    return lambda parts, combinations: max(
        combinations, key=lambda combination: (combination.head == head, combination.tuning == tuning)
    )


class Study(ExperimentKeys):
    """A grid of experiments on the same sites.

    With `design` ``stages``, as in the published study, first the heads are compared (with the file's own tuning and
    rule), then the tunings with the best head, then the rules with the best of both. ``crossed`` runs every
    combination. The best combination has the highest validation AUC, averaged over sites and seeds; test scans are not
    used.
    """

    seeds: tuple[Seed, ...] = Field(default=(0,), min_length=1)
    design: Literal["stages", "crossed"] = "stages"
    heads: tuple[Choice, ...] = ()
    references: tuple[Choice, ...] = ()
    tunings: tuple[Choice, ...] = ()
    rules: tuple[Choice, ...] = ()

    @field_validator("seeds")
    @classmethod
    def _seeds_differ(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("seeds must differ")
        return seeds

    @model_validator(mode="after")
    def _choices_named(self) -> Self:
        problems = [problem for axis in NAME_KEYS for problem in self._axis_problems(axis)]
        if "seed" in self.model_fields_set:
            problems.append("a study has several seeds: write `seeds: [0, 1, 2]` instead of `seed`")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _axis_problems(self, axis: str) -> list[str]:
        try:
            labels = [self._variant(axis, choice).label for choice in getattr(self, axis)]
        except ValueError as error:
            return [str(error)]
        repeated = sorted({label for label in labels if labels.count(label) > 1})
        return [f"{axis}: {label} is used twice; give one of them another `label`" for label in repeated]

    @classmethod
    def from_yaml(cls, path: str | Path) -> Self:
        """Read and validate a study file, including every trial that it can lead to.

        Raises:
            InputError: If the file is invalid, with one line per problem.
        """
        study = super().from_yaml(path)
        problems: list[str] = []
        for combination in study.possible():
            try:
                study.experiment(combination, study.seeds[0])
            except ValidationError as error:
                lines = problems_of(Path(path), error, Experiment)
                new = [line for line in lines if not any(problem.startswith(line) for problem in problems)]
                problems += [f"{line} (in {combination.name})" for line in new]
        if problems:
            raise InputError("\n".join(problems))
        return study

    def _with_paths_from(self, folder: Path) -> Self:
        """Also resolve the weights of single heads and references."""
        resolved = super()._with_paths_from(folder)
        axes = {axis: tuple(_resolve_weights(choice, folder) for choice in getattr(self, axis)) for axis in _WITH_MODEL}
        return resolved.model_copy(update=axes)

    @cached_property
    def variants(self) -> dict[str, tuple[Variant, ...]]:
        """Axis → its values; by default the one in the file's `model`, `tuning` or `aggregation`."""
        defaults: dict[str, Choice] = {
            "heads": self.model.head,
            "tunings": self.tuning.method,
            "rules": self.aggregation.rule,
        }
        axes = {axis: getattr(self, axis) or ((defaults[axis],) if axis in defaults else ()) for axis in NAME_KEYS}
        return {axis: tuple(self._variant(axis, choice) for choice in choices) for axis, choices in axes.items()}

    @property
    def base(self) -> Combination:
        """The file's own head, tuning and rule, with which the heads are compared."""
        defaults = {"heads": self.model.head, "tunings": self.tuning.method, "rules": self.aggregation.rule}
        return Combination(*(self._default(axis, defaults[axis]) for axis in AXES))

    def heads_stage(self, tuning: Variant | None = None, rule: Variant | None = None) -> list[Combination]:
        """Return the combinations of all heads and references with a tuning and a rule."""
        tuning, rule = tuning or self.base.tuning, rule or self.base.rule
        variants = self.variants
        return [Combination(head, tuning, rule) for head in (*variants["heads"], *variants["references"])]

    def tunings_stage(self, head: Variant, rule: Variant | None = None) -> list[Combination]:
        """Return the combinations of all tunings with a head and a rule."""
        return [Combination(head, tuning, rule or self.base.rule) for tuning in self.variants["tunings"]]

    def rules_stage(self, head: Variant, tuning: Variant) -> list[Combination]:
        """Return the combinations of all rules with a head and a tuning."""
        return [Combination(head, tuning, rule) for rule in self.variants["rules"]]

    def crossed(self) -> list[Combination]:
        """Return all combinations of heads, tunings and rules, followed by the references."""
        product = itertools.product(*(self.variants[axis] for axis in AXES))
        references = [Combination(head, self.base.tuning, self.base.rule) for head in self.variants["references"]]
        return [*itertools.starmap(Combination, product), *references]

    def walk(self, choose: Choose) -> Iterator[Stage]:
        """Yield the stages in order; the only code that knows which stage follows which choice.

        Args:
            choose: Called after each stage with the parts to choose and the stage's combinations; returns the
                combination whose parts the next stages use.
        """
        if self.design == "crossed":
            trials = self.crossed()
            yield Stage("trials", trials)
            best = choose(PARTS, trials)
            yield Stage("heads", self.heads_stage(best.tuning, best.rule), is_view=True)
            yield Stage("tunings", self.tunings_stage(best.head, best.rule), is_view=True)
            yield Stage("rules", self.rules_stage(best.head, best.tuning), has_baselines=True)
            return
        heads = self.heads_stage()
        yield Stage("heads", heads)
        head = choose(("head",), heads).head
        tunings = self.tunings_stage(head)
        yield Stage("tunings", tunings)
        tuning = choose(("tuning",), tunings).tuning
        rules = self.rules_stage(head, tuning)
        yield Stage("rules", rules, has_baselines=True)
        choose(("rule",), rules)

    def possible(self) -> list[Combination]:
        """Return every combination that can occur, whichever are chosen, in the order of the stages."""
        if self.design == "crossed":
            return self.crossed()
        goals = itertools.product(self.variants["heads"], self.variants["tunings"])
        stages = [stage for goal in goals for stage in self.walk(_choose_fixed(*goal))]
        in_order = sorted(stages, key=lambda stage: list(STAGES).index(stage.name))
        return list(dict.fromkeys(combination for stage in in_order for combination in stage.combinations))

    def experiment(
        self, combination: Combination, seed: int, baselines: Sequence[str] = (), output: Path | None = None
    ) -> Experiment:
        """Build the experiment of a trial.

        Raises:
            ValidationError: If the parts cannot be combined.
        """
        values = self.model_dump(include=set(ExperimentKeys.model_fields))
        values |= {"name": combination.trial(seed), "seed": seed, "baselines": tuple(baselines)}
        values["output"] = output or self.trial_folder(combination, seed)
        parts = (combination.head,) if combination.is_reference else (combination.tuning, combination.rule)
        for variant in dict.fromkeys((combination.head, *parts)):
            values = _changed(values, variant.changes)
        if isinstance(privacy := values["privacy"], dict) and privacy["epsilon"] is not None:
            values["baselines"] = ()  # ε excludes them
        return Experiment.model_validate(values)

    def trial_folder(self, combination: Combination, seed: int) -> Path:
        """Return the run folder of a trial."""
        return StudyFolder(self.output).trial(combination.trial(seed)).path

    def _default(self, axis: str, name: str) -> Variant:
        """Return the variant of the file's own section: the equal one on the axis, or else a new one."""
        plain = self._variant(axis, name)
        return next((variant for variant in self.variants[axis] if variant.changes == plain.changes), plain)

    def _variant(self, axis: str, choice: Choice) -> Variant:
        key = NAME_KEYS[axis]
        values: dict[str, JsonValue] = {key: choice} if isinstance(choice, str) else dict(choice)
        if key not in values:
            raise ValueError(f"{axis}: an entry needs `{key}`, got {', '.join(values)}")
        name, own = str(values.pop(key)), {section: values.pop(section) for section in OWN if section in values}
        label = None if (given := values.pop("label", None)) is None else str(given)
        changes = _changed(self._changes(axis, name, values), own)
        options = values | {
            key: value for part in own.values() if isinstance(part, dict) for key, value in part.items()
        }
        note = ", ".join(f"{option}: {value}" for option, value in options.items()) if label is None else label
        return Variant(axis, name, label or _label(name, options), note if label != name else "", changes)

    def _changes(self, axis: str, name: str, options: dict[str, JsonValue]) -> dict[str, JsonValue]:
        if axis == "references":
            if name not in REFERENCES:
                raise ValueError(f"references: expected {' or '.join(REFERENCES)}, got {name!r}")
            if name == RANDOM and self.model.weights == "random" and "model" not in options:
                raise ValueError("references: random: the study's weights are random; leave it out")
            return _changed(REFERENCES[name], options)
        if axis == "heads":
            encoder = options.get("encoder", self.model.encoder)
            own = {} if encoder == self.model.encoder else {"weights": default_weights(str(encoder))}
            return {"model": {"head": name, **own, **options}}
        if axis == "tunings":
            same = not options and name == self.tuning.method
            return {"tuning": asdict(self.tuning) if same else {"method": name, **options}}
        section = self.aggregation
        same = not options and name == section.rule
        return {"aggregation": section.model_dump() if same else {"rule": name, "lora": section.lora, **options}}


_WITH_MODEL = ("heads", "references")


def _resolve_weights(choice: Choice, folder: Path) -> Choice:
    """Return an entry of an axis in which a path of weights starts from `folder`."""
    weights = choice.get("weights") if isinstance(choice, dict) else None
    if isinstance(choice, str) or not isinstance(weights, str) or weights in ("random", "packaged"):
        return choice
    return {**choice, "weights": str(folder / str(expand_path(weights)))}


def is_study(path: Path) -> bool:
    """Return whether a file has a key that only studies have."""
    only_in_studies = Study.model_fields.keys() - ExperimentKeys.model_fields.keys()
    return not only_in_studies.isdisjoint(read_yaml(path, if_missing=WRITTEN_BY_INIT))


WHOLE = ("tuning", "aggregation")
"""Sections that a variant replaces completely, as their keys depend on the method or rule."""


def _changed(values: Mapping[str, JsonValue], changes: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Apply changes to values; sections are merged key by key, except those in `WHOLE`."""
    merged = dict(values)
    for key, change in changes.items():
        before = merged.get(key)
        by_key = isinstance(change, Mapping) and isinstance(before, Mapping) and key not in WHOLE
        merged[key] = {**before, **change} if by_key else change  # type: ignore[dict-item]
    return merged


def _label(name: str, options: Mapping[str, JsonValue]) -> str:
    """Return a label that can be part of a folder name, such as `fedprox-mu0_01`."""
    text = "-".join([name, *(f"{key}{value}" for key, value in options.items())])
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text)
