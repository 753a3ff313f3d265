"""Tasks and answers as Flower messages: tensors as raw bytes, everything else as JSON, nothing pickled.

A message has two records. `tensors` holds one array per tensor, named ``part/name``, with the tensor's bytes as in
memory. `about` holds strings: the header and the JSON values. Every message is checked here before it is used.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, TypeVar

import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.foreign_text import one_line
from fedtune3d._utils.state_dicts import State, tensor_bytes
from fedtune3d.federation.messages import Answer, Fault, RefusedAnswer, Task, parts_bytes
from fedtune3d.federation.privacy.declarations import require_declared_parts
from fedtune3d.federation.serialisation import flat_state, from_text, to_text
from fedtune3d.federation.tasks.registry import task_kind

FORMAT = 2
SERIALIZED = "fedtune3d.raw"
TENSORS, ABOUT = "tensors", "about"
HEAD, BODY = "head", "body"
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
MAX_JSON_BYTES = 64 * 1024 * 1024
MAX_HEAD_BYTES = 64 * 1024
MAX_TENSORS = 100_000
MAX_DIMENSIONS = 8
ALLOWANCE_BYTES = 64 * 1024 * 1024
"""For the tensors of an answer beyond four times those of its task: class sums, covariances, maps."""
Model = TypeVar("Model", bound=BaseModel)


class WireError(ValueError):
    """A malformed message; the text is one line and quotes nothing but names."""


@dataclass(frozen=True)
class Occasion:
    """The experiment that a task belongs to, so that both sides can check that they run the same one.

    Attributes:
        experiment: The resolved experiment, without paths.
        sha256: Its hash.
        weights_sha256: Hash of the encoder's weights; None if they are not read from a file.
    """

    experiment: dict[str, JsonValue]
    sha256: str
    weights_sha256: str | None


class TensorCache:
    """Arrays of tensors that several messages carry, created once; must be discarded before the tensors."""

    def __init__(self) -> None:
        self._arrays: dict[int, Array] = {}

    def array(self, tensor: torch.Tensor) -> Array:
        """Return the array of a tensor."""
        if id(tensor) not in self._arrays:
            self._arrays[id(tensor)] = _array(tensor)
        return self._arrays[id(tensor)]


def pack_task(task: Task, occasion: Occasion, array: Callable[[torch.Tensor], Array]) -> RecordDict:
    """Pack a task as a message to a site."""
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
    return _records(task.parts, {HEAD: json.dumps(head, allow_nan=False), BODY: to_text(task.instruction)}, array)


def unpack_task(records: RecordDict) -> tuple[Task, Occasion]:
    """Unpack the task of a message from the server. Raises `WireError`."""
    head = _read(_TaskHead, records, HEAD, "the task")
    try:
        kind = task_kind(head.kind)
    except InputError as error:
        raise WireError(str(error)) from None
    task = Task(
        _read(kind.instruction, records, BODY, f"the instruction of {head.kind}"),
        round=head.round,
        parts=_parts(records, head.parts, None),
        memory_version=head.memory_version,
        oldest_version=head.oldest_version,
        deadline_seconds=head.deadline_seconds,
        namespace=head.namespace,
    )
    return task, Occasion(head.experiment, head.experiment_sha256, head.weights_sha256)


def pack_answer(reply: Answer | Fault, sha256: str) -> RecordDict:
    """Pack an answer or a fault as a message to the server."""
    parts = reply.parts if isinstance(reply, Answer) else {}
    body = to_text(reply.payload) if isinstance(reply, Answer) else ""
    head = {
        "format": FORMAT,
        "site": reply.site,
        "experiment_sha256": sha256,
        "fault": reply.reason if isinstance(reply, Fault) else None,
        "parts": sorted(parts),
    }
    return _records(parts, {HEAD: json.dumps(head, allow_nan=False), BODY: body}, _array)


def unpack_answer(records: RecordDict, task: Task, site: str, sha256: str) -> Answer | Fault:
    """Unpack a site's answer; a `RefusedAnswer` if it is malformed or answers another task or experiment."""
    try:
        head = _read(_AnswerHead, records, HEAD, "the answer", MAX_HEAD_BYTES)
        if head.site != site:
            raise WireError(f"answered under the name {head.site}")
        if head.fault is not None:
            return Fault(site, one_line(head.fault))
        if head.experiment_sha256 != sha256:
            raise WireError("answered for another experiment; both sides need the same experiment file and fedtune3d")
        kind = task_kind(task.kind)
        payload = _read(kind.payload, records, BODY, f"the answer to {task.kind}", kind.max_json_bytes)
        from_task = 4 * parts_bytes(task.parts) + ALLOWANCE_BYTES
        parts = _parts(records, head.parts, from_task if kind.max_tensor_bytes is None else kind.max_tensor_bytes)
        try:
            require_declared_parts(f"the answer to {task.kind}", kind.parts, parts)
        except TypeError as error:
            raise WireError(str(error)) from None
        return Answer(site, payload, parts)
    except WireError as error:
        return RefusedAnswer(site, one_line(str(error)))
    except Exception as error:  # whatever a site sends must not stop the other sites
        return RefusedAnswer(site, f"the message is not a valid answer ({type(error).__name__})")


