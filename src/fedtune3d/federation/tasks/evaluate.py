"""Evaluate a final state on the test scans, and choose thresholds on the validation scans."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import numpy as np

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.seeds import derive_seed
from fedtune3d.cohorts.scanner import scanner_of
from fedtune3d.evaluation.any_outcome import AnySummary, AnyValidation, require_outcome, summary_of_nobody
from fedtune3d.evaluation.groups import age_band
from fedtune3d.evaluation.membership import MembershipAttack, attack_membership
from fedtune3d.evaluation.outcome import BINARY, NumberOutcome, Outcome
from fedtune3d.evaluation.predictions import Predictions
from fedtune3d.evaluation.subgroups import UNKNOWN, Axes
from fedtune3d.evaluation.summary import Summary, summarise, summarise_validation
from fedtune3d.federation.messages import LEAVE_ONE_SITE_OUT, LOCAL, Answer, Instruction, Payload, Task, without
from fedtune3d.federation.privacy.bins import coarse_counting
from fedtune3d.federation.privacy.declarations import AtLeast, Declaration, Reveals
from fedtune3d.federation.site.data import SPLITS, SiteData
from fedtune3d.federation.site.outcome_summary import (
    summarise_classes_of,
    summarise_number_validation_of,
    summarise_numbers_of,
)
from fedtune3d.federation.site.predictions_table import read_predictions, scan_name, write_predictions
from fedtune3d.federation.tasks.kind import TaskKind
from fedtune3d.training.prediction import predict


class Evaluate(Instruction):
    """Evaluate the state in part ``"state"``.

    Attributes:
        method: How the state was trained: by the federation or a baseline.
        left_out: The test site of a leave-one-site-out baseline; the other sites return only validation counts.
    """

    kind: ClassVar[str] = "evaluate"
    method: Literal["federated", "local", "centralized", "leave_one_site_out"]
    left_out: str | None = None

    @property
    def purpose(self) -> str:
        """The method, and whom a leave-one-site-out baseline left out."""
        return self.method if self.left_out is None else f"{self.method} {without(self.left_out)}"

    @property
    def tested_namespace(self) -> str | None:
        """The method's own; None for the state of the rounds that this site was left out of."""
        if self.left_out is not None:
            return without(self.left_out)
        return {"federated": "", LOCAL: LOCAL}.get(self.method)


NOBODY = Predictions((), (), np.array([], np.int8), np.array([]))

OF_ENOUGH = Declaration(Reveals.STATISTIC, AtLeast("min_people"), "results of test, validation and membership attack")


class Evaluation(Payload):
    """The summary of a site's predictions (`evaluation/any_outcome.py`).

    Attributes:
        summary: Summary of the test and validation scans and, of two classes, of the membership attack; of the
            validation scans alone if another site tests; None if it is held back.
    """

    summary: Annotated[AnySummary | AnyValidation | None, OF_ENOUGH] = None


def whole_summary(answer: Answer, outcome: Outcome = BINARY) -> AnySummary:
    """Return the summary of a site that tested a state, which is of no scans if the site holds it back.

    Raises:
        InputError: If it is of another outcome, or of validation scans only.
    """
    summary = answer.expect(Evaluation).summary
    if summary is None:
        return summary_of_nobody(outcome)
    if not isinstance(summary, AnySummary):
        raise InputError(f"site {answer.site}: expected a summary of test scans, got one of validation scans only")
    try:
        require_outcome(summary, outcome)
    except ValueError as error:
        raise InputError(f"site {answer.site}: {error}") from error
    return summary


def evaluate(site: SiteData, task: Task) -> Answer:
    """Predict the site's scans, keep the predictions at the site, and answer with their summary."""
    instruction = task.expect(Evaluate)
    site.write_received(task)
    tests_here = instruction.left_out in (None, site.name)
    summary = _summarise(site, instruction.method) if tests_here else _summarise_validation(site)
    return Answer(site.name, Evaluation(summary=summary))


