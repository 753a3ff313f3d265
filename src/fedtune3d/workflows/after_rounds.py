"""Evaluation of a run once the rounds are done, over the sites whose answers can be had."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.folders import RunFolder
from fedtune3d._utils.progress import Progress
from fedtune3d._utils.state_dicts import State, load_state
from fedtune3d.aggregation.site_step import STATE
from fedtune3d.config.experiment import Experiment
from fedtune3d.evaluation.any_outcome import (
    AnyMetrics,
    AnySummary,
    AnyValidation,
    combine_outcome,
    validation_of,
)
from fedtune3d.evaluation.class_counts import ClassCounts
from fedtune3d.evaluation.multiclass.summary import ClassSummary
from fedtune3d.evaluation.overlap import Overlap
from fedtune3d.evaluation.regression.joint_sums import JointSums
from fedtune3d.evaluation.regression.summary import NumberSummary
from fedtune3d.evaluation.summary import Summary
from fedtune3d.federation.attendance import Attendance
from fedtune3d.federation.messages import LEAVE_ONE_SITE_OUT, LOCAL, Federation, Part, Task, without
from fedtune3d.federation.round_state import read_best_state
from fedtune3d.federation.tasks.evaluate import Evaluate, Evaluation, whole_summary

OWN_MODELS = (LOCAL, LEAVE_ONE_SITE_OUT)
"""The methods that have a model for each site, so that nothing is pooled."""


def sites_without(federation: Federation, sites: tuple[str, ...], left_out: str) -> Part:
    """All sites but one, in the namespace of the baseline that trains without it."""
    return Part(federation, tuple(name for name in sites if name != left_out), without(left_out))


class AfterRounds:
    """Evaluates each method at the sites, and combines what they answer."""

    def __init__(self, experiment: Experiment, folder: RunFolder, attendance: Attendance, progress: Progress) -> None:
        self.experiment = experiment
        self.folder = folder
        self.attendance = attendance
        self.progress = progress

    def evaluate(self, method: str, states: Mapping[str, State]) -> dict[str, AnySummary]:
        """The summary of each site's predictions by the state that a method trained for it."""
        task = partial(Task, Evaluate.model_validate({"method": method}))
        versions = read_best_state(self.folder.best_checkpoint).versions if method == "federated" else {}
        tasks = {site: task(parts={STATE: state}, memory_version=versions.get(site)) for site, state in states.items()}
        with self.progress.bar(f"evaluating sites ({method})") as advance:
            summaries: dict[str, AnySummary] = {}
            for answer in self.attendance.finish(tasks, f"evaluate ({method})"):
                summaries[answer.site] = whole_summary(answer, self.experiment.outcome)
                advance(len(summaries), len(tasks))
        if method == LEAVE_ONE_SITE_OUT:
            for site, summary in summaries.items():
                if not isinstance(summary, ClassSummary):  # nothing is fitted to validation scans of several classes
                    summaries[site] = _with_validation(summary, self._validation_without(site))
        return summaries

    def combine(self, summaries: Mapping[str, Mapping[str, AnySummary]], overlap: Overlap) -> dict[str, AnyMetrics]:
        """Method → its metrics, over the sites that evaluated every method, so that methods can be compared.

        Raises:
            InputError: If there is no such site.
        """
        complete = [site for site in self.attendance.sites if all(site in sent for sent in summaries.values())]
        if not complete:
            why = "; ".join(f"{absence.site}: {absence.reason}" for absence in self.attendance.absences)
            raise InputError(f"no site has evaluated every method ({why}); mend the sites and run again with --resume")
        return {
            method: combine_outcome(
                {site: sent[site] for site in complete},
                self.experiment.seed,
                shared_model=method not in OWN_MODELS,
                auc_interval=self.experiment.evaluation.auc_interval,
                overlap=overlap,
                recalibrate=self.experiment.evaluation.recalibration == "platt",
                prevalences=self.experiment.evaluation.prevalences,
            )
            for method, sent in summaries.items()
        }

    def _validation_without(self, left_out: str) -> ClassCounts | JointSums:
        """Score the others' validation scans with the model trained without a site, to set what is fitted to them."""
        others = sites_without(self.attendance.federation, self.attendance.sites, left_out)
        best = self.folder.rounds_without(left_out).best
        versions, state = read_best_state(best).versions, load_state(best)
        instruction = Evaluate(method="leave_one_site_out", left_out=left_out)
        tasks = {
            name: Task(instruction, parts={STATE: state}, memory_version=versions.get(name)) for name in others.sites
        }
        answers = self.attendance.finish(tasks, f"validate the model without {left_out}", others)
        by_site = {answer.site: answer.expect(Evaluation).summary for answer in answers}
        parts = [part for _, part in sorted(by_site.items()) if isinstance(part, AnyValidation)]
        return validation_of(self.experiment.outcome, parts)


def _with_validation(summary: Summary | NumberSummary, validation: ClassCounts | JointSums) -> Summary | NumberSummary:
    """Put the validation scans of other sites in the place of a site's own."""
    if isinstance(summary, Summary):
        assert isinstance(validation, ClassCounts)
        return replace(summary, validation=validation)
    assert isinstance(validation, JointSums)
    return replace(summary, validation=validation)
