"""Checks of an answer against what its site has described before: counts bound counts, counts bound statistics.

A check raises `ValueError` with one line. Where a site held a number back, there is nothing to compare with.
"""

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

import torch

from fedtune3d._utils.state_dicts import State
from fedtune3d.aggregation.site_step import STATE
from fedtune3d.cohorts.flow import WHOLE_SITE, Counts, Flow
from fedtune3d.evaluation.any_outcome import combine_outcome, require_outcome
from fedtune3d.evaluation.checked_summary import CheckedSummary
from fedtune3d.evaluation.class_counts import ClassCounts
from fedtune3d.evaluation.grid import MAX_COUNT
from fedtune3d.evaluation.multiclass.summary import ClassSummary
from fedtune3d.evaluation.outcome import BINARY, Outcome
from fedtune3d.evaluation.plausibility import require_ordered, require_plausible
from fedtune3d.evaluation.regression.joint_sums import require_possible_joint
from fedtune3d.evaluation.regression.summary import NumberSummary, NumberValidation
from fedtune3d.evaluation.summary import Summary, ValidationSummary, pool_validation
from fedtune3d.federation.messages import LEAVE_ONE_SITE_OUT, Answer, Task
from fedtune3d.federation.site.audit import PeopleByClass
from fedtune3d.federation.site.saliency import MAP, REGIONS
from fedtune3d.federation.step_messages import step_of
from fedtune3d.federation.tasks.assign_splits import SplitFlow
from fedtune3d.federation.tasks.count_scans import ScanCounts
from fedtune3d.federation.tasks.describe_features import STATISTICS
from fedtune3d.federation.tasks.describe_people import PeopleDescription
from fedtune3d.federation.tasks.evaluate import Evaluate, Evaluation
from fedtune3d.federation.tasks.fingerprint_scans import ScanFingerprints
from fedtune3d.federation.tasks.map_saliency import MeanSaliency
from fedtune3d.federation.tasks.profile_intensities import IntensityProfile, ProfileIntensities
from fedtune3d.federation.tasks.score import ScoreAnswer
from fedtune3d.federation.tasks.train import Train, TrainAnswer
from fedtune3d.federation.update_checks import reason_to_refuse, reason_to_refuse_hidden
from fedtune3d.models.feature_statistics import FeatureStatistics
from fedtune3d.preparation.near_fingerprints import BANDS
from fedtune3d.preparation.profiles import POINTS
from fedtune3d.training.scores import Scores

MAX_LOSS = 1e6
MAX_AGE = 150.0
MAX_INTENSITY = 1e6
MAX_DISTANCE = 1e3
"""The longest limit of a distance of features in units of their own spread; usual ones are near 1."""
MAX_CHANNELS = 2048
SPLITS = ("train", "validation", "test")
_DIGEST, _BAND = 64, 16


@dataclass(frozen=True)
class SiteDescription:
    """The descriptions that a site has given before the rounds; None where it has not yet, or holds it back.

    Attributes:
        people: People with a usable scan.
        scans: Usable scans.
        splits: ``train``, ``validation`` and ``test`` → scans.
        map_places: Of the experiment, not the site: places along each axis of a mean map; None where it asks for none.
        outcome: Of the experiment: what the model predicts.
    """

    people: int | None = None
    scans: int | None = None
    splits: Mapping[str, int | None] | None = None
    map_places: int | None = None
    outcome: Outcome = BINARY

    def scans_in(self, split: str) -> int | None:
        """The most scans that a split can hold."""
        shown = None if self.splits is None else self.splits.get(split)
        return self.scans if shown is None else shown

    def after(self, answer: Answer) -> "SiteDescription":
        """The description with what an accepted answer adds."""
        if isinstance(answer.payload, ScanCounts):
            return replace(self, people=answer.payload.people, scans=answer.payload.scans)
        if isinstance(answer.payload, SplitFlow):
            splits = answer.payload.flow.splits
            return replace(self, splits={name: splits[name].total.scans for name in SPLITS})
        return self