def _summarise(site: SiteData, method: str) -> AnySummary:
    outcome = site.experiment.outcome
    if isinstance(outcome, NumberOutcome):
        return summarise_numbers_of(site, method, outcome, _axes(site))
    if outcome.is_binary:
        return _summarise_two(site, method)
    return summarise_classes_of(site, method, outcome, _axes(site))


def _summarise_two(site: SiteData, method: str) -> Summary:
    """Predict the probability of the positive class, keep the predictions at the site, and summarise them."""
    model, policy = site.process_model.assembled.model, site.section.policy
    probabilities = {split: predict(model, site.scans(split)).tolist() for split in SPLITS}
    rows = [
        (record.participant_id, record.session_id, split, record.label, probability)
        for split in SPLITS
        for record, probability in zip(site.records_of(split), probabilities[split], strict=True)
    ]
    write_predictions(site.files.predictions(method), rows)
    training, validation, test = (_empty_if_few(site, _predictions(site, name, probabilities[name])) for name in SPLITS)
    return summarise(
        validation,
        test,
        derive_seed(site.experiment.seed, site.name, "summary"),
        share_predictions=policy.predictions_leave,
        axes=_axes(site) if len(test) else {},
        min_per_class=max(policy.min_per_class, policy.min_people),
        count=coarse_counting(policy.min_people),
        auc_interval=site.experiment.evaluation.auc_interval,
        federated=_federated(site, method) if len(test) else None,
        membership=_attack(site, method, training, test),
    )


def _attack(site: SiteData, method: str, training: Predictions, test: Predictions) -> MembershipAttack | None:
    """Attack the model's memory of this site's training people; None if it was trained without this site."""
    if method == LEAVE_ONE_SITE_OUT:
        return None
    return attack_membership(training, test, site.section.policy.min_people)


def _federated(site: SiteData, method: str) -> Predictions | None:
    """Read the federated model's test predictions, for the comparison with a baseline; None for the model itself."""
    if method == "federated" or not site.files.predictions("federated").exists():
        return None
    return read_predictions(site.files.path, "federated")


def _summarise_validation(site: SiteData) -> AnyValidation | None:
    """Summarise what is fitted to validation scans of a model that is tested at another site: for classes, a threshold.

    Of three or more classes, nothing is.
    """
    outcome = site.experiment.outcome
    if isinstance(outcome, NumberOutcome):
        return summarise_number_validation_of(site, outcome)
    if not outcome.is_binary:
        return None
    probabilities = predict(site.process_model.assembled.model, site.scans("validation")).tolist()
    predictions = _empty_if_few(site, _predictions(site, "validation", probabilities))
    return summarise_validation(predictions, coarse_counting(site.section.policy.min_people))


def _axes(site: SiteData) -> Axes:
    """Return the subgroup of each test scan by sex, age band and scanner."""
    records = site.records_of("test")
    return {
        "sex": [record.sex or UNKNOWN for record in records],
        "age": [age_band(record.age) for record in records],
        "scanner": [scanner_of(record.path, site.root) or UNKNOWN for record in records],
    }


def _empty_if_few(site: SiteData, predictions: Predictions) -> Predictions:
    """Return the predictions, or empty ones if a class has fewer people than the policy's minimum."""
    people = set(zip(predictions.participants, predictions.labels.tolist(), strict=True))
    counts = Counter(label for _, label in people)
    few = any(count < site.section.policy.min_people for count in counts.values())
    return NOBODY if few else predictions


def _predictions(site: SiteData, split: str, probabilities: Sequence[float]) -> Predictions:
    """Collect predictions by group, as scans of the same person or anatomy are not independent."""
    records = site.records_of(split)
    return Predictions(
        tuple(record.group_id for record in records),
        tuple(scan_name(record.participant_id, record.session_id) for record in records),
        np.array([record.label for record in records], dtype=np.int8),
        np.array(probabilities, dtype=np.float64),
    )


KIND = TaskKind(
    Evaluate,
    Evaluation,
    evaluate,
    max_json_bytes=16 << 20,
    contents="test and validation results: AUC, calibration and counts, or the errors of a number; with two classes, "
    "how well the model's errors tell training people from test people (AUC, number of people recognised)",
)
