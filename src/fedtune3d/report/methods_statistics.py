"""Sentences on the statistics of a run: only those that its results contain."""

from collections.abc import Iterator

from fedtune3d.config.experiment import Experiment
from fedtune3d.evaluation.outcome import NumberOutcome, Outcome
from fedtune3d.report.references import Citations
from fedtune3d.report.run_contents import FinishedRun
from fedtune3d.report.run_tables import interval_methods
from fedtune3d.report.sample_sizes import percentage

SALIENCY = {
    "gradcam": ("Grad-CAM", "selvaraju"),
    "occlusion": ("occlusion", "zeiler"),
    "integrated_gradients": ("integrated gradients", "sundararajan"),
}


def statistics_sentences(run: FinishedRun, experiment: Experiment, cite: Citations) -> Iterator[str]:
    """Describe measures, intervals and tests."""
    outcome = experiment.outcome
    if isinstance(outcome, NumberOutcome):
        yield from _number_sentences(outcome)
    elif not outcome.is_binary:
        yield from _class_sentences(cite)
    else:
        yield from _discrimination_sentences(run, experiment, cite)
        yield from _threshold_sentences(run, experiment, cite)
        yield from _calibration_sentences(run, experiment, cite)
    yield from _comparison_sentences(run, outcome, cite)
    if any(method.membership for method in run.metrics.methods.values()):
        yield (
            f"A membership-inference attack by the loss{cite('yeom')} tested whether training participants can be "
            "recognised from the models' outputs."
        )
    if run.saliency and experiment.explain is not None:
        name, source = SALIENCY[experiment.explain.method]
        yield f"Mean saliency maps were made by {name}{cite(source)}."
    yield (
        "All intervals are 95% confidence intervals, treat people rather than scans as independent, and cover the "
        "sampling of test people, not that of training, splits or sites."
    )


def _class_sentences(cite: Citations) -> Iterator[str]:
    yield (
        "Discrimination was measured per site by the AUC of each class against the others, their mean (macro AUC) and "
        f"Hand and Till's M{cite('hand_till')}, with score intervals whose variance is DeLong's, shrunk "
        f"towards Newcombe's{cite('newcombe', 'delong')}."
    )
    yield (
        "The class with the highest probability was predicted; sensitivities have Wilson's "
        f"intervals{cite('wilson')}, balanced accuracy limits combined by MOVER{cite('zou')}. Probabilities were "
        f"measured by log loss, the Brier score{cite('brier')} and the expected calibration error{cite('naeini')} of "
        "the predicted class. They were not recalibrated."
    )
    yield "Means over sites count each site once."


def _number_sentences(outcome: NumberOutcome) -> Iterator[str]:
    yield (
        f"Predicted numbers of column {outcome.column} were measured per site by mean absolute error, root mean "
        "squared error, bias, R², the calibration line and correlations, with people as clusters; the gap between "
        "predicted and true number was also corrected for regression to the mean by a line fitted to validation scans."
    )
    yield "Means over sites count each site once."


def _discrimination_sentences(run: FinishedRun, experiment: Experiment, cite: Citations) -> Iterator[str]:
    clustered = any("Obuchowski" in method for method in interval_methods(run.metrics))
    if experiment.evaluation.auc_interval == "bootstrap":
        how = f"percentile bootstrap intervals by participant within class, as in the published study{cite('study')}"
    else:
        variance = cite("newcombe", "delong", "obuchowski" if clustered else None)
        how = f"score intervals whose variance is DeLong's, shrunk towards Newcombe's{variance}"
    many = "; people with several scans are clusters" if clustered else ""
    yield f"Discrimination was measured per site by the AUC, with {how}{many}."
    yield "The mean over sites counts each site once."
    if run.metrics.federated.heterogeneity is not None:
        yield (
            f"Heterogeneity between sites is given as τ of the logit AUC{cite('paule')}, I²{cite('higgins_i2')} and a "
            f"prediction interval for a new site{cite('higgins_prediction')}."
        )


def _threshold_sentences(run: FinishedRun, experiment: Experiment, cite: Citations) -> Iterator[str]:
    federated = run.metrics.federated
    target = next(iter(federated.parts.values())).at_specificity.target
    yield (
        f"Thresholds were chosen on validation scans, by Youden's J{cite('youden')} and for a specificity of "
        f"{percentage(target)}; sensitivity, specificity and accuracy have Wilson's intervals{cite('wilson')}, "
        f"balanced accuracy and gaps between groups limits combined by MOVER{cite('zou')}."
    )
    stated = ", ".join(map(percentage, experiment.evaluation.prevalences))
    at = f" and at prevalences of {stated}" if stated else ""
    yield (
        f"Predictive values are given at the share of positive scans in the test set{at}, by Bayes' theorem with score "
        f"intervals of the likelihood ratios{cite('koopman')}."
    )


def _calibration_sentences(run: FinishedRun, experiment: Experiment, cite: Citations) -> Iterator[str]:
    yield (
        f"Calibration was measured by slope and intercept{cite('cox', 'van_calster')}, the Brier score{cite('brier')} "
        f"and the expected calibration error{cite('naeini')}, clinical utility by net benefit{cite('vickers')}."
    )
    if any(method.recalibrated for method in run.metrics.methods.values()):
        yield f"Probabilities were also recalibrated by Platt scaling{cite('platt')} on validation scans."
    elif experiment.evaluation.recalibration == "platt":
        yield "Platt scaling on validation scans was asked for, but a class had no validation scans."
    else:
        yield "Probabilities were not recalibrated."


def _comparison_sentences(run: FinishedRun, outcome: Outcome, cite: Citations) -> Iterator[str]:
    if not run.metrics.against:
        return
    if isinstance(outcome, NumberOutcome):
        measure = "mean absolute error, tested by Student's t with people as clusters"
    else:
        by_site = [tested for against in run.metrics.against.values() for tested in against.sites.values()]
        clustered = any("Obuchowski" in tested.comparison.difference.method for tested in by_site)
        name = "AUC" if outcome.is_binary else "macro AUC"
        measure = f"{name}{cite('delong', 'obuchowski' if clustered else None)}"
    yield (
        "The federated model was compared with each baseline on the same test scans by paired differences of "
        f"{measure}, with p-values adjusted by Holm's method{cite('holm')} over the means and, apart from these, "
        "over the sites."
    )
