"""The typed configuration of a run: one YAML file, validated before any scan or weights are read."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.folders import DEFAULT_OUTPUT
from fedtune3d._utils.json_values import Json
from fedtune3d._utils.names import known_name
from fedtune3d._utils.ranges import Whole
from fedtune3d._utils.strict import StrictModel, problems_of
from fedtune3d._utils.user_paths import UserPath
from fedtune3d._utils.yaml_files import read_yaml
from fedtune3d.aggregation.contract import Rule
from fedtune3d.aggregation.lora import LoraRule
from fedtune3d.aggregation.registry import build_rule
from fedtune3d.aggregation.sums import SumRule, on_sums
from fedtune3d.cohorts.class_cover import ClassCounts
from fedtune3d.cohorts.folds import Fold, assign_fold
from fedtune3d.cohorts.inclusion import Criterion, Included, Wanted
from fedtune3d.cohorts.labels import Truth
from fedtune3d.cohorts.number_column import NumberColumn
from fedtune3d.cohorts.splits import assign_splits
from fedtune3d.config.aggregation import AggregationSection
from fedtune3d.config.cross_validation import CrossValidation
from fedtune3d.config.encoder_fit import find_misfits, find_trained_in_bfloat16, find_wrong_size
from fedtune3d.config.evaluation import EvaluationSection
from fedtune3d.config.explain import ExplainSection
from fedtune3d.config.feature_versions import FeatureVersions
from fedtune3d.config.model import ModelSection
from fedtune3d.config.outcome import LabelsSection, TargetSection, find_outcome_misfits, find_outcome_problems
from fedtune3d.config.overlap import declared_overlaps, recognised_overlaps
from fedtune3d.config.own_encoder import install_named_encoders
from fedtune3d.config.participation import ParticipationSection
from fedtune3d.config.preparation import PreparationSection
from fedtune3d.config.privacy import PrivacySection, find_large_noise, find_unprotected, find_visible_updates
from fedtune3d.config.site import SiteName, SiteSection
from fedtune3d.config.splits import Splits
from fedtune3d.evaluation.outcome import NumberOutcome, Outcome
from fedtune3d.models.assembly import NCC, RESNET18, input_spec
from fedtune3d.models.encoders import encoder_spec
from fedtune3d.models.encoders.contract import EncoderSpec, InputSpec
from fedtune3d.models.tuning import Frozen, Lora, Tuning
from fedtune3d.preparation.settings import PreparationSettings
from fedtune3d.training.settings import TrainingSettings

Seed = Annotated[Whole, Field(ge=0, lt=2**63)]
WRITTEN_BY_INIT = "`fedtune3d init` writes one"
LOGS = ("tensorboard", "mlflow")
SPLIT_CAUSES = ("seed", "sites", "labels", "target", "include", "splits")


def _log_names(value: object) -> object:
    """Convert one or more names to a tuple without duplicates."""
    names = value if isinstance(value, list | tuple) else [] if value is None else [value]
    return tuple(dict.fromkeys(known_name(str(name), LOGS) for name in names))


def _method(value: object) -> object:
    """Expand the name of a method to the section."""
    return {"method": value} if isinstance(value, str) else value


class ExperimentKeys(StrictModel):
    """The keys of an experiment file, shared by study files.

    Attributes:
        name: Name of the experiment, in its report and, across hospitals, in approvals.
        seed: Everything random follows from the seed, the site and the round.
        sites: The sites, at least one.
        labels: Diagnoses of the positive and of the negative class, or of any number of named classes
            (docs/outcomes.md); a site may have its own (docs/data.md).
        target: A number to predict in the place of classes, such as age.
        include: An expression that scans must meet, such as ``"diagnosis == CN"``; all others are excluded and counted
            (docs/outcomes.md). A site may have its own.
        splits: How people are divided into training, validation and test sets.
        validation: Cross-validation, in which every fold is the test set of a run of its own; null for one test set.
        preparation: How scans are prepared for the encoder (docs/preparation.md).
        model: The encoder, its weights and the head.
        tuning: Which parameters train (docs/heads.md).
        training: How each site trains in a round.
        aggregation: The aggregation rule and its options.
        participation: Which sites take part in a round, and what happens when one does not answer.
        privacy: Secure aggregation and differential privacy (docs/privacy.md).
        baselines: Models to compare with: each site alone (``local``), all scans in one place (``centralized``), all
            sites but one (``leave_one_site_out``).
        evaluation: How the test results are calculated (docs/evaluation.md).
        explain: Method of the mean saliency map per site, or null for none (docs/explain.md).
        on_bad_scan: Whether a scan that cannot be used stops the run, or is excluded, counted and listed.
        threads: CPU threads; part of the experiment, because the order of sums depends on it.
        workers: Processes that hold the sites of a run on one machine; the results do not depend on it.
        device: Where models run; ``auto`` uses a CUDA GPU if there is one.
        log: Also log to TensorBoard, MLflow, or both.
        output: Folder of the results.
        cache: Folder of prepared scans and features, which runs share.
    """

    name: SiteName
    seed: Seed = 0
    sites: tuple[SiteSection, ...] = Field(min_length=1)
    labels: LabelsSection | None = None
    target: TargetSection | None = None
    include: Criterion | None = None
    splits: Splits = Splits()
    validation: CrossValidation | None = None
    preparation: PreparationSection = PreparationSection()
    model: ModelSection = ModelSection()
    tuning: Annotated[Tuning, Field(discriminator="method")] = Frozen()
    training: TrainingSettings = TrainingSettings()
    aggregation: AggregationSection = AggregationSection()
    participation: ParticipationSection = ParticipationSection()
    privacy: PrivacySection = PrivacySection()
    baselines: tuple[Literal["local", "centralized", "leave_one_site_out"], ...] = ()
    evaluation: EvaluationSection = EvaluationSection()
    explain: Annotated[ExplainSection | None, BeforeValidator(_method)] = None
    on_bad_scan: Literal["stop", "skip"] = "stop"
    threads: Annotated[Whole, Field(ge=1, le=1024)] = 2
    workers: Annotated[Whole, Field(ge=1, le=1024)] = 1
    device: Literal["auto", "cpu", "cuda"] = "auto"
    log: Annotated[tuple[str, ...], BeforeValidator(_log_names)] = ()
    output: UserPath = Path(DEFAULT_OUTPUT)
    cache: UserPath = Path("cache")

    @model_validator(mode="after")
    def _sites_complete(self) -> Self:
        problems = []
        names = [site.name for site in self.sites]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            problems.append(f"site names must differ, but {', '.join(repeated)} is used twice")
        if "leave_one_site_out" in self.baselines and len(names) < 2:
            problems.append("baselines: leave_one_site_out needs at least two sites; remove it")
        undeclared = find_outcome_problems(self.labels, self.target, [(site.name, site.labels) for site in self.sites])
        problems += self._misfits() + undeclared
        if not undeclared:
            problems += find_outcome_misfits(self.outcome, self.model.head, self.evaluation, self.explain)
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _misfits(self) -> list[str]:
        """List invalid combinations of encoder, head, tuning and rule."""
        problems = self._misfits_of_encoder()
        if self.model.encoder == RESNET18 and self.tuning.method != "full":
            problems.append("model.encoder resnet18 is trained from scratch: write tuning: {method: full}")
        if (self.model.head == NCC) != (self.aggregation.rule == NCC):
            problems.append("NCC is both a head and a rule: write ncc for model.head and for aggregation.rule")
        plain_sgd = (self.training.optimizer, self.training.momentum) == ("sgd", 0.0)
        if self.aggregation.rule == "scaffold" and not plain_sgd:
            problems.append("rule scaffold requires plain SGD: write training: {optimizer: sgd, momentum: 0}")
        if self.model.head == NCC and (self.tuning.method, self.training.rounds) != ("frozen", 1):
            problems.append("head ncc is not trained: write tuning: {method: frozen} and training: {rounds: 1}")
        if self.privacy.secure_aggregation:
            problems += find_visible_updates(len(self.sites), self.participation, self.baselines, self.aggregation)
        if self.privacy.epsilon is not None:
            problems += find_unprotected(self.training, self.baselines, self.aggregation, self.model.head)
            if self.validation is not None:
                problems.append("validation: every fold would spend privacy.epsilon of the same people; remove one")
        return problems

    def _misfits_of_encoder(self) -> list[str]:
        """List settings that do not fit the encoder: head, LoRA, grid size, precision."""
        problems = find_trained_in_bfloat16(self.model.precision, self.tuning.method)
        if (spec := self.encoder) is not None:
            problems += find_misfits(spec, self.model.head, self.tuning.method)
            problems += find_wrong_size(spec, self.input.size)
        return problems

    @property
    def outcome(self) -> Outcome:
        """The model's outcome, which is the same at all sites."""
        if self.target is not None:
            return self.target.outcome
        labels = self.sites[0].labels or self.labels
        assert labels is not None  # validated
        return labels.outcome

    def criterion_of(self, site: SiteSection) -> str | None:
        """Return the expression that scans of a site must meet: its own, or else the experiment's, if there is one."""
        return self.include if site.include is None else site.include

    @property
    def fold(self) -> Fold | None:
        """The fold of a cross-validation that this is; None if it is none, or all of them."""
        return None if self.validation is None else self.validation.fold

    @property
    def encoder(self) -> EncoderSpec | None:
        """The encoder's specification; None for the reference model, which has no encoder."""
        return None if self.model.encoder == RESNET18 else encoder_spec(self.model.encoder)

    @property
    def input(self) -> InputSpec:
        """The model's input: that of its encoder, unless the file overrides it."""
        return self.preparation.input(input_spec(self.model.encoder))

    @property
    def preparation_settings(self) -> PreparationSettings:
        """Settings of the preparation of scans."""
        return self.preparation.settings(input_spec(self.model.encoder))

    @property
    def warnings(self) -> list[str]:
        """Settings with which the run is possible, but which may harm its results."""
        departures = self.preparation.departures(self.model.encoder, input_spec(self.model.encoder))
        noise = [] if self.privacy.epsilon is None else find_large_noise(self.model.head, self.tuning.method)
        overlaps = [] if self.pretrained is None else declared_overlaps(self.pretrained, self.sites)
        return [*departures, *overlaps, *noise]

    @property
    def pretrained(self) -> EncoderSpec | None:
        """The encoder's specification if it starts from pre-trained weights, else None."""
        return None if self.model.weights == "random" else self.encoder

    def overlaps(self, recognised: Mapping[str, Sequence[str]]) -> list[str]:
        """Return warnings of sites whose ids look like those of a cohort (site → cohorts) that the encoder may know."""
        return [] if self.pretrained is None else recognised_overlaps(self.pretrained, self.sites, recognised)

    @property
    def map_stride(self) -> int:
        """Voxels along each axis per cell of a coarse saliency map: one feature position, or an eighth of the grid."""
        spec = self.encoder
        return self.input.size // (8 if spec is None or spec.features.is_vector else spec.features.positions)

    @classmethod
    def from_yaml(cls, path: str | Path, own_code: bool = True) -> Self:
        """Read and validate a YAML file, whose relative paths are relative to its own folder.

        Args:
            path: The file.
            own_code: Whether an encoder's file that it names is loaded, which is code. Never for a file from elsewhere.

        Raises:
            InputError: If the file is invalid, with one line per problem.
        """
        path = Path(path)
        values = read_yaml(path, if_missing=WRITTEN_BY_INIT)
        if own_code:
            named = [key for key in ("model", "encoders") if key in values]
            values |= {key: install_named_encoders(values[key], path) for key in named}
        try:
            keys = cls.model_validate(values)
        except ValidationError as error:
            raise InputError("\n".join(problems_of(path, error, cls, values))) from None
        return keys._with_paths_from(path.absolute().parent)

    def _with_paths_from(self, folder: Path) -> Self:
        sites = tuple(site.with_paths_from(folder) for site in self.sites)
        model, explain = self.model, self.explain
        if isinstance(model.weights, Path):
            model = model.model_copy(update={"weights": folder / model.weights})
        if explain is not None and explain.atlas is not None:
            explain = explain.model_copy(update={"atlas": folder / explain.atlas})
        paths = {"output": folder / self.output, "cache": folder / self.cache}
        return self.model_copy(update={"sites": sites, "model": model, "explain": explain, **paths})

    def public(self) -> dict[str, Json]:
        """Return the resolved configuration without paths, logs and workers, as JSON: what is sent and hashed."""
        values = self.model_dump(mode="json", exclude={"output", "cache", "log", "workers"})
        values["sites"] = [site.public() for site in self.sites]
        if self.validation is None:
            del values["validation"]
        else:
            values["validation"] = self.validation.public()
        values["privacy"] = self.privacy.public()
        if not values["privacy"]:
            del values["privacy"]
        values["aggregation"]["lora"] = self.aggregation.lora_mode
        values["evaluation"] = self.evaluation.public()
        if not self.training.min_steps:
            del values["training"]["min_steps"]
        values["preparation"] = self.preparation.public(input_spec(self.model.encoder))
        values["model"] = self.model.public()
        for key in ("target", "include"):
            if values[key] is None:
                del values[key]
        if self.explain is not None:
            del values["explain"]["atlas"]
            if self.explain.of is None:
                del values["explain"]["of"]
        return values


