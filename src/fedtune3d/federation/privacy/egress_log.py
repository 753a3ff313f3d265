"""The egress manifest: a file at the site that lists, per message, all that left it."""

import hashlib
import json
from datetime import datetime
from pathlib import Path
from typing import Any

from fedtune3d._utils.ledgers import append_line, read_lines
from fedtune3d._utils.state_dicts import tensor_view
from fedtune3d.federation.messages import Answer, Task
from fedtune3d.federation.serialisation import flat_state, to_text


class EgressManifest:
    """`egress.jsonl`: one line a message, on disk before the message leaves.

    A line holds when, for which experiment (its hash), kind of task, round and namespace; for each tensor its name,
    dtype, shape, bytes and SHA-256; for the JSON values their bytes, SHA-256 and the values themselves, to be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def record(self, experiment: str, task: Task, answer: Answer) -> None:
        """Write down an answer that is about to leave."""
        text = to_text(answer.payload)
        line = {
            **_head(experiment),
            "kind": task.kind,
            "round": task.round,
            "namespace": task.namespace,
            "tensors": [
                {
                    "name": name,
                    "dtype": str(tensor.dtype).removeprefix("torch."),
                    "shape": list(tensor.shape),
                    **_digest(tensor_view(tensor)),
                }
                for name, tensor in flat_state(answer.parts).items()
            ],
            "values": {**_digest(text.encode()), "json": json.loads(text)},
        }
        append_line(self.path, line)

    def record_fault(self, experiment: str, reason: str) -> None:
        """Write down the line that is about to leave in an answer's place."""
        append_line(self.path, {**_head(experiment), "kind": "fault", "fault": reason})

    def lines(self) -> list[dict[str, Any]]:
        """All that left so far, oldest first."""
        return read_lines(self.path)


def _head(experiment: str) -> dict[str, Any]:
    return {"time": datetime.now().astimezone().isoformat(timespec="seconds"), "experiment": experiment}


def _digest(content: bytes | memoryview) -> dict[str, Any]:
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
