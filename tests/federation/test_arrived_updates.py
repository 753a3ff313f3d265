"""Where updates wait for the rule: the same tensors from memory and from disk, and no more memory than is said."""

import weakref
from pathlib import Path

import pytest
import torch

from fedtune3d._utils.errors import DamagedFileError
from fedtune3d._utils.folders import RoundsPaths
from fedtune3d.federation import arrived_updates
from fedtune3d.federation.arrived_updates import ArrivedUpdates
from fedtune3d.federation.messages import Answer
from fedtune3d.federation.tasks.train import TrainAnswer
from fedtune3d.training.scores import Scores

SCORES = Scores(auc=0.5, balanced_accuracy=0.5, loss=1.0, examples=4, why=None)


def answer(site: str, value: float) -> Answer:
    """An answer whose update has 40 bytes."""
    state = {"w": torch.full((9,), value), "b": torch.tensor(value)}
    return Answer(site, TrainAnswer(examples=7, people=6, loss=0.1, received=SCORES), {"state": state})


@pytest.mark.parametrize(("sites", "on_disk"), [("AB", ""), ("ABC", "ABC"), ("ABCD", "ABCD")])
def test_updates_are_in_memory_if_all_will_fit_and_on_disk_if_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sites: str, on_disk: str
) -> None:
    monkeypatch.setattr(arrived_updates, "KEPT_BYTES", 100)
    paths = RoundsPaths(tmp_path)
    arrived = ArrivedUpdates(paths, len(sites))
    updates = [arrived.add(answer(site, float(value))) for value, site in enumerate(sites, 1)]
    written = sorted(paths.spool.iterdir()) if paths.spool.exists() else []
    assert [path.name for path in written] == [f"{site}.state.safetensors" for site in on_disk]
    for value, update in enumerate(updates, 1):
        assert update.examples == 7
        loaded = update.load("state")
        assert torch.equal(loaded["w"], torch.full((9,), float(value)))
        assert torch.equal(loaded["b"], torch.tensor(float(value)))


def test_updates_on_disk_do_not_stay_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrived_updates, "KEPT_BYTES", 100)
    arrived = ArrivedUpdates(RoundsPaths(tmp_path), 4)
    for site in "ABCD":
        one = answer(site, 1.0)
        tensor = weakref.ref(one.parts["state"]["w"])
        update = arrived.add(one)
        del one
        assert tensor() is None
        assert update.site == site


@pytest.mark.parametrize("kept", [0, 100])
def test_memory_and_disk_give_one_order_and_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int) -> None:
    monkeypatch.setattr(arrived_updates, "KEPT_BYTES", kept)
    state = {"w": torch.arange(6.0).reshape(2, 3).T, "b": torch.tensor(1.0), "a": torch.arange(3, dtype=torch.int64)}
    sent = Answer("A", answer("A", 0.0).payload, {"state": state})
    loaded = ArrivedUpdates(RoundsPaths(tmp_path), 1).add(sent).load("state")
    assert list(loaded) == ["w", "b", "a"]
    assert all(tensor.is_contiguous() and tensor.data_ptr() % 64 == 0 for tensor in loaded.values())
    assert all(torch.equal(loaded[name], tensor) for name, tensor in state.items())


@pytest.mark.parametrize("kept", [0, 100])
def test_a_rule_that_changes_what_it_loaded_changes_nothing_for_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    monkeypatch.setattr(arrived_updates, "KEPT_BYTES", kept)
    update = ArrivedUpdates(RoundsPaths(tmp_path), 1).add(answer("A", 2.0))
    update.load("state")["w"].zero_()
    assert torch.equal(update.load("state")["w"], torch.full((9,), 2.0))


def test_updates_of_a_killed_process_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrived_updates, "KEPT_BYTES", 0)
    paths = RoundsPaths(tmp_path)
    ArrivedUpdates(paths, 1).add(answer("A", 1.0))
    assert paths.update("A", "state").exists()
    ArrivedUpdates(paths, 1)
    assert not paths.spool.exists()


def test_a_flipped_bit_on_disk_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrived_updates, "KEPT_BYTES", 0)
    paths = RoundsPaths(tmp_path)
    update = ArrivedUpdates(paths, 1).add(answer("A", 1.0))
    content = bytearray(paths.update("A", "state").read_bytes())
    content[-1] ^= 1
    paths.update("A", "state").write_bytes(content)
    with pytest.raises(DamagedFileError, match="checksum"):
        update.load("state")
