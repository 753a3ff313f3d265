"""Tasks and answers as Flower messages: tensors as raw bytes, the rest as JSON, nothing pickled.

A message has two records. `tensors` holds one array a tensor, named ``part/name``, its bytes as they lie in memory.
`about` holds strings: what the message belongs to, and its JSON values. Whatever arrives is checked here before use.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fedtune3d._utils.state_dicts import State, tensor_bytes
from fedtune3d.federation.messages import Answer, Fault, Task
from fedtune3d.federation.privacy.egress_log import flat_state, values_json

FORMAT = 1
SERIALIZED = "fedtune3d.raw"
TENSORS, ABOUT = "tensors", "about"
DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        torch.float32,
        torch.float64,
        torch.float16,
        torch.bfloat16,
        torch.int64,
        torch.int32,
        torch.int16,
        torch.int8,
        torch.uint8,
    )
}
MOST_JSON_BYTES = 64 * 1024 * 1024


class WireError(ValueError):
    """What arrived is no message of this program; one line without anything of its content but names."""


@dataclass(frozen=True)
class Occasion:
    """What a task belongs to, so that both sides know that they mean the same.

    Attributes:
        experiment: The resolved experiment, without paths.
        sha256: Its hash.
        weights_sha256: Of the encoder's weights; None where there are none to read.
    """

    experiment: dict[str, Any]
    sha256: str
    weights_sha256: str | None


class TensorCache:
    """Arrays of tensors that several messages carry, made once; to be thrown away before the tensors."""

    def __init__(self) -> None:
        self._arrays: dict[int, Array] = {}

    def array(self, tensor: torch.Tensor) -> Array:
        """The array of a tensor."""
        if id(tensor) not in self._arrays:
            self._arrays[id(tensor)] = _array(tensor)
        return self._arrays[id(tensor)]


def pack_task(task: Task, occasion: Occasion, array: Callable[[torch.Tensor], Array]) -> RecordDict:
    """A task as a message to a site."""
    head = {
        "format": FORMAT,
        "experiment": occasion.experiment,
        "experiment_sha256": occasion.sha256,
        "weights_sha256": occasion.weights_sha256,
        "kind": task.kind,
        "round": task.round,
        "memory_version": task.memory_version,
        "oldest_version": task.oldest_version,
        "deadline_seconds": task.deadline_seconds,
        "namespace": task.namespace,
        "parts": sorted(task.parts),
    }
    return _records(task.parts, {"head": values_json(head), "values": values_json(task.values)}, array)


def unpack_task(records: RecordDict) -> tuple[Task, Occasion]:
    """The task of a message from the server. Raises `WireError`."""
    head = _checked(_TaskHead, _json(records, "head"), "the task")
    parts = _parts(records, head.parts)
    task = Task(
        kind=head.kind,  # type: ignore[arg-type]  # the site knows its kinds
        round=head.round,
        parts=parts,
        values=_json(records, "values"),
        memory_version=head.memory_version,
        oldest_version=head.oldest_version,
        deadline_seconds=head.deadline_seconds,
        namespace=head.namespace,
    )
    return task, Occasion(head.experiment, head.experiment_sha256, head.weights_sha256)


def pack_answer(reply: Answer | Fault, sha256: str) -> RecordDict:
    """An answer, or the line that says why there is none, as a message to the server."""
    parts, values = (reply.parts, reply.values) if isinstance(reply, Answer) else ({}, {})
    head = {
        "format": FORMAT,
        "site": reply.site,
        "experiment_sha256": sha256,
        "fault": reply.reason if isinstance(reply, Fault) else None,
        "parts": sorted(parts),
    }
    return _records(parts, {"head": values_json(head), "values": values_json(values)}, _array)


def unpack_answer(records: RecordDict, task: Task, site: str, sha256: str) -> Answer | Fault:
    """The answer in a message from a site; a fault where it is none to this task of this experiment."""
    try:
        head = _checked(_AnswerHead, _json(records, "head"), "the answer")
        if head.site != site:
            raise WireError(f"answered under the name {head.site}")
        if head.fault is not None:
            return Fault(site, " ".join(head.fault.split()))
        if head.experiment_sha256 != sha256:
            raise WireError("answered for another experiment; both sides need the same experiment file and fedtune3d")
        values = _json(records, "values")
        if task.kind in _VALUES:
            _checked(_VALUES[task.kind], values, f"the values of {task.kind}")
        return Answer(site, _parts(records, head.parts), values)
    except WireError as error:
        return Fault(site, str(error))
    except Exception as error:  # whatever a site sends, it is that site's fault and nobody else's
        return Fault(site, f"answered with what is no answer ({type(error).__name__})")


def site_of(records: RecordDict) -> str:
    """The name that a site claims; only a SuperLink without authentication asks for it. Raises `WireError`."""
    return _checked(_AnswerHead, _json(records, "head"), "the answer").site


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _TaskHead(_Strict):
    format: Annotated[int, Field(ge=FORMAT, le=FORMAT)]
    experiment: dict[str, Any]
    experiment_sha256: str
    weights_sha256: str | None
    kind: str
    round: Annotated[int, Field(ge=0)]
    memory_version: int | None
    oldest_version: int | None
    deadline_seconds: float | None
    namespace: str
    parts: list[str]


class _AnswerHead(_Strict):
    format: Annotated[int, Field(ge=FORMAT, le=FORMAT)]
    site: str
    experiment_sha256: str
    fault: Annotated[str, Field(max_length=2000)] | None
    parts: list[str]


class _Values(BaseModel):
    """Values that the round loop or the run reads; what else comes is only kept."""

    model_config = ConfigDict(extra="allow", strict=True)


Model = TypeVar("Model", bound=BaseModel)
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]


class _Scores(_Values):
    auc: Share | None
    balanced_accuracy: Share | None = None
    loss: Annotated[float, Field(ge=0)] | None
    examples: Count
    why: str | None


class _TrainValues(_Values):
    examples: Count
    loss: float
    received: _Scores | None = None
    sent: _Scores | None = None
    metrics: dict[str, float | str] = {}
    seconds: float = 0
    peak_memory_bytes: Count = 0


class _ScoreValues(_Values):
    received: _Scores


class _PlanValues(_Values):
    simulated: bool
    scans: Count
    own_groups: Count
    declared_groups: dict[str, Annotated[list[Count], Field(min_length=2, max_length=2)]]


class _SaliencyValues(_Values):
    why: str | None
    scans: Count = 0
    in_template: Count = 0
    shares: dict[str, Annotated[list[Share], Field(min_length=2, max_length=2)]] = {}
    volumes: dict[str, Share] = {}


_VALUES: dict[str, type[BaseModel]] = {
    "train": _TrainValues,
    "score": _ScoreValues,
    "plan": _PlanValues,
    "saliency": _SaliencyValues,
}


def _records(
    parts: Mapping[str, State], about: Mapping[str, str], array: Callable[[torch.Tensor], Array]
) -> RecordDict:
    arrays = {name: array(tensor) for name, tensor in flat_state(parts).items()}
    return RecordDict({TENSORS: ArrayRecord(arrays), ABOUT: ConfigRecord(dict(about))})


def _array(tensor: torch.Tensor) -> Array:
    name = str(tensor.dtype).removeprefix("torch.")
    if name not in DTYPES:
        raise WireError(f"tensors of {name} do not travel")
    return Array(dtype=name, shape=tuple(tensor.shape), stype=SERIALIZED, data=tensor_bytes(tensor))


def _parts(records: RecordDict, names: list[str]) -> dict[str, State]:
    """The tensors, each taken out of the message as it is read, so that a large state is not held twice."""
    parts: dict[str, State] = {name: {} for name in names}
    arrays = records.array_records.get(TENSORS)
    if arrays is None:
        raise WireError("the message holds no tensors")
    for name in list(arrays):
        part, _, inner = name.partition("/")
        if part not in parts:
            raise WireError(f"a tensor of no part that was announced: {part!r}")
        parts[part][inner] = _tensor(name, arrays.pop(name))
    return parts


def _tensor(name: str, array: Array) -> torch.Tensor:
    dtype = DTYPES.get(array.dtype)
    if array.stype != SERIALIZED or dtype is None:
        raise WireError(f"{name}: expected raw bytes of a known dtype, got {array.stype!r} of {array.dtype!r}")
    if any(isinstance(length, bool) or not isinstance(length, int) or length < 0 for length in array.shape):
        raise WireError(f"{name}: no shape: {array.shape!r}")
    expected = math.prod(array.shape) * dtype.itemsize
    if len(array.data) != expected:
        raise WireError(f"{name}: expected {expected} bytes for shape {tuple(array.shape)}, got {len(array.data)}")
    if not expected:
        return torch.empty(array.shape, dtype=dtype)
    return torch.frombuffer(bytearray(array.data), dtype=dtype).reshape(array.shape)


def _json(records: RecordDict, key: str) -> dict[str, Any]:
    about = records.config_records.get(ABOUT)
    text = about.get(key) if about is not None else None
    if not isinstance(text, str) or len(text) > MOST_JSON_BYTES:
        raise WireError(f"the message holds no JSON under {key!r}")
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise WireError(f"{key}: no valid JSON ({error.__class__.__name__})") from None
    if not isinstance(value, dict):
        raise WireError(f"{key}: expected a JSON object")
    return value


def _refuse_constant(name: str) -> float:
    raise ValueError(name)


def _checked(model: type[Model], values: dict[str, Any], what: str) -> Model:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise WireError(f"{what}: {where}: {first['msg']}") from None
