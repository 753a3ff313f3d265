"""Messages keep every bit, and what is no message is refused."""

import json
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedtune3d.aggregation.site_scores import SiteScore
from fedtune3d.federation.messages import Answer, Fault, RefusedAnswer, Task

flwr = pytest.importorskip("flwr.app")

import fedtune3d.federation.flower.wire as wire_module  # noqa: E402
from fedtune3d._utils.state_dicts import state_sha256  # noqa: E402
from fedtune3d.federation.flower.wire import (  # noqa: E402
    ABOUT,
    SERIALIZED,
    TENSORS,
    Occasion,
    TensorCache,
    WireError,
    pack_answer,
    pack_task,
    unpack_answer,
    unpack_task,
)
from fedtune3d.federation.serialisation import to_text  # noqa: E402
from fedtune3d.federation.tasks.map_saliency import MapSaliency, MeanSaliency  # noqa: E402
from fedtune3d.federation.tasks.registry import task_kind, task_kinds  # noqa: E402
from fedtune3d.federation.tasks.score import Score, ScoreAnswer  # noqa: E402
from fedtune3d.federation.tasks.train import Train, TrainAnswer  # noqa: E402
from fedtune3d.training.scores import Scores  # noqa: E402

OCCASION = Occasion({"name": "x"}, "ab" * 32, None)
DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8)
PAYLOAD = TrainAnswer(examples=3, people=3, loss=0.5, scores={"sent_score": SiteScore(0.25, "auc", 4)})
TRAIN = Train(rule="fedavg", step={})


def every_dtype() -> dict[str, torch.Tensor]:
    bits = torch.arange(256, dtype=torch.uint8).repeat(2)  # every byte, so NaN payloads and both zeros, too
    return {str(dtype): bits.view(dtype).reshape(2, -1) for dtype in DTYPES} | {
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 3),
    }


@settings(deadline=None)
@given(st.lists(st.integers(0, 3), max_size=4))
def test_every_shape_and_dtype_keeps_its_bits(shape: list[int]) -> None:
    state = every_dtype() | {"shaped": torch.randn(shape)}
    task = Task(Train(rule="fedavg", step={"a": [1, "ü"]}), 2, {"state": state, "control": {}}, 1, 0, 3.5, "local")
    found, occasion = unpack_task(pack_task(task, OCCASION, TensorCache().array))
    assert occasion == OCCASION
    assert found.parts.keys() == {"state", "control"}
    assert state_sha256(dict(found.parts["state"])) == state_sha256(state)
    assert (found.instruction, found.kind, found.round) == (task.instruction, "train", 2)
    assert found.namespace == "local"
    assert (found.memory_version, found.oldest_version, found.deadline_seconds) == (1, 0, 3.5)


def test_an_answer_comes_back_as_it_left() -> None:
    answer = Answer("A", PAYLOAD, {"state": every_dtype()})
    found = unpack_answer(pack_answer(answer, "abc"), Task(TRAIN, 1), "A", "abc")
    assert isinstance(found, Answer)
    assert state_sha256(dict(found.parts["state"])) == state_sha256(dict(answer.parts["state"]))
    assert found.payload == PAYLOAD
    fault = unpack_answer(pack_answer(Fault("A", "two\nlines"), "abc"), Task(TRAIN, 1), "A", "abc")
    assert fault == Fault("A", "two lines")


def test_a_mean_map_comes_back_and_impossible_shares_are_a_fault() -> None:
    payload = MeanSaliency(scans=6, in_template=6, shares={"brain": (1.0, 0.0)}, volumes={"brain": 1.0})
    answer = Answer("A", payload, {"map": {"mean": torch.randn(8, 8, 8)}})
    back = unpack_answer(pack_answer(answer, "abc"), Task(MapSaliency()), "A", "abc")
    assert isinstance(back, Answer)
    assert torch.equal(back.parts["map"]["mean"], answer.parts["map"]["mean"])
    assert back.payload == payload
    none = Answer("A", MeanSaliency(why="the site's policy does not let maps leave (policy.maps_leave)"))
    assert unpack_answer(pack_answer(none, "abc"), Task(MapSaliency()), "A", "abc") == none
    wrong = Answer("A", payload.model_copy(update={"shares": {"brain": (1.5, 0.0)}}), answer.parts)
    found = unpack_answer(pack_answer(wrong, "abc"), Task(MapSaliency()), "A", "abc")
    assert isinstance(found, Fault)
    assert "the answer to map_saliency: shares.brain.0" in found.reason


