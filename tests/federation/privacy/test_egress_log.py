"""The egress manifest lists all that left a site, so that it can be checked against what arrived."""

import hashlib
import json
from pathlib import Path

import pytest
import torch

from fedtune3d._utils.errors import DamagedFileError
from fedtune3d.federation.messages import LOCAL, Answer, Task
from fedtune3d.federation.privacy.egress_log import EgressManifest, SentTensor
from fedtune3d.federation.tasks.train import Train, TrainAnswer

TASK = Task(Train(rule="fedavg", step={}), round=2, namespace=LOCAL)
ANSWER = Answer("A", TrainAnswer(examples=4, people=4, loss=0.5), {"state": {"weight": torch.tensor([[1.0, 2.0]])}})


def test_a_line_names_every_tensor_and_value(tmp_path: Path) -> None:
    manifest = EgressManifest(tmp_path / "egress.jsonl")
    manifest.record("ab12", TASK, ANSWER)
    (entry,) = manifest.entries()
    assert (entry.experiment, entry.kind, entry.round, entry.namespace) == ("ab12", "train", 2, "local")
    content = torch.tensor([[1.0, 2.0]]).numpy().tobytes()
    assert entry.tensors == (SentTensor("state/weight", "float32", (1, 2), 8, hashlib.sha256(content).hexdigest()),)
    assert entry.values is not None
    assert entry.values.json["examples"] == 4
    text = json.dumps(entry.values.json)
    assert entry.values.bytes == len(text)
    assert entry.values.sha256 == hashlib.sha256(text.encode()).hexdigest()


def test_faults_stand_in_the_order_in_which_they_left(tmp_path: Path) -> None:
    manifest = EgressManifest(tmp_path / "egress.jsonl")
    manifest.record_fault("ab12", "policy.hours is 19:00-07:00, but it is 12:00 at the site")
    manifest.record("ab12", TASK, ANSWER)
    assert [entry.kind for entry in EgressManifest(manifest.path).entries()] == ["fault", "train"]


def test_a_line_that_was_removed_is_noticed(tmp_path: Path) -> None:
    manifest = EgressManifest(tmp_path / "egress.jsonl")
    for reason in ("one", "two", "three"):
        manifest.record_fault("ab12", reason)
    lines = manifest.path.read_bytes().splitlines(keepends=True)
    manifest.path.write_bytes(lines[0] + lines[2])
    with pytest.raises(DamagedFileError, match="line 2"):
        manifest.entries()
