"""Answers of sites elsewhere: refused by name where they contradict what the site has said, whatever goes wrong."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch

from fedtune3d.cohorts.flow import ByClass, Counts, Flow
from fedtune3d.evaluation.any_outcome import summary_of_nobody
from fedtune3d.evaluation.estimate import Estimate, undefined
from fedtune3d.evaluation.membership import attack_membership
from fedtune3d.evaluation.outcome import BINARY, ClassOutcome, NumberOutcome, Outcome
from fedtune3d.evaluation.predictions import Predictions
from fedtune3d.evaluation.summary import summarise
from fedtune3d.federation import answer_checks
from fedtune3d.federation.answer_checks import SiteDescription
from fedtune3d.federation.checked_federation import CheckedFederation
from fedtune3d.federation.messages import Answer, Fault, Payload, RefusedAnswer, Task
from fedtune3d.federation.site.audit import PeopleByClass, PeopleOfClass, ScanFingerprint
from fedtune3d.federation.tasks.assign_splits import AssignSplits, SplitFlow
from fedtune3d.federation.tasks.count_scans import CountScans, ScanCounts
from fedtune3d.federation.tasks.describe_features import STATISTICS, DescribeFeatures, FeatureDescription
from fedtune3d.federation.tasks.describe_people import DescribePeople, PeopleDescription
from fedtune3d.federation.tasks.evaluate import Evaluate, Evaluation
from fedtune3d.federation.tasks.fingerprint_scans import FingerprintScans, ScanFingerprints
from fedtune3d.federation.tasks.map_saliency import MapSaliency, MeanSaliency
from fedtune3d.federation.tasks.profile_intensities import IntensityProfile, ProfileIntensities
from fedtune3d.federation.tasks.score import Score, ScoreAnswer
from fedtune3d.federation.tasks.train import Train, TrainAnswer
from fedtune3d.training.scores import Scores

STATE = {"w": torch.zeros(2)}
TRAIN = Task(Train(rule="fedavg", step={"keep_local": [], "frozen": [], "score_kind": "auc"}), 1, {"state": STATE})
COUNTS = ScanCounts(simulated=True, people=20, scans=24, own_groups=20, declared_groups={})


def counts(negative: int, positive: int) -> ByClass:
    return ByClass((Counts(negative, negative), Counts(positive, positive)))


FLOW = Flow(
    Counts(20, 24),
    (),
    Counts(20, 24),
    Counts(0, 0),
    {"all": ByClass((Counts(10, 12), Counts(10, 12))), "train": counts(8, 8), "validation": counts(2, 2)}
    | {"test": ByClass((Counts(0, 2), Counts(0, 2)))},
)


class Saying:
    """A federation of one site that says what it is given."""

    def __init__(self) -> None:
        self.reply: Answer | Fault = Fault("A", "nothing yet")

    @property
    def sites(self) -> tuple[str, ...]:
        return ("A",)

    def ask(self, tasks: Mapping[str, Task]) -> Iterator[Answer | Fault]:
        yield self.reply


class Checked:
    """A checked site that has described itself: 20 people, 24 scans, 16 of them for training."""

    def __init__(self) -> None:
        self.saying = Saying()
        self.federation = CheckedFederation(self.saying, map_places=8)
        assert isinstance(self.says(Task(CountScans()), COUNTS), Answer)
        assert isinstance(self.says(Task(AssignSplits(groups={})), SplitFlow(flow=FLOW)), Answer)

    def says(self, task: Task, payload: Payload, **parts: dict[str, torch.Tensor]) -> Answer | Fault:
        """How an answer is taken."""
        self.saying.reply = Answer("A", payload, parts)
        (taken,) = self.federation.ask({"A": task})
        return taken


@pytest.fixture
def site() -> Checked:
    """A site that has described itself."""
    return Checked()


def _scores(examples: int = 4, loss: float = 0.7) -> Scores:
    return Scores(0.5, 0.5, loss, examples, None)


def _print(**changes: object) -> ScanFingerprint:
    digests = dict.fromkeys(("group", "id", "pattern", "exact"), "0" * 64)
    return ScanFingerprint(**({"scan": "s", "person": "p", "split": "train"} | digests | changes))  # type: ignore[arg-type]


def _people(people: int, women: int = 0, age: tuple[float, float] | None = None) -> PeopleDescription:
    of_class = PeopleByClass((PeopleOfClass(people, women, age), PeopleOfClass(1, 0, None)))
    return PeopleDescription(splits=PeopleDescription().splits | {"all": of_class}, age_auc=undefined("no ages"))


SCORE, GRID = Task(Score(), 1, {"state": STATE}), Task(ProfileIntensities(grid=(0.0, 2.56)))


@pytest.mark.parametrize(
    ("task", "payload", "why"),
    [
        (Task(CountScans()), COUNTS.model_copy(update={"scans": 10**9}), "scans: 1,000,000,000"),
        (Task(CountScans()), COUNTS.model_copy(update={"people": 25}), "people: 25"),
        (Task(CountScans()), COUNTS.model_copy(update={"declared_groups": {"x": (20, 20)}}), "declared groups: 40"),
        (SCORE, ScoreAnswer(received=_scores(examples=5), validation_people=4), "validation scans: 5"),
        (SCORE, ScoreAnswer(received=_scores(loss=1e9), validation_people=4), "loss: expected from 0"),
        (SCORE, ScoreAnswer(received=_scores(), validation_people=10**6), "validation people: 1,000,000"),
        (SCORE, ScoreAnswer(received=_scores(examples=0), validation_people=0), "scores of no scans"),
        (Task(FingerprintScans()), ScanFingerprints(key=None, scans=(_print(),)), "fingerprints without a key"),
        (Task(FingerprintScans()), ScanFingerprints(key="k", scans=(_print(),) * 25), "fingerprints: 25"),
        (Task(FingerprintScans()), ScanFingerprints(key="k", scans=(_print(split="extra"),)), "no name known here"),
        (Task(FingerprintScans()), ScanFingerprints(key="k", scans=(_print(exact="0"),)), "no digest"),
        (Task(FingerprintScans()), ScanFingerprints(key="k", scans=(_print(near=("0" * 16,) * 513),)), "512 bands"),
        (Task(DescribePeople()), PeopleDescription(splits={}), "nothing is said of 'all'"),
        (Task(DescribePeople()), _people(25), "people of all: 25"),
        (Task(DescribePeople()), _people(10, women=11), "women of all: 11"),
        (Task(DescribePeople()), _people(10, age=(900.0, 1.0)), "age: expected"),
        (GRID, IntensityProfile(people=20, scans=25, density=(1.0,) * 256), "scans: 25"),
        (GRID, IntensityProfile(people=20, scans=24, density=(5.0,) * 256), "an area of 1, got 12.8"),
        (GRID, IntensityProfile(people=20, scans=24, density=(1.0,) * 10), "density: expected 256"),
        (Task(ProfileIntensities()), IntensityProfile(people=20, scans=24, range=(5.0, 1.0)), "the lower first"),
        (Task(ProfileIntensities()), IntensityProfile(people=20, scans=24, range=(-1e30, 1e30)), "within ±1e"),
        (Task(MapSaliency()), MeanSaliency(scans=5), "scans of the map: 5"),
        (Task(MapSaliency()), MeanSaliency(scans=2), "expected a mean map of 512 finite numbers"),
        (Task(MapSaliency()), MeanSaliency(why="no", volumes={"moon": 0.5}), "a region that nobody asked for: 'moon'"),
    ],
)
def test_counts_bound_what_a_site_says(site: Checked, task: Task, payload: Payload, why: str) -> None:
    taken = site.says(task, payload)
    assert isinstance(taken, RefusedAnswer)
    assert why in taken.reason
    assert taken.reason.startswith(f"its answer to {task.kind} was refused")


def test_a_flow_that_does_not_add_up(site: Checked) -> None:
    for changes, why in (
        ({"included": Counts(20, 23)}, "found: 24 and 23"),
        ({"splits": FLOW.splits | {"train": counts(9, 8)}}, "the splits together: 25 and 24"),
        ({"splits": FLOW.splits | {"moon": counts(0, 0)}}, "no name known here: 'moon'"),
        ({"splits": {name: FLOW.splits[name] for name in ("all", "train", "test")}}, "nothing is said of 'validation'"),
        ({"splits": {}}, "nothing is said of 'all'"),
        ({"found": Counts(-1, 24)}, "people: -1"),
    ):
        flow = Flow(**(vars(FLOW) | changes))
        taken = site.says(Task(AssignSplits(groups={})), SplitFlow(flow=flow))
        assert isinstance(taken, RefusedAnswer)
        assert why in taken.reason


def update(**changes: object) -> TrainAnswer:
    return TrainAnswer(**({"examples": 16, "people": 16, "loss": 0.7} | changes))  # type: ignore[arg-type]


def test_an_update_weighs_no_more_than_described(site: Checked) -> None:
    good = {"w": torch.ones(2)}
    assert isinstance(site.says(TRAIN, update(), state=good), Answer)
    for payload, parts, why in (
        (update(examples=17), {"state": good}, "training scans: 17"),
        (update(people=17), {"state": good}, "training people: 17"),
        (update(loss=1e9), {"state": good}, "loss: expected"),
        (update(received_training_loss=1e9), {"state": good}, "loss: expected"),
        (update(sent=_scores(examples=5)), {"state": good}, "validation scans: 5"),
        (update(), {"state": {"w": torch.tensor([1.0, float("nan")])}}, "NaN or infinite"),
        (update(), {"state": {"w": torch.ones(3)}}, "expected shape (2,)"),
        (update(), {}, "the answer contains no state"),
    ):
        taken = site.says(TRAIN, payload, **parts)
        assert isinstance(taken, RefusedAnswer), why
        assert why in taken.reason


def test_feature_statistics_that_would_accept_everything(site: Checked) -> None:
    good = {
        "mean": torch.zeros(3, dtype=torch.float64),
        "covariance": torch.eye(3, dtype=torch.float64),
        "limit": torch.tensor(1.2, dtype=torch.float64),
    }
    task = Task(DescribeFeatures(), parts={"state": STATE})
    assert isinstance(site.says(task, FeatureDescription(), **{STATISTICS: good}), Answer)
    for changes, why in (
        ({"limit": torch.tensor(1e300, dtype=torch.float64)}, "expected a limit"),
        ({"limit": torch.tensor(float("inf"), dtype=torch.float64)}, "expected finite"),
        ({"covariance": -good["covariance"]}, "not positive definite"),
        ({"covariance": torch.ones(3, 3, dtype=torch.float64).triu()}, "not symmetric"),
        ({"mean": torch.zeros(5000, dtype=torch.float64)}, "channels: 5,000"),
        ({"mean": torch.tensor(1.0)}, "TypeError"),
        ({"extra": torch.zeros(1)}, "expected mean, covariance and limit"),
    ):
        taken = site.says(task, FeatureDescription(), **{STATISTICS: good | changes})
        assert isinstance(taken, RefusedAnswer), why
        assert why in taken.reason


def test_a_membership_attack_is_about_the_people_that_the_site_described(site: Checked) -> None:
    def predictions(people: int) -> Predictions:
        names = tuple(f"sub-{number:02d}" for number in range(people))
        return Predictions(names, ("",) * people, np.arange(people) % 2, np.linspace(0.1, 0.9, people))

    attack = attack_membership(predictions(16), predictions(4))
    assert attack is not None
    honest = summarise(predictions(4), predictions(4), 0, share_predictions=False, membership=attack)
    nobody = replace(summarise(predictions(4), predictions(0), 0, share_predictions=False), membership=attack)
    federated = Task(Evaluate(method="federated"), parts={"state": STATE})
    left_out = Task(Evaluate(method="leave_one_site_out"), parts={"state": STATE})
    assert isinstance(site.says(federated, Evaluation(summary=honest)), Answer)
    for task, summary, why in (
        (federated, replace(honest, membership=replace(attack, members=17)), "attacked training people: 17"),
        (federated, replace(honest, membership=replace(attack, auc=1.5)), "a membership attack with an AUC of 1.5"),
        (federated, replace(honest, membership=replace(attack, recognised=16)), "16 recognised of 16 people allow"),
        (federated, nobody, "a membership attack on 16 training and 0 test people"),
        (left_out, honest, "a model that was trained without this site"),
    ):
        taken = site.says(task, Evaluation(summary=summary))
        assert isinstance(taken, RefusedAnswer), why
        assert why in taken.reason


def test_an_error_of_this_program_is_the_answers_fault(site: Checked, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*given: object) -> None:
        raise AttributeError("a bug")

    monkeypatch.setitem(answer_checks._CHECKS, "score", broken)
    taken = site.says(SCORE, ScoreAnswer())
    assert taken == RefusedAnswer("A", "its answer to score was refused (AttributeError)")


def test_a_refused_answer_describes_nothing(site: Checked) -> None:
    site.says(Task(CountScans()), COUNTS.model_copy(update={"people": 10**9, "scans": 10**9}))
    assert isinstance(site.says(TRAIN, update(examples=17), state={"w": torch.ones(2)}), RefusedAnswer)


def test_an_interval_of_age_is_ordered(site: Checked) -> None:
    forged = Estimate(0.5, 0.9, 0.1, "x", None, None)
    taken = site.says(Task(DescribePeople()), PeopleDescription(age_auc=forged))
    assert isinstance(taken, RefusedAnswer)


THREE = ClassOutcome(("CN", "MCI", "AD"))
NUMBER = NumberOutcome("age", 40, 100, "years", "error")


@pytest.mark.parametrize("outcome", [THREE, NUMBER])
def test_an_answer_about_another_number_of_classes_is_refused(outcome: Outcome) -> None:
    known = SiteDescription(outcome=outcome)
    two = PeopleByClass((PeopleOfClass(9, 1, None), PeopleOfClass(9, 1, None)))
    described = PeopleDescription(splits=dict.fromkeys(("all", "train", "validation", "test"), two))
    declared = ScanCounts(simulated=False, people=9, scans=9, own_groups=8, declared_groups={"x": (1, 0)})
    tasks = (Task(DescribePeople()), Answer("A", described)), (Task(CountScans()), Answer("A", declared))
    for task, answer in tasks:
        with pytest.raises(ValueError, match=f"expected {len(outcome.strata)} classes, got 2"):
            answer_checks.check_answer(task, answer, known)


def test_a_summary_of_another_outcome_is_refused_and_one_held_back_is_not() -> None:
    task, known = Task(Evaluate(method="federated")), SiteDescription(outcome=THREE)
    for other in (BINARY, NUMBER, ClassOutcome(("CN", "AD", "MCI"))):
        answer = Answer("A", Evaluation(summary=summary_of_nobody(other)))
        with pytest.raises(ValueError, match="a summary of another outcome"):
            answer_checks.check_answer(task, answer, known)
    answer_checks.check_answer(task, Answer("A", Evaluation()), known)
    answer_checks.check_answer(task, Answer("A", Evaluation(summary=summary_of_nobody(THREE))), known)
