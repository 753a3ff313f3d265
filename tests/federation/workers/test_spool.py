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


def test_every_flipped_bit_on_the_way_is_found(tmp_path: Path) -> None:
    """Of the values, their names, types and shapes; a header that reads the same after a flip changes nothing."""
    packed = Spool(tmp_path).pack(Task(Score(), 1, {"state": STATE}))
    path = packed.files["state"].path
    content = path.read_bytes()
    values = sum(tensor.nbytes for tensor in STATE.values())
    for place in range(8 * len(content)):
        damaged = bytearray(content)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        try:
            opened = packed.open()
        except DamagedFileError:
            continue
        assert place < 8 * (len(content) - values)
        assert list(opened.parts["state"]) == list(STATE)
        for name, tensor in STATE.items():
            assert opened.parts["state"][name].dtype == tensor.dtype
            assert torch.equal(opened.parts["state"][name], tensor)


@pytest.mark.parametrize("length", [0, 5, 100, -1])
def test_a_file_that_is_cut_or_gone_is_found(tmp_path: Path, length: int) -> None:
    packed = Spool(tmp_path).pack(Task(Score(), 1, {"state": STATE}))
    path = packed.files["state"].path
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(DamagedFileError, match="cannot be read, so it is damaged; run again with --resume"):
        packed.open()
    packed.discard()
    with pytest.raises(DamagedFileError):
        packed.open()