def check_answer(task: Task, answer: Answer, known: SiteDescription) -> None:
    """Check an answer to a task against what its site has described; a kind without a check here has its types only.

    Raises:
        ValueError: Saying what contradicts what.
    """
    if check := _CHECKS.get(task.kind):
        check(task, answer, known)


def _at_most(what: str, count: int | None, bound: int | None) -> None:
    bound = MAX_COUNT if bound is None else bound
    if count is not None and not 0 <= count <= bound:
        raise ValueError(f"{what}: {count:,}, where this site's own description allows up to {bound:,}")


def _count_scans(task: Task, answer: Answer, known: SiteDescription) -> None:
    counts = answer.expect(ScanCounts)
    _at_most("scans", counts.scans, None)
    _at_most("people", counts.people, counts.scans)
    _at_most("own groups", counts.own_groups, counts.people)
    _at_most("groups", len(counts.declared_groups), counts.scans)
    _at_most("scans of declared groups", sum(map(sum, counts.declared_groups.values())), counts.scans)
    for scans in counts.declared_groups.values():
        _require_every_class("scans of a declared group", len(scans), known)


def _assign_splits(task: Task, answer: Answer, known: SiteDescription) -> None:
    flow = answer.expect(SplitFlow).flow
    _require_consistent(flow)
    for counts in flow.splits.values():
        if counts.classes:
            _require_every_class("the counts of a split", len(counts.classes), known)
    _at_most("included scans", flow.included.scans, known.scans)
    _at_most("scans of the whole site", flow.splits[WHOLE_SITE].total.scans, known.scans)


def _require_consistent(flow: Flow) -> None:
    """Each count is in range, found is left out plus included, and the splits add up, as far as they are shown."""
    _require_every_split(flow.splits)
    by_class = [counts for split in flow.splits.values() for counts in split.classes]
    for counts in (
        flow.found,
        flow.included,
        flow.several_classes,
        *(step.counts for step in flow.left_out),
        *by_class,
    ):
        _at_most("people", counts.participants, None)
        _at_most("scans", counts.scans, None)
    left_out = sum((step.counts for step in flow.left_out), Counts(0, 0))
    _require_equal("found", flow.found, left_out + flow.included)
    _require_equal("the whole site", flow.splits[WHOLE_SITE].total, flow.included)
    total = sum((flow.splits[name].total for name in SPLITS), Counts(0, 0))
    _require_equal("the splits together", Counts(None, total.scans), flow.included)


def _require_every_class(what: str, classes: int, known: SiteDescription) -> None:
    if classes != (expected := len(known.outcome.strata)):
        raise ValueError(f"{what}: expected {expected} classes, got {classes}")


def _require_every_split(splits: Collection[str]) -> None:
    """Each split and the whole site are described, whether or not their numbers are shown, and nothing else is."""
    if unknown := sorted({*splits} - {WHOLE_SITE, *SPLITS}):
        raise ValueError(f"a split of no name known here: {unknown[0][:60]!r}")
    if missing := sorted({WHOLE_SITE, *SPLITS} - {*splits}):
        raise ValueError(f"nothing is said of {missing[0]!r}")


def _require_equal(what: str, first: Counts, second: Counts) -> None:
    for ours, theirs in ((first.participants, second.participants), (first.scans, second.scans)):
        if ours is not None and theirs is not None and ours != theirs:
            raise ValueError(f"{what}: {ours:,} and {theirs:,}, which should be one number")


def _fingerprint_scans(task: Task, answer: Answer, known: SiteDescription) -> None:
    prints = answer.expect(ScanFingerprints)
    _at_most("fingerprints", len(prints.scans), known.scans)
    if prints.key is None and prints.scans:
        raise ValueError("fingerprints without a key")
    for scan in prints.scans:
        if scan.split not in (None, *SPLITS):
            raise ValueError(f"a split of no name known here: {str(scan.split)[:60]!r}")
        if any(len(digest) != _DIGEST for digest in (scan.group, scan.id, scan.pattern, scan.exact)):
            raise ValueError(f"a fingerprint that is no digest of {_DIGEST} digits")
        if len(scan.near) > BANDS or any(len(band) != _BAND for band in scan.near):
            raise ValueError(f"a near fingerprint that is not up to {BANDS} bands of {_BAND} digits")