class Experiment(ExperimentKeys):
    """A run: sites, model, tuning, training, and the aggregation rule."""

    def labels_of(self, site: SiteSection) -> Truth:
        """Return the labels of a site: its own, or else the experiment's; or the column of the number to predict."""
        if self.target is not None:
            return NumberColumn(self.target.outcome)
        labels = site.labels or self.labels
        assert labels is not None  # validated
        return labels

    def wanted_of(self, site: SiteSection) -> Wanted:
        """Return what is predicted at a site, and of which rows of its tables: those that `include` lets in."""
        truth, criterion = self.labels_of(site), self.criterion_of(site)
        return truth if criterion is None else Included(truth, criterion)

    def assign(
        self, groups: Mapping[str, ClassCounts], scope: str, sites: Sequence[Mapping[str, ClassCounts]] | None = None
    ) -> dict[str, str]:
        """Assign groups to splits: see `assign_splits`, or `assign_fold` for a fold of a cross-validation."""
        fractions, by_number = self.splits.fractions(), isinstance(self.outcome, NumberOutcome)
        if self.fold is None:
            return assign_splits(groups, self.seed, scope, fractions, sites, by_number)
        return assign_fold(groups, self.seed, scope, fractions, self.fold, sites, by_number)

    def with_rounds(self, rounds: int) -> Self:
        """Return a copy of the experiment with another number of rounds, at least 1."""
        return self.model_copy(update={"training": replace(self.training, rounds=rounds)})

    def rule(self) -> Rule:
        """Create the aggregation rule, wrapped for LoRA factors if the tuning is LoRA."""
        rule = self.aggregation.build()
        if isinstance(self.tuning, Lora):
            rule = LoraRule(rule, self.aggregation.lora_mode, self.tuning.alpha / self.tuning.rank)
        return on_sums(rule) if self.privacy.secure_aggregation else rule

    def rule_of_sums(self) -> SumRule:
        """The aggregation rule as it runs under secure aggregation. Raises `InputError` where it cannot."""
        return on_sums(self.rule())

    def rule_of_one(self) -> Rule:
        """Create the rule for a baseline in which one site trains alone and its state is the next state."""
        return build_rule(NCC if self.model.head == NCC else "fedavg")

    def head_name(self) -> str:
        """Return the name of the head, or of the reference that is a complete classifier."""
        return RESNET18 if self.model.encoder == RESNET18 else self.model.head

    def sha256(self) -> str:
        """Return the experiment's hash, equal at server and sites: of its public part and the versions of features."""
        return _sha256(self.public() | {"features": asdict(FeatureVersions.here(self.model.encoder))})

    def splits_sha256(self) -> str:
        """Return the hash of what determines the splits: if equal, of two runs or folds, these test the same people."""
        causes = {key: value for key, value in self.public().items() if key in SPLIT_CAUSES}
        return _sha256(causes if self.validation is None else causes | {"folds": self.validation.folds})


def _sha256(values: dict[str, Json]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