def site_of(records: RecordDict) -> str:
    """Read the name that a site claims; used only without authentication. Raises `WireError`."""
    return _read(_AnswerHead, records, HEAD, "the answer").site


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class _TaskHead(_Strict):
    format: Annotated[int, Field(ge=FORMAT, le=FORMAT)]
    experiment: dict[str, JsonValue]
    experiment_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    weights_sha256: str | None
    kind: str
    round: Annotated[int, Field(ge=0, le=10**9)]
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


def _records(
    parts: Mapping[str, State], about: Mapping[str, str], array: Callable[[torch.Tensor], Array]
) -> RecordDict:
    arrays = {name: array(tensor) for name, tensor in flat_state(parts).items()}
    return RecordDict({TENSORS: ArrayRecord(arrays), ABOUT: ConfigRecord(dict(about))})


def _array(tensor: torch.Tensor) -> Array:
    name = str(tensor.dtype).removeprefix("torch.")
    if name not in DTYPES:
        raise WireError(f"tensors of dtype {name} cannot be sent")
    return Array(dtype=name, shape=tuple(tensor.shape), stype=SERIALIZED, data=tensor_bytes(tensor))


def _parts(records: RecordDict, names: list[str], max_bytes: int | None) -> dict[str, State]:
    """Read the tensors, removing each from the message as it is read, so that a large state is not held twice."""
    parts: dict[str, State] = {name: {} for name in names}
    arrays = records.array_records.get(TENSORS)
    if arrays is None:
        raise WireError("the message holds no tensors")
    if len(arrays) > MAX_TENSORS:
        raise WireError(f"expected at most {MAX_TENSORS:,} tensors, got {len(arrays):,}")
    size = sum(len(array.data) for array in arrays.values())
    if max_bytes is not None and size > max_bytes:
        raise WireError(f"expected at most {max_bytes:,} bytes of tensors, got {size:,}")
    for name in list(arrays):
        part, _, inner = name.partition("/")
        if part not in parts:
            raise WireError(f"a tensor of a part that was not announced: {part!r}")
        parts[part][inner] = _tensor(name, arrays.pop(name))
    return parts


def _tensor(name: str, array: Array) -> torch.Tensor:
    dtype = DTYPES.get(array.dtype)
    if array.stype != SERIALIZED or dtype is None:
        raise WireError(f"{name}: expected raw bytes of a known dtype, got {array.stype!r} of {array.dtype!r}")
    if len(array.shape) > MAX_DIMENSIONS or any(
        isinstance(length, bool) or not isinstance(length, int) or not 0 <= length < 2**40 for length in array.shape
    ):
        raise WireError(f"{name}: not a valid shape")
    expected = math.prod(array.shape) * dtype.itemsize
    if len(array.data) != expected:
        raise WireError(f"{name}: expected {expected} bytes for shape {tuple(array.shape)}, got {len(array.data)}")
    if not expected:
        return torch.empty(array.shape, dtype=dtype)
    return torch.frombuffer(bytearray(array.data), dtype=dtype).reshape(array.shape)


def _read(model: type[Model], records: RecordDict, key: str, what: str, max_bytes: int = MAX_JSON_BYTES) -> Model:
    """Read the model under a key of the message. Raises `WireError`."""
    about = records.config_records.get(ABOUT)
    text = about.get(key) if about is not None else None
    if not isinstance(text, str):
        raise WireError(f"the message has no JSON under {key!r}")
    if len(text) > max_bytes:
        raise WireError(f"{what}: expected at most {max_bytes:,} bytes of JSON, got {len(text):,}")
    try:
        return from_text(model, text, what)
    except ValueError as error:
        raise WireError(str(error)) from None
