"""Evaluation at a site of a model that predicts one of three or more classes, or a number."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedtune3d.cohorts.records import ScanRecord
from fedtune3d.evaluation.any_outcome import limits_of
from fedtune3d.evaluation.multiclass.class_predictions import ClassPredictions
from fedtune3d.evaluation.multiclass.summary import ClassSummary, summarise_classes
from fedtune3d.evaluation.outcome import ClassOutcome, NumberOutcome
from fedtune3d.evaluation.regression.number_predictions import NumberPredictions
from fedtune3d.evaluation.regression.summary import (
    NumberSummary,
    NumberValidation,
    summarise_number_validation,
    summarise_numbers,
)
from fedtune3d.evaluation.subgroups import Axes
from fedtune3d.federation.privacy.bins import coarse_counting_by_class
from fedtune3d.federation.privacy.minimums import people_by_class, too_few
from fedtune3d.federation.site.data import SPLITS, SiteData
from fedtune3d.federation.site.predictions_table import (
    Cell,
    read_class_predictions,
    read_number_predictions,
    scan_name,
    write_predictions,
)
from fedtune3d.training.prediction import predict


def summarise_classes_of(site: SiteData, method: str, outcome: ClassOutcome, axes: Axes) -> ClassSummary:
    """Predict the classes of the site's scans, keep the predictions at the site, and summarise those of test scans.

    `axes` has the group of each test scan by axis.
    """
    policy, test, probabilities = site.section.policy, site.records_of("test"), _predict_and_write(site, method)
    shown = _shown(site, test)
    return summarise_classes(
        ClassPredictions(
            *_scans(shown),
            np.array([record.label for record in shown], dtype=np.int64),
            probabilities["test"][: len(shown)],
        ),
        outcome.names,
        share_predictions=policy.predictions_leave,
        min_people=policy.min_people,
        count=coarse_counting_by_class(policy.min_people),
        federated=read_class_predictions(site.files.path, outcome) if shown and _is_compared(site, method) else None,
        axes=axes if shown else {},
        min_per_class=max(policy.min_per_class, policy.min_people),
    )


def summarise_numbers_of(site: SiteData, method: str, outcome: NumberOutcome, axes: Axes) -> NumberSummary:
    """Predict the numbers of the site's scans, keep the predictions at the site, and summarise them.

    `axes` has the group of each test scan by axis.
    """
    policy, predicted = site.section.policy, _predict_and_write(site, method)
    test = _numbers(site, "test", predicted["test"])
    return summarise_numbers(
        _numbers(site, "validation", predicted["validation"]),
        test,
        limits_of(outcome),
        share_predictions=policy.predictions_leave,
        min_people=policy.min_people,
        federated=read_number_predictions(site.files.path, outcome)
        if len(test) and _is_compared(site, method)
        else None,
        axes=axes if len(test) else {},
        min_in_group=max(policy.min_per_class, policy.min_people),
    )


def summarise_number_validation_of(site: SiteData, outcome: NumberOutcome) -> NumberValidation:
    """Summarise the validation scans for a model that is tested at another site."""
    predicted = predict(site.process_model.assembled.model, site.scans("validation"), outcome=outcome)
    return summarise_number_validation(_numbers(site, "validation", predicted), limits_of(outcome))


def _predict_and_write(site: SiteData, method: str) -> dict[str, NDArray[np.float64]]:
    """Return split → predictions of its scans, after writing those of all splits."""
    model, outcome = site.process_model.assembled.model, site.experiment.outcome
    predicted = {split: predict(model, site.scans(split), outcome=outcome) for split in SPLITS}
    rows = [
        (record.participant_id, record.session_id, split, _truth(record, outcome), *np.atleast_1d(values).tolist())
        for split in SPLITS
        for record, values in zip(site.records_of(split), predicted[split], strict=True)
    ]
    write_predictions(site.files.predictions(method), rows, outcome)
    return predicted


def _truth(record: ScanRecord, outcome: ClassOutcome | NumberOutcome) -> Cell:
    if isinstance(outcome, ClassOutcome):
        return outcome.names[record.label]
    assert record.number is not None  # read with the record
    return record.number


def _is_compared(site: SiteData, method: str) -> bool:
    """Return whether the method is a baseline, and the federated model's predictions are there to compare it with."""
    return method != "federated" and site.files.predictions("federated").exists()


def _shown(site: SiteData, records: Sequence[ScanRecord]) -> Sequence[ScanRecord]:
    """Return the scans, or none if a class has people among them, but fewer than the policy's minimum."""
    few = too_few(people_by_class(records, site.classes), site.section.policy.min_people)
    return [] if few else records


def _scans(records: Sequence[ScanRecord]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return group and name of each scan, as scans of the same person or anatomy are not independent."""
    return (
        tuple(record.group_id for record in records),
        tuple(scan_name(record.participant_id, record.session_id) for record in records),
    )


def _numbers(site: SiteData, split: str, predicted: NDArray[np.float64]) -> NumberPredictions:
    shown = _shown(site, site.records_of(split))
    truth = np.array([record.number for record in shown], dtype=np.float64)
    return NumberPredictions(*_scans(shown), truth, predicted[: len(shown)])
