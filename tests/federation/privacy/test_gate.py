"""A site's policy: each refusal is one line, small numbers stay, and the manifest lists what left."""

import hashlib
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import torch

from fedtune3d.aggregation.site_scores import SiteScore
from fedtune3d.config.experiment import Experiment
from fedtune3d.config.policy import Policy
from fedtune3d.federation.messages import Answer, Task
from fedtune3d.federation.privacy.gate import PolicyGate
from fedtune3d.federation.privacy.refusal import Refusal
from fedtune3d.federation.serialisation import to_text
from fedtune3d.federation.tasks.count_scans import CountScans, ScanCounts
from fedtune3d.federation.tasks.map_saliency import MapSaliency, MeanSaliency
from fedtune3d.federation.tasks.profile_intensities import IntensityProfile, ProfileIntensities
from fedtune3d.federation.tasks.registry import declared_answer
from fedtune3d.federation.tasks.score import Score, ScoreAnswer
from fedtune3d.federation.tasks.train import Train, TrainAnswer
from fedtune3d.training.scores import Scores

SCORE = Scores(auc=0.75, balanced_accuracy=0.5, loss=0.6, examples=4, why=None)
COUNTS = ScanCounts(simulated=False, people=9, scans=9, own_groups=9, declared_groups={})
TRAIN = Train(rule="fedavg", step={})
TRAINED = TrainAnswer(
    examples=9,
    people=9,
    validation_people=3,
    loss=0.5,
    received=SCORE,
    sent=SCORE,
    scores={"sent_score": SiteScore(0.75, "auc", 4)},
    received_training_loss=0.5,
)
STATE = {"head.weight": torch.arange(6.0).reshape(2, 3), "head.bias": torch.zeros(2, dtype=torch.bfloat16)}


class Plain:
    """Answers each task with the same state and scores: nine people in training, three in validation."""

    def answer(self, task: Task) -> Answer:
        if task.kind == "count_scans":
            return Answer("A", COUNTS)
        if task.kind == "score":
            return Answer("A", ScoreAnswer(received=SCORE, validation_people=3))
        return Answer("A", TRAINED, {"state": STATE})


VALUES = {"name": "x", "sites": [{"name": "A"}], "labels": {"positive": ["AD"], "negative": ["CN"]}}


def guarded(folder: Path, clock: str = "12:00", changes: dict | None = None, **policy: Any) -> PolicyGate:
    now = datetime.fromisoformat(f"2025-01-01T{clock}")
    return PolicyGate(
        Plain(),
        Experiment.model_validate(VALUES | (changes or {})),
        Policy(**policy),
        folder,
        declared_answer,
        now=lambda: now,
    )


@pytest.mark.parametrize(
    ("policy", "line"),
    [
        ({"tunings": ["lora"]}, "policy.tunings allows lora, but the experiment uses frozen"),
        ({"heads": ["linear"]}, "policy.heads allows linear, but the experiment uses conv_s"),
        ({"max_rounds": 19}, "policy.max_rounds is 19, but the experiment has 20 rounds"),
        ({"max_threads": 1}, "policy.max_threads is 1, but the experiment has 2 threads"),
        ({"max_payload_mb": 1e-5}, "policy.max_payload_mb is 1e-05, but the site was asked to receive 0.0 MB"),
        ({"hours": "19:00-07:00"}, "policy.hours is 19:00-07:00, but it is 12:00 at the site"),
        ({"hours": "13:00-14:00"}, "policy.hours is 13:00-14:00, but it is 12:00 at the site"),
        ({"min_people": 10}, "policy.min_people is 10, but the answer to train is about fewer people"),
    ],
)
def test_refusals(tmp_path: Path, policy: dict, line: str) -> None:
    site = guarded(tmp_path, **policy)
    with pytest.raises(Refusal) as raised:
        site.answer(Task(TRAIN, 1, parts={"state": STATE}))
    assert str(raised.value) == line
    assert site.manifest.entries() == []


@pytest.mark.parametrize("clock", ["19:00", "23:59", "06:59"])
def test_hours_over_midnight(tmp_path: Path, clock: str) -> None:
    assert guarded(tmp_path, clock, hours="19:00-07:00").answer(Task(CountScans())).payload == COUNTS


def test_scores_of_few_people_stay_whatever_their_scans(tmp_path: Path) -> None:
    payload = guarded(tmp_path, min_people=4).answer(Task(TRAIN, 1)).expect(TrainAnswer)
    assert SCORE.examples == 4
    assert (payload.received, payload.sent, payload.validation_people, payload.scores) == (None, None, 0, {})
    assert payload.received_training_loss == 0.5  # of the nine people in training
    assert guarded(tmp_path, min_people=4).answer(Task(Score(), 1)).payload == ScoreAnswer()