def _describe_people(task: Task, answer: Answer, known: SiteDescription) -> None:
    described = answer.expect(PeopleDescription)
    _require_every_split(described.splits)
    for name, classes in described.splits.items():
        _require_people(classes, name, known)
    require_ordered(described.age_auc, "AUC of age", 0, 1)


def _require_people(classes: PeopleByClass, split: str, known: SiteDescription) -> None:
    total = 0
    if classes.classes:
        _require_every_class(f"people of {split}", len(classes.classes), known)
    for people in classes.classes:
        _at_most(f"people of {split}", people.people, known.scans)
        _at_most(f"women of {split}", people.women, people.people)
        total += people.people or 0
        if people.age is not None and not (0 <= people.age[0] <= MAX_AGE and 0 <= people.age[1] <= MAX_AGE):
            raise ValueError(f"age: expected from 0 to {MAX_AGE:g} years, got {people.age[0]:g}")
    _at_most(f"people of {split}", total, known.scans)


def _profile_intensities(task: Task, answer: Answer, known: SiteDescription) -> None:
    profile, grid = answer.expect(IntensityProfile), task.expect(ProfileIntensities).grid
    _at_most("people", profile.people, known.people)
    _at_most("scans", profile.scans, known.scans)
    if profile.range is not None:
        low, high = profile.range
        if grid is not None or not -MAX_INTENSITY <= low <= high <= MAX_INTENSITY:
            raise ValueError(f"range: expected two intensities within ±{MAX_INTENSITY:g}, the lower first")
    if profile.density is not None:
        if grid is None or len(profile.density) != POINTS or min(profile.density) < 0:
            raise ValueError(f"density: expected {POINTS} numbers of at least 0")
        area = sum(profile.density) * (grid[1] - grid[0]) / POINTS
        if not (math.isclose(area, 1, abs_tol=0.01) or area == 0):
            raise ValueError(f"density: expected an area of 1, got {area:.3g}")


def _score(task: Task, answer: Answer, known: SiteDescription) -> None:
    _require_scores(answer.expect(ScoreAnswer).received, known)
    _at_most("validation people", answer.expect(ScoreAnswer).validation_people, known.scans_in("validation"))


def _require_scores(scores: Scores | None, known: SiteDescription) -> None:
    if scores is not None:
        _at_most("validation scans", scores.examples, known.scans_in("validation"))
        _require_loss(scores.loss)
        if not scores.examples and (scores.auc, scores.balanced_accuracy, scores.loss) != (None, None, None):
            raise ValueError("scores of no scans")


def _require_loss(loss: float | None) -> None:
    if loss is not None and not 0 <= loss <= MAX_LOSS:
        raise ValueError(f"loss: expected from 0 to {MAX_LOSS:g}, got {loss:g}")


def _train(task: Task, answer: Answer, known: SiteDescription) -> None:
    update, step = answer.expect(TrainAnswer), step_of(task)
    _at_most("training scans", update.examples, known.scans_in("train"))
    _at_most("training people", update.people, update.examples)
    _at_most("validation people", update.validation_people, known.scans_in("validation"))
    for loss in (update.loss, update.received_training_loss):
        _require_loss(loss)
    for scores in (update.received, update.sent):
        _require_scores(scores, known)
    for score in update.scores.values():
        _at_most("validation scans of a score", score.examples, known.scans_in("validation"))
    if task.expect(Train).attempt is not None:  # for a secure sum, which nobody here sees into
        fault = reason_to_refuse_hidden(answer, step)
    else:
        fault = reason_to_refuse(answer, task.parts[STATE], step, math.inf)
    if fault:
        raise ValueError(fault)


