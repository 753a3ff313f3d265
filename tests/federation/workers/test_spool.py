"""Messages between the processes of a run."""

from pathlib import Path

import pytest
import torch
from held_sites import SCORES

from fedtune3d._utils.errors import DamagedFileError
from fedtune3d.federation.messages import Answer, Task
from fedtune3d.federation.tasks.score import Score, ScoreAnswer
from fedtune3d.federation.workers.spool import Spool

STATE = {
    "half": torch.arange(3, dtype=torch.float16),
    "double": torch.tensor(0.1, dtype=torch.float64),
    "words": torch.tensor([2**62, -1]),
    "bits": torch.tensor([[1, 255]], dtype=torch.uint8),
    "transposed": torch.arange(6.0).reshape(2, 3).T,
    "none": torch.empty(0, 3),
}


def test_a_message_comes_back_with_equal_bits(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    answer = Answer("A", ScoreAnswer(received=SCORES), {"state": STATE, "empty": {}})
    packed = spool.pack(answer)
    assert packed.message.parts == {}
    opened = packed.open()
    packed.discard()
    assert list((tmp_path / "spool").iterdir()) == []
    assert (opened.site, opened.payload) == ("A", answer.payload)
    assert opened.parts.keys() == {"state", "empty"}
    assert list(opened.parts["state"]) == list(STATE)
    for name, tensor in STATE.items():
        assert opened.parts["state"][name].dtype == tensor.dtype
        assert torch.equal(opened.parts["state"][name], tensor)


def test_a_state_of_several_messages_is_written_once(tmp_path: Path) -> None:
    spool, files = Spool(tmp_path / "spool"), {}
    own = {"control": torch.ones(2)}
    first = spool.pack(Task(Score(), 1, {"state": STATE}), files)
    second = spool.pack(Task(Score(), 1, {"state": STATE, "own": own}), files)
    assert first.files["state"] == second.files["state"]
    assert len(list((tmp_path / "spool").iterdir())) == 2
    spool.remove()
    assert not (tmp_path / "spool").exists()


def test_a_flipped_bit_on_the_way_is_found(tmp_path: Path) -> None:
    packed = Spool(tmp_path).pack(Task(Score(), 1, {"state": STATE}))
    path = packed.files["state"]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedFileError, match="does not match its checksum"):
        packed.open()
