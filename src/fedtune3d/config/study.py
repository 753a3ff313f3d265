"""The typed configuration of a study: an experiment whose encoder, head, tuning, rule and seed are lists."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.folders import StudyFolder
from fedtune3d._utils.strict import problems_of
from fedtune3d._utils.yaml_files import read_yaml
from fedtune3d.config.encoder_fit import find_misfits
from fedtune3d.config.experiment import WRITTEN_BY_INIT, Experiment, ExperimentKeys, Seed
from fedtune3d.config.study_axes import (
    AXES,
    NAME_KEYS,
    RANDOM,
    STAGES,
    Choice,
    Combination,
    Draw,
    Variant,
    changed,
    has_random_weights,
    resolve_weights,
    variant_of,
)
from fedtune3d.models.encoders import encoder_names, encoder_spec
from fedtune3d.models.heads import head_names


@dataclass(frozen=True)
class Stage:
    """A stage of a study.

    Attributes:
        name: A key of `STAGES`, or ``trials`` for all trials of a crossed study.
        combinations: The combinations, in the order of the study file.
        is_view: Whether it only regroups trials of an earlier stage, with nothing to run.
        has_baselines: Whether one of its combinations also trains the baselines.
        at_most: Whether its combinations depend on an earlier choice.
    """

    name: str
    combinations: list[Combination]
    is_view: bool = False
    has_baselines: bool = False
    at_most: bool = False


Choose = Callable[[Sequence[str], Sequence[Combination]], Combination]
"""Chooses a combination by the given parts (the best, in a study)."""


def _choose_fixed(encoder: Variant | None, head: Variant, tuning: Variant) -> Choose:
    """Return a choice that always selects the given encoder, head and tuning."""

    def agreement(it: Combination) -> tuple[bool, bool, bool]:
        return it.encoder == encoder, it.head == head, it.tuning == tuning

    return lambda parts, combinations: max(combinations, key=agreement)


class Study(ExperimentKeys):
    """A grid of experiments on the same sites.

    With `design` ``stages``, as in the published study, first the heads are compared (with the file's own tuning and
    rule), then the tunings with the best head, then the rules with the best of both. With `encoders`, these are
    compared before the heads. ``crossed`` runs every combination whose encoder, head and tuning fit. The best
    combination has the highest validation AUC (of several classes the macro AUC), averaged over sites and seeds, or the
    lowest root mean squared validation error of a number; test scans are not used.

    Attributes:
        seeds: Seeds, in place of `seed`; each combination is run once per seed.
        design: ``stages`` or ``crossed`` (docs/study.md).
        encoders: Encoders to compare.
        heads: Heads to compare.
        references: References next to the others, never selected: ``ncc``, ``resnet18`` and ``random``.
        tunings: Tunings to compare.
        rules: Aggregation rules to compare.
    """

    seeds: tuple[Seed, ...] = Field(default=(0,), min_length=1)
    design: Literal["stages", "crossed"] = "stages"
    encoders: tuple[Choice, ...] = ()
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
            variants = [variant_of(axis, choice, self) for choice in getattr(self, axis)]
        except ValueError as error:
            return [str(error)]
        labels = [variant.label for variant in variants]
        repeated = sorted({label for label in labels if labels.count(label) > 1})
        problems = [f"{axis}: {label} is used twice; give one of them another `label`" for label in repeated]
        if axis == "references" and not self._has_pretrained_weights():
            plain = [one for one in variants if one.name == RANDOM and not one.names_encoder]
            problems += ["references: random: the study's weights are random; leave it out" for _ in plain]
        return problems

    def _has_pretrained_weights(self) -> bool:
        if not self.encoders:
            return self.model.weights != "random"
        try:
            return not all(has_random_weights(variant_of("encoders", one, self), self) for one in self.encoders)
        except ValueError:
            return True  # the axis has a problem of its own

    @classmethod
    def from_yaml(cls, path: str | Path, own_code: bool = True) -> Self:
        """Read and validate a study file, including every trial that it can lead to; see `ExperimentKeys`.

        Raises:
            InputError: If the file is invalid, with one line per problem.
        """
        study = super().from_yaml(path, own_code)
        problems = [f"{path}: {problem}" for problem in study._nothing_fits()]
        for combination in () if problems else study.possible():
            try:
                study.experiment(combination, study.draws[-1])
            except ValidationError as error:
                lines = problems_of(Path(path), error, Experiment)
                new = [line for line in lines if not any(problem.startswith(line) for problem in problems)]
                problems += [f"{line} (in {combination.name})" for line in new]
        if problems:
            raise InputError("\n".join(problems))
        return study

    def _with_paths_from(self, folder: Path) -> Self:
        """Also resolve the weights of single encoders and references."""
        resolved = super()._with_paths_from(folder)
        axes = {axis: tuple(resolve_weights(choice, folder) for choice in getattr(self, axis)) for axis in _WITH_MODEL}
        return resolved.model_copy(update=axes)

    @cached_property
    def variants(self) -> dict[str, tuple[Variant, ...]]:
        """Axis → its values; by default the one in the file's `model`, `tuning` or `aggregation`, and no encoders."""
        defaults: dict[str, Choice] = {
            "heads": self.model.head,
            "tunings": self.tuning.method,
            "rules": self.aggregation.rule,
        }
        axes = {axis: getattr(self, axis) or ((defaults[axis],) if axis in defaults else ()) for axis in NAME_KEYS}
        return {axis: tuple(variant_of(axis, choice, self) for choice in choices) for axis, choices in axes.items()}

    @property
    def draws(self) -> tuple[Draw, ...]:
        """The seeds, each with all folds of the cross-validation, if there is one."""
        folds = [None] if self.validation is None else list(self.validation.all_folds())
        return tuple(Draw(seed, fold) for seed in self.seeds for fold in folds)

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts of a combination that are chosen."""
        return tuple(part for stage, part in STAGES.items() if stage in AXES or self.encoders)

    @property
    def base(self) -> Combination:
        """The file's own head, tuning and rule, with which encoders and heads are compared."""
        defaults = {"heads": self.model.head, "tunings": self.tuning.method, "rules": self.aggregation.rule}
        return Combination(*(self._default(axis, defaults[axis]) for axis in AXES))

    @cached_property
    def left_out(self) -> tuple[str, ...]:
        """Each pair of an encoder and a head or tuning that do not fit, with the reason; never combined."""
        return tuple(
            f"{encoder.label} with {other.label}: {'; '.join(why)}"
            for encoder in self.variants["encoders"]
            for other in (*self.variants["heads"], *self.variants["tunings"])
            if (why := _misfits(encoder, other))
        )

    def _nothing_fits(self) -> list[str]:
        return [
            f"encoders: no entry of {axis} fits {encoder.label}"
            for encoder in self.variants["encoders"]
            for axis in ("heads", "tunings")
            if all(_misfits(encoder, entry) for entry in self.variants[axis])
        ]

    def encoders_stage(self, combination: Combination | None = None) -> list[Combination]:
        """Return all encoders with the parts of a combination (by default the file's own), each before its control.

        Encoders that do not fit the head or tuning of the given combination are left out.
        """
        parts = combination or self.base
        stage = []
        for encoder in self.variants["encoders"]:
            if combination is None or _fits(encoder, parts.head, parts.tuning):
                stage.append(Combination(parts.head, parts.tuning, parts.rule, encoder))
            stage += [it for it in self._references(encoder) if it.head.name == RANDOM and it.encoder == encoder]
        return stage

    def heads_stage(
        self, tuning: Variant | None = None, rule: Variant | None = None, encoder: Variant | None = None
    ) -> list[Combination]:
        """Return the combinations of all heads that fit, and references, with a tuning, a rule and an encoder."""
        tuning, rule = tuning or self.base.tuning, rule or self.base.rule
        heads = [head for head in self.variants["heads"] if _fits(encoder, head, tuning)]
        return [*(Combination(head, tuning, rule, encoder) for head in heads), *self._references(encoder)]

    def tunings_stage(
        self, head: Variant, rule: Variant | None = None, encoder: Variant | None = None
    ) -> list[Combination]:
        """Return the combinations of all tunings that fit with a head, a rule and an encoder."""
        tunings = [tuning for tuning in self.variants["tunings"] if _fits(encoder, head, tuning)]
        return [Combination(head, tuning, rule or self.base.rule, encoder) for tuning in tunings]

    def rules_stage(self, head: Variant, tuning: Variant, encoder: Variant | None = None) -> list[Combination]:
        """Return the combinations of all rules with a head, a tuning and an encoder."""
        return [Combination(head, tuning, rule, encoder) for rule in self.variants["rules"]]

    def crossed(self) -> list[Combination]:
        """Return all combinations of encoders, heads, tunings and rules that fit, followed by the references."""
        encoders = self.variants["encoders"] or (None,)
        variants = self.variants
        product = itertools.product(encoders, variants["heads"], variants["tunings"], variants["rules"])
        combinations = [
            Combination(head, tuning, rule, encoder)
            for encoder, head, tuning, rule in product
            if _fits(encoder, head, tuning)
        ]
        references = [reference for encoder in encoders for reference in self._references(encoder)]
        return list(dict.fromkeys([*combinations, *references]))

    def _references(self, encoder: Variant | None) -> list[Combination]:
        """Return the references with an encoder; without a random control where its weights are random anyway."""
        base, references = self.base, []
        for reference in self.variants["references"]:
            own = None if reference.names_encoder else encoder
            needless = own is not None and (has_random_weights(own, self) or not _fits(own, base.head, base.tuning))
            if reference.name != RANDOM or not needless:
                references.append(Combination(reference, base.tuning, base.rule, own))
        return references

    def walk(self, choose: Choose) -> Iterator[Stage]:
        """Yield the stages in order; the only code that knows which stage follows which choice.

        Args:
            choose: Called after each stage with the parts to choose and the stage's combinations; returns the
                combination whose parts the next stages use.
        """
        if self.design == "crossed":
            trials = self.crossed()
            yield Stage("trials", trials)
            best = choose(self.parts, trials)
            if self.encoders:
                yield Stage("encoders", self.encoders_stage(best), is_view=True)
            yield Stage("heads", self.heads_stage(best.tuning, best.rule, best.encoder), is_view=True)
            yield Stage("tunings", self.tunings_stage(best.head, best.rule, best.encoder), is_view=True)
            yield Stage(
                "rules", self.rules_stage(best.head, best.tuning, best.encoder), has_baselines=True, at_most=True
            )
            return
        encoder = None
        if self.encoders:
            encoders = self.encoders_stage()
            yield Stage("encoders", encoders)
            encoder = choose(("encoder",), encoders).encoder
        heads = self.heads_stage(encoder=encoder)
        yield Stage("heads", heads, at_most=bool(self.encoders))
        head = choose(("head",), heads).head
        tunings = self.tunings_stage(head, encoder=encoder)
        yield Stage("tunings", tunings, at_most=True)
        tuning = choose(("tuning",), tunings).tuning
        rules = self.rules_stage(head, tuning, encoder)
        yield Stage("rules", rules, has_baselines=True, at_most=True)
        choose(("rule",), rules)

    def possible(self) -> list[Combination]:
        """Return every combination that can occur, whichever are chosen, in the order of the stages."""
        if self.design == "crossed":
            return self.crossed()
        encoders = self.variants["encoders"] or (None,)
        goals = itertools.product(encoders, self.variants["heads"], self.variants["tunings"])
        stages = [stage for goal in goals for stage in self.walk(_choose_fixed(*goal))]
        in_order = sorted(stages, key=lambda stage: list(STAGES).index(stage.name))
        return list(dict.fromkeys(combination for stage in in_order for combination in stage.combinations))

    def experiment(self, combination: Combination, draw: Draw, baselines: Sequence[str] = ()) -> Experiment:
        """Build the experiment of a trial.

        Raises:
            ValidationError: If the parts cannot be combined.
        """
        values = self.model_dump(include=set(ExperimentKeys.model_fields))
        values |= {"name": combination.trial(draw), "seed": draw.seed, "baselines": tuple(baselines)}
        values["output"] = self.trial_folder(combination, draw)
        if self.validation is not None and draw.fold is not None:
            values["validation"] = self.validation.of(draw.fold)
        for variant in combination.parts:
            values = changed(values, variant.changes)
        if isinstance(privacy := values["privacy"], dict) and privacy["epsilon"] is not None:
            values["baselines"] = ()  # ε excludes them
        return Experiment.model_validate(values)

    def trial_folder(self, combination: Combination, draw: Draw) -> Path:
        """Return the run folder of a trial."""
        return StudyFolder(self.output).trial(combination.trial(draw)).path

    def _default(self, axis: str, name: str) -> Variant:
        """Return the variant of the file's own section: the equal one on the axis, or else a new one."""
        plain = variant_of(axis, name, self)
        return next((variant for variant in self.variants[axis] if variant.changes == plain.changes), plain)


_WITH_MODEL = ("encoders", "references")


def is_study(path: Path) -> bool:
    """Return whether a file has a key that only studies have."""
    only_in_studies = Study.model_fields.keys() - ExperimentKeys.model_fields.keys()
    return not only_in_studies.isdisjoint(read_yaml(path, if_missing=WRITTEN_BY_INIT))


def _fits(encoder: Variant | None, head: Variant, tuning: Variant) -> bool:
    return not _misfits(encoder, head, tuning)


def _misfits(encoder: Variant | None, *entries: Variant) -> list[str]:
    """Return why a head or a tuning does not fit an encoder; unknown names are found when a trial is built."""
    names = {"heads": "linear", "tunings": "full"} | {entry.axis: entry.name for entry in entries}
    if encoder is None or encoder.name not in encoder_names() or names["heads"] not in head_names():
        return []
    return find_misfits(encoder_spec(encoder.name), names["heads"], names["tunings"])