def _evaluate(task: Task, answer: Answer, known: SiteDescription) -> None:
    summary = answer.expect(Evaluation).summary
    if summary is None:
        return
    require_outcome(summary, known.outcome)
    if isinstance(summary, ValidationSummary):
        _evaluate_two(task, answer.site, summary, known)
        return
    if isinstance(summary, NumberValidation):
        _at_most("validation scans", summary.validation.scans, known.scans_in("validation"))
        require_possible_joint(summary.validation)
    if isinstance(summary, ClassSummary | NumberSummary):
        scans = summary.scans if isinstance(summary, ClassSummary) else summary.test.joint.scans
        _at_most("test scans", scans, known.scans_in("test"))
        combine_outcome({answer.site: summary}, seed=0)  # whatever the server does with it, done with nobody else's


def _evaluate_two(task: Task, site: str, summary: ValidationSummary, known: SiteDescription) -> None:
    _at_most("validation scans", _total(summary.validation), known.scans_in("validation"))
    if not isinstance(summary, Summary):
        pool_validation([summary])
        return
    _at_most("test scans", _total(summary.test.counts), known.scans_in("test"))
    if summary.membership is not None:
        if task.expect(Evaluate).method == LEAVE_ONE_SITE_OUT:
            raise ValueError("a membership attack on a model that was trained without this site")
        _at_most("attacked training people", summary.membership.members, known.scans_in("train"))
    require_plausible(CheckedSummary.of(site, summary))
    combine_outcome({site: summary}, seed=0)


def _total(counts: ClassCounts) -> int:
    return int(counts.dense().sum())


def _describe_features(task: Task, answer: Answer, known: SiteDescription) -> None:
    if STATISTICS not in answer.parts:
        return
    state = answer.parts[STATISTICS]
    if state.keys() != {"mean", "covariance", "limit"}:
        raise ValueError("feature statistics: expected mean, covariance and limit")
    channels = len(state["mean"])
    _at_most("channels", channels, MAX_CHANNELS)
    for name, shape in (("mean", (channels,)), ("covariance", (channels, channels)), ("limit", ())):
        _require_finite(state, name, shape)
    covariance = state["covariance"]
    if not torch.allclose(covariance, covariance.T, rtol=1e-6, atol=1e-12):
        raise ValueError("feature statistics: the covariance is not symmetric")
    if float(torch.linalg.eigvalsh(covariance).min()) <= 0:
        raise ValueError("feature statistics: the covariance is not positive definite")
    if not 0 < float(state["limit"]) <= MAX_DISTANCE:
        raise ValueError(f"feature statistics: expected a limit above 0 and at most {MAX_DISTANCE:g}")
    statistics = FeatureStatistics.from_state(state)
    statistics.distance(statistics.mean)


def _require_finite(state: State, name: str, shape: tuple[int, ...]) -> None:
    tensor = state[name]
    if tensor.dtype != torch.float64 or tensor.shape != shape or not bool(torch.isfinite(tensor).all()):
        raise ValueError(f"{name}: expected finite float64 of shape {shape}, got {tensor.dtype} {tuple(tensor.shape)}")


def _map_saliency(task: Task, answer: Answer, known: SiteDescription) -> None:
    summary, regions = answer.expect(MeanSaliency), task.parts.get(REGIONS, {}).keys()
    _at_most("scans of the map", summary.scans, known.scans_in("test"))
    _at_most("scans in the template", summary.in_template, summary.scans)
    for named in (summary.shares, summary.volumes):
        if unknown := sorted(named.keys() - regions):
            raise ValueError(f"a region that nobody asked for: {unknown[0][:60]!r}")
    if summary.why is not None:
        return
    mean, shape = answer.parts.get(MAP, {}).get("mean"), (known.map_places or 0,) * 3
    if mean is None or mean.shape != shape or mean.dtype != torch.float32 or not bool(torch.isfinite(mean).all()):
        raise ValueError(f"expected a mean map of {math.prod(shape)} finite numbers")


_CHECKS: dict[str, Callable[[Task, Answer, SiteDescription], None]] = {
    "assign_splits": _assign_splits,
    "count_scans": _count_scans,
    "describe_features": _describe_features,
    "describe_people": _describe_people,
    "evaluate": _evaluate,
    "fingerprint_scans": _fingerprint_scans,
    "map_saliency": _map_saliency,
    "profile_intensities": _profile_intensities,
    "score": _score,
    "train": _train,
}
