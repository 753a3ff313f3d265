"""Results of a cross-validation that was never run."""

import numpy as np

from fedtune3d.evaluation.auc_interval import AucVariance
from fedtune3d.evaluation.cross_validation import (
    CrossValidatedMethod,
    CrossValidationResults,
    FoldAuc,
    OutOfFoldCalibration,
    all_folds,
    cross_validated_auc,
)
from fedtune3d.evaluation.estimate import defined, undefined


def results_of(folds: int, repeats: int) -> CrossValidationResults:
    """Two sites, the federated model and the local ones, with AUCs drawn at random."""
    rng = np.random.default_rng(5)
    methods = {}
    for name in ("federated", "local"):
        sites = {
            site: [
                FoldAuc(*number, round(float(rng.uniform(0.6, 0.9)), 3), AucVariance(1.1, 6, 6))
                for number in all_folds(folds, repeats)
            ]
            for site in "AB"
        }
        slope, none = defined(0.8, (0.5, 1.1), "drawn", few=False), undefined("the classes do not overlap")
        methods[name] = CrossValidatedMethod(
            sites={site: cross_validated_auc({site: aucs}) for site, aucs in sites.items()},
            mean=cross_validated_auc(sites),
            calibration={
                "A": OutOfFoldCalibration(slope, slope, slope),
                "Pooled": OutOfFoldCalibration(none, slope, slope),
            },
        )
    return CrossValidationResults(1, "drawn", folds, repeats, ("A", "B"), {}, methods)
