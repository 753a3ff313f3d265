"""Results of a cross-validation that was never run."""

import numpy as np

from fedtune3d.evaluation.auc_interval import AucVariance
from fedtune3d.evaluation.cross_validated import CrossValidatedMeasure, all_folds
from fedtune3d.evaluation.cross_validated_auc import FoldAuc, cross_validated_auc
from fedtune3d.evaluation.cross_validation import CrossValidatedMethod, CrossValidationResults
from fedtune3d.evaluation.estimate import defined, undefined
from fedtune3d.evaluation.measure import Measure
from fedtune3d.evaluation.out_of_fold import OutOfFoldCalibration
from fedtune3d.evaluation.outcome import NumberOutcome
from fedtune3d.evaluation.regression.cross_validated_number import FoldMeasure, cross_validated_number
from fedtune3d.evaluation.regression.residual_bins import ResidualBin


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
            measures={
                "auc": CrossValidatedMeasure(
                    sites={site: cross_validated_auc({site: aucs}) for site, aucs in sites.items()},
                    mean=cross_validated_auc(sites),
                )
            },
            calibration={
                "A": OutOfFoldCalibration(slope, slope, slope),
                "Pooled": OutOfFoldCalibration(none, slope, slope),
            },
        )
    return CrossValidationResults(2, "drawn", folds, repeats, ("A", "B"), {}, methods)


def results_of_numbers(folds: int, repeats: int) -> CrossValidationResults:
    """Two sites and the federated model, with errors in years and R² drawn at random; R² of one fold is undefined."""
    rng = np.random.default_rng(6)
    measures = {}
    for name, low, high in (("mae", 3.0, 6.0), ("r_squared", 0.3, 0.7)):
        sites = {
            site: [
                FoldMeasure(*number, 12, Measure(round(float(rng.uniform(low, high)), 3), 0.01, 10))
                for number in all_folds(folds, repeats)
            ]
            for site in "AB"
        }
        if name == "r_squared":
            sites["B"][0] = FoldMeasure(1, 1, 3, None)
        measures[name] = CrossValidatedMeasure(
            sites={site: cross_validated_number(name, {site: parts}) for site, parts in sites.items()},
            mean=cross_validated_number(name, sites),
        )
    bins = (ResidualBin(2, 5, 5, 270.0, 10.0, 30.0), ResidualBin(6, 7, 8, 576.0, -8.0, 40.0))
    method = CrossValidatedMethod(measures=measures, residuals={"A": bins, "B": (), "Pooled": bins})
    outcome = NumberOutcome("age", 40, 100, "years", "leave_out")
    return CrossValidationResults(2, "drawn", folds, repeats, ("A", "B"), {}, {"federated": method}, outcome)
