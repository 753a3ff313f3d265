"""Answers to the items of TRIPOD+AI on title, data, outcome, predictors and analysis."""

from fedtune3d.config.class_names import class_titles
from fedtune3d.config.experiment import Experiment
from fedtune3d.evaluation.outcome import NumberOutcome
from fedtune3d.models.assembly import NCC
from fedtune3d.report.methods import label_sentences, split_sentence
from fedtune3d.report.methods_preparation import preparation_sentences
from fedtune3d.report.methods_statistics import statistics_sentences
from fedtune3d.report.methods_training import model_sentences, training_sentences
from fedtune3d.report.number_formatting import METHODS, plural
from fedtune3d.report.number_formatting import threshold as shown_threshold
from fedtune3d.report.references import NoCitations
from fedtune3d.report.run_contents import FinishedRun
from fedtune3d.report.split_sizes import people_in, people_text
from fedtune3d.report.tripod_items import Answer, Answering

FAIR_RULES = {
    "qfedavg": "the rule q-FedAvg gives sites with a greater loss more weight",
    "fedce": "the rule FedCE weighs sites by their contribution",
}


def _outcome(run: FinishedRun, experiment: Experiment) -> str:
    return " ".join(label_sentences(experiment))


def _kind(experiment: Experiment) -> str:
    return "regression model of" if isinstance(experiment.outcome, NumberOutcome) else "classifier of"


def _title(run: FinishedRun, experiment: Experiment) -> Answer:
    text = f"Development and evaluation of a {_kind(experiment)} T1-weighted brain MRI. {_outcome(run, experiment)}"
    return Answer("partly filled", f"{text} Target population: for the authors.")


def _objectives(run: FinishedRun, experiment: Experiment) -> Answer:
    compared = [METHODS[name].lower() for name in run.metrics.evaluated if name != "federated"]
    text = "Development by federated learning, and evaluation on held-out people of the same sites"
    against = f", compared with baselines ({', '.join(compared)})" if compared else ""
    return Answer("partly filled", f"{text}{against}. Clinical objective: for the authors.")


def _sources(run: FinishedRun, experiment: Experiment) -> Answer:
    cohorts = [f"{site.name}: {site.cohort}" for site in experiment.sites if site.cohort is not None]
    named = f" Public cohorts: {', '.join(cohorts)}." if cohorts else ""
    if run.metrics.simulated:
        return Answer("partly filled", f"Simulated scans, at some or all sites; they represent no population.{named}")
    text = f"{plural(len(run.sites), 'site')}; development and evaluation data are of the same sites.{named}"
    return Answer("partly filled", f"{text} Representativeness: for the authors.")


def _setting(run: FinishedRun, experiment: Experiment) -> Answer:
    simulated = " (simulated)" if run.metrics.simulated else ""
    text = f"{plural(len(run.sites), 'site')}{simulated}: {', '.join(run.sites)}. Kind and location: for the authors."
    return Answer("partly filled", text)


def _eligibility(run: FinishedRun, experiment: Experiment) -> Answer:
    sessions = {str(site.sessions) for site in experiment.sites}
    text = f"{_outcome(run, experiment)} Sessions: {', '.join(sorted(sessions))}."
    return Answer("partly filled", f"{text} Recruitment: for the authors.")


def _preparation(run: FinishedRun, experiment: Experiment) -> Answer:
    sentences = " ".join(preparation_sentences(run, experiment, NoCitations()))
    faulty = {"stop": "A faulty scan would have stopped the run.", "skip": "Faulty scans were excluded."}
    return Answer(
        "filled", f"{sentences} The same code prepared the scans of all groups. {faulty[experiment.on_bad_scan]}"
    )


def _outcome_defined(run: FinishedRun, experiment: Experiment) -> Answer:
    text = f"{_outcome(run, experiment)} Diagnostic, so without a time horizon."
    return Answer("partly filled", f"{text} How and when it was assessed: for the authors.")


def _predictors(run: FinishedRun, experiment: Experiment) -> Answer:
    return Answer("filled", "The T1-weighted scan is the only predictor; there was no pre-selection.")


def _predictor_defined(run: FinishedRun, experiment: Experiment) -> Answer:
    return Answer("partly filled", "The voxels of the scan after preparation (item 7). Acquisition: for the authors.")


def _predictor_assessors(run: FinishedRun, experiment: Experiment) -> Answer:
    return Answer("filled", "Not applicable: no predictor needs interpretation.")


def _sample_size(run: FinishedRun, experiment: Experiment) -> Answer:
    named = {"training": "train", "validation": "validation", "testing": "test"}
    sizes = "; ".join(f"{name}: {people_text(people_in(run, split))}" for name, split in named.items())
    return Answer("partly filled", f"All eligible people of the sites ({sizes}). Sufficiency: for the authors.")


def _missing(run: FinishedRun, experiment: Experiment) -> Answer:
    reasons = sorted({step.reason for flow in run.flows.values() for step in flow.left_out})
    why = f" Excluded: {', '.join(reasons)}." if reasons else ""
    value = "number" if isinstance(experiment.outcome, NumberOutcome) else "label"
    return Answer("filled", f"People without a scan or a {value} were excluded; nothing was imputed.{why}")


