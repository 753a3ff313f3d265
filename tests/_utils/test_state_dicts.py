"""State dicts on disk: equal bytes from equal states, and no damage unnoticed."""

import random
import stat
import struct
import zlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from fedtune3d._utils.errors import DamagedFileError, InputError
from fedtune3d._utils.state_dicts import (
    load_info,
    load_safetensors,
    load_state,
    peek_info,
    save_safetensors,
    save_state,
    state_crc32,
)

STATE = {"head.weight": torch.arange(12.0).reshape(3, 4), "head.steps": torch.tensor(3)}
INFO = {"round": 2, "best": {"mean_auc": 0.75}, "versions": {"A": 1}}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save_state(tmp_path / "last.safetensors", STATE, INFO)
    return tmp_path / "last.safetensors"


def test_a_state_comes_back(path: Path) -> None:
    assert load_info(path) == INFO == peek_info(path)
    for name, tensor in load_state(path).items():
        assert torch.equal(tensor, STATE[name])


def test_equal_states_give_equal_bytes(path: Path, tmp_path: Path) -> None:
    save_state(tmp_path / "again.safetensors", dict(reversed(STATE.items())), dict(reversed(INFO.items())))
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()


def test_every_flipped_bit_is_noticed(path: Path) -> None:
    content, generator = path.read_bytes(), random.Random(1)
    for _ in range(300):
        damaged = bytearray(content)
        damaged[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
        path.write_bytes(damaged)
        for read in (load_state, load_info):
            with pytest.raises(DamagedFileError, match=r"last\.safetensors: the file "):
                read(path)


def test_a_cut_file_is_noticed(path: Path) -> None:
    content = path.read_bytes()
    for length in (0, 5, 100, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(DamagedFileError):
            load_state(path)


def test_no_file_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_state(tmp_path / "none.safetensors")


def test_a_file_of_others_has_no_checksum(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "theirs.safetensors")
    assert load_safetensors(tmp_path / "theirs.safetensors").keys() == STATE.keys()
    with pytest.raises(DamagedFileError, match="has lost its checksum"):
        load_state(tmp_path / "theirs.safetensors")


def test_a_colleague_can_read_it(path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_the_crc_is_that_of_names_types_shapes_and_bytes() -> None:
    text = b"steps torch.int64 ()\n" + bytes([3] + 7 * [0]) + b"weight torch.float32 (2,)\n" + struct.pack("<2f", 1, -2)
    state = {"weight": torch.tensor([1.0, -2.0]), "steps": torch.tensor(3)}
    assert state_crc32(state) == state_crc32(dict(reversed(state.items()))) == zlib.crc32(text)
    assert state_crc32(state) != state_crc32(state | {"weight": state["weight"].reshape(2, 1)})


def test_a_state_without_a_checksum_comes_back(tmp_path: Path) -> None:
    save_safetensors(tmp_path / "plain.safetensors", {"columns": STATE["head.weight"].T})
    loaded = load_safetensors(tmp_path / "plain.safetensors")
    assert torch.equal(loaded["columns"], STATE["head.weight"].T)
