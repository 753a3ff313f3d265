"""What a site tells about its predictions: JSON without names.

Whether the test probabilities themselves leave is the site's policy; where they stay, counts on a grid stand in.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.seeds import numpy_rng
from fedtune3d.evaluation import auc
from fedtune3d.evaluation.calibration import calibration
from fedtune3d.evaluation.delong import delong_estimate
from fedtune3d.evaluation.grid import GRID, from_sparse, grid_counts, to_sparse
from fedtune3d.evaluation.groups import Axes, summarise_groups
from fedtune3d.evaluation.predictions import Predictions, participants_by_class
from fedtune3d.evaluation.reliability import calibration_error
from fedtune3d.evaluation.sample import Sample

VERSION = 2
LEAST_IN_GROUP = 5


def summarise(
    validation: Predictions,
    test: Predictions,
    seed: int,
    share_predictions: bool,
    axes: Axes | None = None,
    least_in_group: int = LEAST_IN_GROUP,
) -> dict[str, Any]:
    """What leaves a site after evaluation, as JSON.

    Args:
        validation: For the thresholds. May be empty or of one class.
        test: For everything else. May be empty or of one class: what is undefined then says why.
        seed: Of the bootstrap.
        share_predictions: Whether test probabilities and labels leave, grouped by participant under opaque numbers that
            follow the probabilities, not the names.
        axes: The group of each test scan by axis, such as sex; see `groups.summarise_groups`.
        least_in_group: The fewest people of either class in a group whose counts leave.

    Returns:
        ``version``, ``grid``, ``validation`` (counts per class on the grid) and ``test``: ``participants``,
        ``participants_by_class`` [negative, positive], ``scans``, ``positives``, ``auc`` and ``auc_delong``
        (Estimates), ``calibration`` (``slope``, ``intercept``, ``brier``, ``error``), ``counts`` per class on the grid,
        ``groups``, and ``predictions`` (``participants``, ``labels``, ``probabilities``) or None.
    """
    sample = Sample.of_predictions(test)
    return {
        **summarise_validation(validation),
        "test": {
            "participants": len(set(test.participants)),
            "participants_by_class": list(participants_by_class(test)),
            "scans": len(test),
            "positives": int(test.labels.sum()),
            "auc": auc.auc_estimate(test, numpy_rng(seed, "site AUC")),
            "auc_delong": delong_estimate(test),
            "calibration": {**calibration(sample), "error": calibration_error(sample)},
            "counts": _counts(test),
            "groups": summarise_groups(test, axes or {}, least_in_group),
            "predictions": _opaque(test) if share_predictions else None,
        },
    }


def summarise_validation(validation: Predictions) -> dict[str, Any]:
    """The part of a summary behind the thresholds: ``version``, ``grid``, ``validation``."""
    return {"version": VERSION, "grid": GRID, "validation": _counts(validation)}


def add_validation(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """`summarise_validation` of all these sites' scans together."""
    total = {
        label: to_sparse(np.sum([from_sparse(part["validation"][label]) for part in parts], axis=0))
        for label in ("negative", "positive")
    }
    return {"version": VERSION, "grid": GRID, "validation": total}


def _counts(predictions: Predictions) -> dict[str, dict[str, int]]:
    negative, positive = (grid_counts(predictions.probabilities[predictions.labels == label]) for label in (0, 1))
    return {"negative": to_sparse(negative), "positive": to_sparse(positive)}


def _opaque(test: Predictions) -> dict[str, list[Any]]:
    order = np.lexsort((test.participant_codes(), test.labels, test.probabilities))
    numbers: dict[str, int] = {}
    return {
        "participants": [numbers.setdefault(test.participants[row], len(numbers)) for row in order],
        "labels": test.labels[order].tolist(),
        "probabilities": test.probabilities[order].tolist(),
    }


def _read_opaque(rows: Mapping[str, Any]) -> Predictions:
    names = tuple(f"{number:09d}" for number in rows["participants"])
    return Predictions(names, ("",) * len(names), rows["labels"], rows["probabilities"])


def read_summary(site: str, summary: Mapping[str, Any]) -> dict[str, Any]:
    """The ``test`` part of a summary with its counts as (2, BINS) arrays, the validation counts beside them, and the
    predictions, where they left, as `Predictions`.

    Raises:
        InputError: If the summary is of another version or grid, or its counts disagree; names the site.
    """
    found = (summary.get("version"), summary.get("grid"))
    if found != (VERSION, GRID):
        raise InputError(
            f"summary of site {site}: expected version {VERSION} on grid {GRID}, got version {found[0]} on grid "
            f"{found[1]}; run the same fedtune3d at all sites"
        )
    try:
        test = dict(summary["test"])
        for split, counts in (("validation", summary["validation"]), ("test", test["counts"])):
            test[f"{split}_counts"] = np.stack([from_sparse(counts["negative"]), from_sparse(counts["positive"])])
        scans, positives = int(test["test_counts"].sum()), int(test["test_counts"][1].sum())
        if (scans, positives) != (test["scans"], test["positives"]):
            raise ValueError(f"{test['scans']} scans, {test['positives']} positive, but counts of {scans}, {positives}")
        if test["predictions"] is not None:
            test["predictions"] = _read_opaque(test["predictions"])
            if _counts(test["predictions"]) != test["counts"]:
                raise ValueError("the predictions and the counts disagree")
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"summary of site {site}: {error}; expected what `summarise` makes; evaluate again") from error
    return test