def spoiled(**changes: Any) -> flwr.RecordDict:
    """An answer's message in which strings (`head`, `body`) or the one array's fields are changed."""
    records = pack_answer(Answer("A", PAYLOAD, {"state": {"w": torch.ones(2, 3)}}), "abc")
    about, array = records.config_records[ABOUT], records.array_records[TENSORS]["state/w"]
    for key, value in changes.items():
        if key in ("head", "body"):
            about[key] = value if isinstance(value, str) else json.dumps(json.loads(about[key]) | value)
        else:
            setattr(array, key, value)
    return records


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"head": {"site": "B"}}, "answered under the name B"),
        ({"head": {"experiment_sha256": "other"}}, "answered for another experiment"),
        ({"head": {"format": 1}}, "format"),
        ({"head": {"surplus": 1}}, "surplus"),
        ({"head": "{"}, "the answer: not valid JSON"),
        ({"head": {"parts": []}}, "a tensor of a part that was not announced: 'state'"),
        ({"body": '{"examples": 1, "people": 1, "loss": NaN}'}, "loss"),
        ({"body": '{"examples": 1, "people": 1, "loss": 1e999}'}, "loss"),
        ({"body": "[]"}, "the answer to train: TrainAnswer"),
        ({"body": {"surplus": 1}}, "surplus"),
        ({"body": {"scores": {"sent_score": None}}}, "scores.sent_score"),
        ({"body": {"scores": {"own": {"value": 1.5, "kind": "auc", "examples": 4}}}}, "scores.own.value"),
        ({"body": {"scores": {"own": {"value": 0.5, "kind": "f1", "examples": 4}}}}, "scores.own.kind"),
        ({"body": {"scores": {"own": {"value": 0.5, "kind": "auc", "examples": 0}}}}, "scores.own.examples"),
        ({"body": {"received_training_loss": -1}}, "received_training_loss"),
        ({"body": {"examples": True}}, "examples"),
        ({"body": {"examples": -1}}, "examples"),
        ({"body": {"loss": "low"}}, "loss"),
        (
            {"body": {"received": {"auc": 1.5, "balanced_accuracy": None, "loss": None, "examples": 1, "why": None}}},
            "received.auc",
        ),
        ({"data": b"\0" * 23}, "expected 24 bytes for shape (2, 3), got 23"),
        ({"shape": (2, -3)}, "not a valid shape"),
        ({"dtype": "object"}, "expected raw bytes of a known dtype"),
        ({"dtype": ["float32"]}, "not a valid answer (TypeError)"),
        ({"shape": (0, 2**80), "data": b""}, "not a valid shape"),
        ({"shape": (1,) * 9, "data": b"\0" * 4}, "not a valid shape"),
        ({"data": b"\0" * 70_000_000}, "expected at most 67,108,864 bytes of tensors"),
        ({"body": '{"examples": 1' + "0" * 400 + ', "people": 1, "loss": 0.5}'}, "examples"),
        ({"body": {"loss": 1e200}}, "loss: expected a number of at most 1e+100"),
        ({"body": " " * 2**20 + "{}"}, "expected at most 1,048,576 bytes of JSON"),
        ({"body": "[" * 100_000}, "not valid JSON"),
        ({"head": {"fault": "x" * 3000}}, "fault"),
        ({"stype": "numpy.ndarray"}, "expected raw bytes of a known dtype"),
    ],
)
def test_what_is_no_answer_is_a_fault_in_one_line(changes: dict, why: str) -> None:
    found = unpack_answer(spoiled(**changes), Task(TRAIN, 1), "A", "abc")
    assert isinstance(found, RefusedAnswer)
    assert why in found.reason
    assert "\n" not in found.reason


def test_a_part_without_a_declaration_is_a_fault() -> None:
    scored = ScoreAnswer(received=Scores(None, None, None, 0, "no scans"))
    records = pack_answer(Answer("A", scored, {"scan": {"voxels": torch.ones(2)}}), "abc")
    assert unpack_answer(records, Task(Score(), 1), "A", "abc") == RefusedAnswer(
        "A", "the answer to score: no declaration for the part scan"
    )


@given(st.floats(-1e100, 1e100), st.floats(0, 1))
def test_numbers_keep_their_bits(loss: float, score: float) -> None:
    payload = TrainAnswer(examples=3, people=3, loss=loss, scores={"sent_score": SiteScore(score, "auc", 4)})
    found = unpack_answer(pack_answer(Answer("A", payload), "abc"), Task(TRAIN, 1), "A", "abc")
    assert isinstance(found, Answer)
    assert to_text(found.payload) == to_text(payload)


def test_an_empty_message_is_no_task() -> None:
    with pytest.raises(WireError, match="no JSON under 'head'"):
        unpack_task(flwr.RecordDict())


def test_arrays_shared_by_messages_are_made_once() -> None:
    cache, tensor = TensorCache(), torch.ones(3)
    assert cache.array(tensor) is cache.array(tensor)
    assert cache.array(tensor).stype == SERIALIZED


def test_tensors_of_every_kind_are_bounded_before_they_are_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    bounded = {name for name, kind in task_kinds().items() if kind.max_tensor_bytes is not None}
    assert bounded == {name for name, kind in task_kinds().items() if kind.parts} - {"train"}
    monkeypatch.setattr(wire_module, "task_kind", lambda name: replace(task_kind(name), max_tensor_bytes=16))
    monkeypatch.setattr(wire_module, "_tensor", lambda *given: pytest.fail("copied"))
    answer = Answer("A", MeanSaliency(scans=1), {"map": {"mean": torch.ones(5)}})
    refused = unpack_answer(pack_answer(answer, "0" * 64), Task(MapSaliency()), "A", "0" * 64)
    assert refused == RefusedAnswer("A", "expected at most 16 bytes of tensors, got 20")
