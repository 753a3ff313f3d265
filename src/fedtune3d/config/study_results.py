"""The record of a study: the trials of each stage, the choices between stages, the trials that failed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.folders import StudyFolder
from fedtune3d._utils.typed_json import read_typed, write_typed
from fedtune3d.config.study_axes import Combination, Draw, Variant
from fedtune3d.evaluation.outcome import BINARY, Outcome


@dataclass(frozen=True)
class VariantRecord:
    """An encoder, head, tuning or rule; for the attributes see `config.study_axes.Variant`."""

    name: str
    label: str
    note: str

    @classmethod
    def of(cls, variant: Variant) -> Self:
        """Create the record of a variant."""
        return cls(variant.name, variant.label, variant.note)


@dataclass(frozen=True)
class CombinationRecord:
    """A combination in a stage.

    Attributes:
        name: The combination's name.
        reference: Whether it is a reference, which has its own tuning and rule.
        head: The head or reference.
        tuning: The tuning.
        rule: The aggregation rule.
        trials: Number of the draw (`StudyResults.draws`) → name of the trial and its run folder.
        validation: The criterion of choice, mean over trials (`Validation.score`); None if no trial has one.
        encoder: The encoder; None in a study of one encoder, and for a reference with a model of its own.
    """

    name: str
    reference: bool
    head: VariantRecord
    tuning: VariantRecord
    rule: VariantRecord
    trials: dict[int, str]
    validation: float | None
    encoder: VariantRecord | None = None

    @classmethod
    def of(cls, combination: Combination, draws: Mapping[int, Draw], validation: float | None) -> Self:
        """Create the record of a combination."""
        return cls(
            combination.name,
            combination.is_reference,
            VariantRecord.of(combination.head),
            VariantRecord.of(combination.tuning),
            VariantRecord.of(combination.rule),
            {number: combination.trial(draw) for number, draw in draws.items()},
            validation,
            None if combination.encoder is None else VariantRecord.of(combination.encoder),
        )

    @property
    def parts(self) -> dict[str, VariantRecord]:
        """``encoder`` (if it has one), ``head``, ``tuning`` and ``rule``."""
        encoder = {} if self.encoder is None else {"encoder": self.encoder}
        return {**encoder, "head": self.head, "tuning": self.tuning, "rule": self.rule}


@dataclass(frozen=True)
class EncodingCost:
    """The cost of an encoder on this machine, measured on one volume of noise in a process of its own.

    Attributes:
        seconds: Time to encode a scan.
        peak_bytes: Peak memory of the process, which also trained a step.
        feature_bytes: Size of a scan's cached features; 0 if nothing is cached.
    """

    seconds: float
    peak_bytes: int
    feature_bytes: int


@dataclass(frozen=True)
class StudyResults:
    """The record of a study.

    Attributes:
        name: Name of the study.
        design: ``stages`` or ``crossed``.
        seeds: Seeds, in the order of the study file.
        sites: Sites, in the order of the study file.
        baselines: Baselines, in the order of the study file.
        chosen: ``encoder`` (if it is an axis), ``head``, ``tuning`` and ``rule`` → label of the variant chosen by
            validation, for the choices made.
        stages: Stage → its combinations, for stages that have begun.
        faults: Trial → why it failed.
        encoding: Label of an encoder → its cost; empty in a study of one encoder.
        left_out: Pairs of an encoder and a head or tuning that do not fit, with the reason.
        folds: Number → draw of each combination's trials, in a cross-validated study; empty in others.
        outcome: What the models predict.
    """

    name: str
    design: str
    seeds: tuple[int, ...]
    sites: tuple[str, ...]
    baselines: tuple[str, ...]
    chosen: dict[str, str]
    stages: dict[str, tuple[CombinationRecord, ...]]
    faults: dict[str, str]
    encoding: dict[str, EncodingCost] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    folds: dict[int, Draw] = field(default_factory=dict)
    outcome: Outcome = BINARY

    @property
    def draws(self) -> dict[int, Draw]:
        """Number → draw of each combination's trials: the number is the seed, or counts the folds of all seeds."""
        return self.folds or {seed: Draw(seed) for seed in self.seeds}

    @property
    def trials(self) -> set[str]:
        """The names of all trials."""
        return {
            trial for combinations in self.stages.values() for entry in combinations for trial in entry.trials.values()
        }

    def write(self, folder: StudyFolder) -> None:
        """Write the record to a study folder, atomically."""
        write_typed(folder.results, self)

    @classmethod
    def read(cls, folder: StudyFolder) -> Self:
        """Read the record of a study folder. Raises `InputError` if it is missing or damaged."""
        if not folder.results.exists():
            raise InputError(
                f"{folder.results}: missing, so {folder.path} is not a study; run `fedtune3d benchmark` first"
            )
        return read_typed(cls, folder.results, "run `fedtune3d benchmark` again")
