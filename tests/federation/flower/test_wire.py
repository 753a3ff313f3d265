"""Messages keep every bit, and what is no message is refused."""

import json
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedtune3d.federation.messages import Answer, Fault, Task

flwr = pytest.importorskip("flwr.app")

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

OCCASION = Occasion({"name": "x"}, "abc", None)
DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8)
VALUES: dict[str, Any] = {"examples": 3, "loss": 0.5, "metrics": {"sent_score": 0.25}}


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
    task = Task("train", 2, {"state": state, "control": {}}, {"a": [1, "ü"]}, 1, 0, 3.5, "local")
    found, occasion = unpack_task(pack_task(task, OCCASION, TensorCache().array))
    assert occasion == OCCASION
    assert found.parts.keys() == {"state", "control"}
    assert state_sha256(dict(found.parts["state"])) == state_sha256(state)
    assert (found.values, found.kind, found.round, found.namespace) == (task.values, "train", 2, "local")
    assert (found.memory_version, found.oldest_version, found.deadline_seconds) == (1, 0, 3.5)


def test_an_answer_comes_back_as_it_left() -> None:
    answer = Answer("A", {"state": every_dtype()}, VALUES)
    found = unpack_answer(pack_answer(answer, "abc"), Task("train", 1), "A", "abc")
    assert isinstance(found, Answer)
    assert state_sha256(dict(found.parts["state"])) == state_sha256(dict(answer.parts["state"]))
    assert found.values == VALUES
    fault = unpack_answer(pack_answer(Fault("A", "two\nlines"), "abc"), Task("train", 1), "A", "abc")
    assert fault == Fault("A", "two lines")


def test_a_mean_map_comes_back_and_impossible_shares_are_a_fault() -> None:
    values = {"why": None, "scans": 6, "in_template": 6, "shares": {"brain": [1.0, 0.0]}, "volumes": {"brain": 1.0}}
    answer = Answer("A", {"map": {"mean": torch.randn(8, 8, 8)}}, values)
    back = unpack_answer(pack_answer(answer, "abc"), Task("saliency"), "A", "abc")
    assert isinstance(back, Answer)
    assert torch.equal(back.parts["map"]["mean"], answer.parts["map"]["mean"])
    assert back.values == values
    none = Answer("A", values={"why": "the site's policy keeps its maps (policy.maps_leave)"})
    assert unpack_answer(pack_answer(none, "abc"), Task("saliency"), "A", "abc") == none
    wrong = Answer("A", answer.parts, values | {"shares": {"brain": [1.5, 0.0]}})
    found = unpack_answer(pack_answer(wrong, "abc"), Task("saliency"), "A", "abc")
    assert isinstance(found, Fault)
    assert "the values of saliency: shares.brain.0" in found.reason


def spoiled(**changes: Any) -> flwr.RecordDict:
    """An answer's message in which strings (`head`, `values`) or the one array's fields are changed."""
    records = pack_answer(Answer("A", {"state": {"w": torch.ones(2, 3)}}, VALUES), "abc")
    about, array = records.config_records[ABOUT], records.array_records[TENSORS]["state/w"]
    for key, value in changes.items():
        if key in ("head", "values"):
            about[key] = value if isinstance(value, str) else json.dumps(json.loads(about[key]) | value)
        else:
            setattr(array, key, value)
    return records


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"head": {"site": "B"}}, "answered under the name B"),
        ({"head": {"experiment_sha256": "other"}}, "answered for another experiment"),
        ({"head": {"format": 2}}, "format"),
        ({"head": {"surplus": 1}}, "surplus"),
        ({"head": "{"}, "head: no valid JSON"),
        ({"head": {"parts": []}}, "a tensor of no part that was announced: 'state'"),
        ({"values": '{"examples": NaN}'}, "values: no valid JSON"),
        ({"values": "[]"}, "expected a JSON object"),
        ({"values": {"examples": True}}, "examples"),
        ({"values": {"examples": -1}}, "examples"),
        ({"values": {"loss": "low"}}, "loss"),
        ({"values": {"received": {"auc": 1.5, "loss": None, "examples": 1, "why": None}}}, "received.auc"),
        ({"data": b"\0" * 23}, "expected 24 bytes for shape (2, 3), got 23"),
        ({"shape": (2, -3)}, "no shape"),
        ({"dtype": "object"}, "expected raw bytes of a known dtype"),
        ({"dtype": ["float32"]}, "what is no answer (TypeError)"),
        ({"shape": (0, 2**80), "data": b""}, "what is no answer"),
        ({"stype": "numpy.ndarray"}, "expected raw bytes of a known dtype"),
    ],
)
def test_what_is_no_answer_is_a_fault_in_one_line(changes: dict, why: str) -> None:
    found = unpack_answer(spoiled(**changes), Task("train", 1), "A", "abc")
    assert isinstance(found, Fault)
    assert why in found.reason
    assert "\n" not in found.reason


def test_an_empty_message_is_no_task() -> None:
    with pytest.raises(WireError, match="no JSON under 'head'"):
        unpack_task(flwr.RecordDict())


def test_arrays_shared_by_messages_are_made_once() -> None:
    cache, tensor = TensorCache(), torch.ones(3)
    assert cache.array(tensor) is cache.array(tensor)
    assert cache.array(tensor).stype == SERIALIZED