def _partition(run: FinishedRun, experiment: Experiment) -> Answer:
    return Answer("filled", split_sentence(run, experiment))


def _handling(run: FinishedRun, experiment: Experiment) -> Answer:
    return Answer("filled", list(preparation_sentences(run, experiment, NoCitations()))[-1])


def _model(run: FinishedRun, experiment: Experiment) -> Answer:
    cite = NoCitations()
    sentences = [*model_sentences(run, experiment, cite), *training_sentences(run, experiment, cite)]
    tuned = "No hyperparameters were searched within this run. Internal validation: a split per site (item 12a)."
    return Answer("partly filled", f"{' '.join(sentences)} {tuned} Rationale: for the authors.")


def _heterogeneity_methods(run: FinishedRun, experiment: Experiment) -> Answer:
    text = "Performance is given per site and as a mean over sites"
    if (two := run.metrics.of_two_classes) is None:
        return Answer("filled", f"{text}; the spread between them is not estimated.")
    if two.heterogeneity is None:
        return Answer("filled", f"{text}; with fewer than five sites the spread between them is not estimated.")
    return Answer("filled", f"{text}, with τ, I² and a prediction interval for a new site.")


def _measures(run: FinishedRun, experiment: Experiment) -> Answer:
    return Answer("filled", " ".join(statistics_sentences(run, experiment, NoCitations())))


def _recalibrated(run: FinishedRun) -> str:
    if (two := run.metrics.of_two_classes) is None or two.scaling is None:
        return "Probabilities were not recalibrated."
    return "Recalibration by Platt scaling on the validation scans of all sites together."


def _updating(run: FinishedRun, experiment: Experiment) -> Answer:
    return Answer("filled", _recalibrated(run))


def _computed(run: FinishedRun, experiment: Experiment) -> Answer:
    return Answer("filled", "By the code of fedtune3d: `fedtune3d predict`, or `load_exported` for an exported model.")


def _imbalance(run: FinishedRun, experiment: Experiment) -> Answer:
    if isinstance(experiment.outcome, NumberOutcome):
        return Answer("filled", "Not applicable: there are no classes.")
    if experiment.training.class_weighted and experiment.model.head != NCC:
        text = "Classes were weighted in the loss by the inverse of their share of each site's training scans, so that "
        return Answer("filled", f"{text}probabilities do not follow the prevalence. {_recalibrated(run)}")
    return Answer("filled", "No method was used.")


def _fairness(run: FinishedRun, experiment: Experiment) -> Answer:
    text = "Performance is reported by sex, age, scanner and site as far as these are known and policies allow"
    rule = FAIR_RULES.get(experiment.aggregation.rule)
    trained = f"; {rule}" if rule else "; training had no fairness constraint"
    return Answer("partly filled", f"{text}{trained}. Rationale: for the authors.")


def _output(run: FinishedRun, experiment: Experiment) -> Answer:
    outcome, two = experiment.outcome, run.metrics.of_two_classes
    if isinstance(outcome, NumberOutcome):
        return Answer(
            "filled", f"The number of column {outcome.column}{f' in {outcome.unit}' if outcome.unit else ''}."
        )
    if two is None:
        named = ", ".join(class_titles(outcome.names))
        return Answer("filled", f"The probability of each class ({named}); the class with the highest is predicted.")
    positive = run.names.positive
    if (threshold := two.threshold) is None:
        return Answer(
            "filled", f"The probability of {positive}; no threshold without validation scans of both classes."
        )
    text = f"The probability of {positive}, and a class: {positive} at a probability of"
    return Answer("filled", f"{text} {shown_threshold(threshold)} or above (Youden's J on the validation scans).")


def _differences(run: FinishedRun, experiment: Experiment) -> Answer:
    return Answer(
        "filled", "None by design: at each site, training and test people were drawn at random from the same cohort."
    )


def _ethics(run: FinishedRun, experiment: Experiment) -> Answer:
    if run.metrics.simulated:
        return Answer("partly filled", "Scans were simulated; any other data: for the authors.")
    return Answer("for the authors", "")


METHODS_ANSWERS: dict[str, Answering] = {
    "1": _title,
    "4": _objectives,
    "5a": _sources,
    "6a": _setting,
    "6b": _eligibility,
    "7": _preparation,
    "8a": _outcome_defined,
    "9a": _predictors,
    "9b": _predictor_defined,
    "9c": _predictor_assessors,
    "10": _sample_size,
    "11": _missing,
    "12a": _partition,
    "12b": _handling,
    "12c": _model,
    "12d": _heterogeneity_methods,
    "12e": _measures,
    "12f": _updating,
    "12g": _computed,
    "13": _imbalance,
    "14": _fairness,
    "15": _output,
    "16": _differences,
    "17": _ethics,
}
"""Item → its answer; other items on methods are for the authors."""