def test_scores_of_enough_people_leave(tmp_path: Path) -> None:
    assert guarded(tmp_path, min_people=3).answer(Task(TRAIN, 1)).payload == TRAINED


def test_counts_of_few_people_stay_whatever_their_scans(tmp_path: Path) -> None:
    counts = ScanCounts(simulated=False, people=4, scans=40, own_groups=4)
    site = guarded(tmp_path, min_people=5)
    site.site = Undeclared(Answer("A", counts))
    assert site.answer(Task(CountScans())).payload == ScanCounts(simulated=False)


def test_a_map_of_few_people_is_refused_and_the_reason_for_none_leaves(tmp_path: Path) -> None:
    site = guarded(tmp_path, min_people=5)
    site.site = Undeclared(Answer("A", MeanSaliency(why="no positive people")))
    assert site.answer(Task(MapSaliency())).expect(MeanSaliency).why == "no positive people"
    for scans in (0, 4):
        site.site = Undeclared(Answer("A", MeanSaliency(scans=scans), {"map": {"mean": torch.ones(2)}}))
        with pytest.raises(Refusal, match="the answer to map_saliency is about fewer people"):
            site.answer(Task(MapSaliency()))


def test_an_intensity_profile_of_few_people_stays(tmp_path: Path) -> None:
    site = guarded(tmp_path, min_people=5)
    site.site = Undeclared(Answer("A", IntensityProfile(people=4, scans=9, range=(0.0, 1.0))))
    assert site.answer(Task(ProfileIntensities())).payload == IntensityProfile()


def test_a_score_of_the_rule_s_own_is_declared_and_withheld_as_any_other(tmp_path: Path) -> None:
    """FedCE's leave-one-out score, of which the gate knows nothing but its declaration."""
    scores = {"leave_one_out_score": SiteScore(0.5, "auc", 4)}
    payload = TrainAnswer(examples=9, people=9, validation_people=4, loss=0.5, scores=scores)
    answer = Answer("A", payload, {"state": STATE})
    for rule, policy, left in (("fedce", {}, 1), ("fedce", {"min_people": 5}, 0)):
        site = guarded(tmp_path / str(left), **policy)
        site.site = Undeclared(answer)
        sent = site.answer(Task(Train(rule=rule, step={}), 1)).expect(TrainAnswer)
        assert len(sent.scores) == left
    site = guarded(tmp_path / "undeclared")
    site.site = Undeclared(answer)
    with pytest.raises(Refusal, match="rule fedavg declares no score leave_one_out_score"):
        site.answer(Task(TRAIN, 1))


class Undeclared:
    """Answers a score task with another kind's payload, or with a tensor that nobody declared."""

    def __init__(self, answer: Answer) -> None:
        self.given = answer

    def answer(self, task: Task) -> Answer:
        return self.given


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (Answer("A", COUNTS), "a task of kind score is not answered with ScanCounts"),
        (
            Answer("A", ScoreAnswer(received=SCORE, validation_people=3), {"scan": STATE}),
            "score: no declaration for the part scan",
        ),
    ],
)
def test_what_is_not_declared_does_not_leave(tmp_path: Path, answer: Answer, line: str) -> None:
    site = guarded(tmp_path)
    site.site = Undeclared(answer)
    with pytest.raises(Refusal, match=line):
        site.answer(Task(Score(), 1))
    assert site.manifest.entries() == []


def test_the_manifest_lists_what_left(tmp_path: Path) -> None:
    site = guarded(tmp_path)
    answer = site.answer(Task(TRAIN, 3))
    (entry,) = site.manifest.entries()
    assert (entry.kind, entry.round, entry.namespace) == ("train", 3, "")
    assert entry.experiment == site.experiment.sha256()
    bias, weight = entry.tensors
    assert (bias.name, bias.dtype, bias.shape, bias.bytes) == ("state/head.bias", "bfloat16", (2,), 4)
    content = STATE["head.weight"].numpy().tobytes()
    assert (weight.bytes, weight.sha256) == (24, hashlib.sha256(content).hexdigest())
    text = to_text(answer.payload).encode()
    assert entry.values is not None
    assert (entry.values.bytes, entry.values.sha256) == (len(text), hashlib.sha256(text).hexdigest())
    assert entry.values.json == json.loads(text)
