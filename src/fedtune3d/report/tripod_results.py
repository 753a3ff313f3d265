"""Answers to the items of TRIPOD+AI on open science, results and discussion."""

from fedtune3d.config.experiment import Experiment
from fedtune3d.evaluation.outcome import NumberOutcome
from fedtune3d.report.headline import answer, headline
from fedtune3d.report.number_formatting import METHODS, caveat, difference, interval, sentence_case
from fedtune3d.report.run_contents import FinishedRun
from fedtune3d.report.split_sizes import people_in, people_text
from fedtune3d.report.tripod_items import Answer, Answering


def _data_sharing(run: FinishedRun, experiment: Experiment) -> Answer:
    shared = [site.name for site in experiment.sites if site.policy.predictions_leave]
    scans = "The scans of all sites are on one machine" if run.on_one_machine else "Scans stay at their sites"
    text = f"{scans}; predictions without names leave {', '.join(shared) or 'no site'}."
    return Answer("partly filled", f"{text} Access: for the authors.")


def _code(run: FinishedRun, experiment: Experiment) -> Answer:
    version = run.environment.versions["fedtune3d"]
    text = f"fedtune3d {version} with the configuration in config.yaml of the run folder (printed in its report)."
    return Answer("filled", text)


def _flow(run: FinishedRun, experiment: Experiment) -> Answer:
    if not run.flows:
        return Answer("for the authors", "")
    everyone = people_text(people_in(run, "all"))
    return Answer("filled", f"Included: {everyone}; the flow per site is in the report under “Participants”.")


def _characteristics(run: FinishedRun, experiment: Experiment) -> Answer:
    text = "Sex and age by class, split and site are in the report under “Participants”"
    return Answer("partly filled", f"{text}, as far as policies allow. Other characteristics: for the authors.")


def _comparison(run: FinishedRun, experiment: Experiment) -> Answer:
    text = "The same table gives sex, age and class for training, validation and test people"
    return Answer("filled", f"{text}; intensity profiles compare the sites' scans.")


def _numbers(run: FinishedRun, experiment: Experiment) -> Answer:
    chosen = "choice of round and threshold" if experiment.outcome.is_binary else "choice of round"
    named = {"training": "train", chosen: "validation", "evaluation": "test"}
    sizes = "; ".join(f"{name}: {people_text(people_in(run, split))}" for name, split in named.items())
    return Answer("filled", f"{sentence_case(sizes)}.")


def _specification(run: FinishedRun, experiment: Experiment) -> Answer:
    licence = f" Licence of the encoder: {experiment.encoder.licence}." if experiment.encoder else ""
    text = "`fedtune3d export` writes the model to one file with a model card; its weights are in the run folder."
    return Answer("partly filled", f"{text}{licence} Access and restrictions: for the authors.")


def _performance(run: FinishedRun, experiment: Experiment) -> Answer:
    sentences, unit = [answer(run.metrics, run.total_bytes)], headline(run.metrics).unit
    for name, against in run.metrics.against.items():
        if (found := against.mean.comparison.difference).value is not None:
            sentences.append(f"Federated minus {METHODS[name].lower()}: {difference(found, unit)}.")
    parts = "Per site, by group and at the threshold" if experiment.outcome.is_binary else "Per site and by group"
    sentences.append(f"{parts}: in the report, with figures.")
    return Answer("filled", " ".join(sentences))


def _heterogeneity(run: FinishedRun, experiment: Experiment) -> Answer:
    two = run.metrics.of_two_classes
    if two is None:
        return Answer("filled", "Per site in the report; the spread between sites is not estimated.")
    if (between := two.heterogeneity) is None:
        return Answer("filled", "Per site in the report; not estimated with fewer than five sites.")
    text = f"τ of the logit AUC {between.tau:.2f}, I² {100 * between.i_squared:.0f}%"
    return Answer("filled", f"{text}, AUC at a new site {interval(between.new_site)} (95% prediction interval).")


def _updated(run: FinishedRun, experiment: Experiment) -> Answer:
    two = run.metrics.of_two_classes
    if two is None or two.scaling is None or two.pooled is None:
        return Answer("filled", "Not applicable: the model was not updated.")
    scaling, pooled, after = two.scaling, two.pooled, two.recalibrated["Pooled"].calibration
    text = f"Recalibrated logit = {scaling.slope:.3g} · logit + {scaling.intercept:.3g}. Brier score before"
    return Answer("filled", f"{text} {interval(pooled.calibration.brier)}, after {interval(after.brier)}.")


def _limitations(run: FinishedRun, experiment: Experiment) -> Answer:
    sentences = [caveat(run.metrics)]
    if headline(run.metrics).mean.mark:
        of_whom = "" if isinstance(run.metrics.outcome, NumberOutcome) else " of a class"
        sentences.append(f"Some sites have fewer than ten test people{of_whom}.")
    sentences.append("Training, split and choice of sites add uncertainty that no interval here contains.")
    sentences.append("Further limitations and their effects: for the authors.")
    return Answer("partly filled", " ".join(filter(None, sentences)))


def _poor_input(run: FinishedRun, experiment: Experiment) -> Answer:
    text = "Unreadable scans are refused, and `fedtune3d predict` flags scans unlike all training scans"
    return Answer("partly filled", f"{text}. Handling in care: for the authors.")


def _users(run: FinishedRun, experiment: Experiment) -> Answer:
    return Answer("partly filled", "Users give NIfTI files; no interaction is needed. Expertise: for the authors.")


RESULTS_ANSWERS: dict[str, Answering] = {
    "18e": _data_sharing,
    "18f": _code,
    "20a": _flow,
    "20b": _characteristics,
    "20c": _comparison,
    "21": _numbers,
    "22": _specification,
    "23a": _performance,
    "23b": _heterogeneity,
    "24": _updated,
    "26": _limitations,
    "27a": _poor_input,
    "27b": _users,
}
"""Item → its answer; other items on results are for the authors."""
