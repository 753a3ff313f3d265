"""A release is on the disk before it can leave, and is repeated but never drawn again, whatever dies in between."""

import os
import signal
from pathlib import Path

import pytest
import torch

from fedtune3d._utils.errors import DamagedFileError
from fedtune3d.config.privacy import DifferentialPrivacy
from fedtune3d.federation.privacy.differential_privacy.accounting import least_noise
from fedtune3d.federation.privacy.differential_privacy.spending import Budget, Spending, read_spending
from fedtune3d.federation.privacy.refusal import Refusal
from fedtune3d.federation.site.private_rounds import PrivateRounds
from fedtune3d.training.draws import system_draws
from fedtune3d.training.local import LocalRound, TrainingResult
from fedtune3d.training.private import Protection, SampledGaussian

PRIVACY = DifferentialPrivacy(3.0, 1e-3, 1.0, "full_batch")
NOISE = least_noise(3.0, 1e-3, 1.0, 3)
Trained = tuple[TrainingResult, dict[str, torch.Tensor]]


def rounds(folder: Path, *people: str) -> PrivateRounds:
    """As after a restart."""
    spending = Spending(folder / "privacy.jsonl", "A", "e", PRIVACY, Budget(None, 1e-3))
    return PrivateRounds(
        spending, folder / "releases", PRIVACY, SampledGaussian(NOISE, 1.0, 1), people or ("p",), system_draws
    )


def in_round(number: int) -> LocalRound:
    return LocalRound(1, "A", number, 3)


def draw(protection: Protection) -> Trained:
    """Noise as an update, with a part of its own."""
    state, part = protection.draws.normal(4).float(), protection.draws.normal(2)
    return TrainingResult(None, 7, 1, 0.5, {"control_change": {"w": part}}), {"w": state}


def never(protection: Protection) -> Trained:
    raise AssertionError("drawn again")


def die(protection: Protection) -> Trained:
    raise OSError("the disk is full")


def require_equal(first: Trained, second: Trained) -> None:
    assert torch.equal(first[1]["w"], second[1]["w"])
    assert torch.equal(first[0].parts["control_change"]["w"], second[0].parts["control_change"]["w"])
    assert (first[0].loss, first[0].examples, first[0].steps) == (second[0].loss, second[0].examples, second[0].steps)


def test_a_release_is_repeated_after_a_restart(tmp_path: Path) -> None:
    first = rounds(tmp_path).release(in_round(1), "c" * 64, draw)
    require_equal(first, rounds(tmp_path).release(in_round(1), "c" * 64, never))
    assert [line.what for line in read_spending(tmp_path / "privacy.jsonl")] == ["charged", "kept"]
    assert rounds(tmp_path).spent().noise_multiplier == NOISE


def test_what_died_before_it_was_kept_is_drawn_without_another_charge(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        rounds(tmp_path).release(in_round(1), "c" * 64, die)
    rounds(tmp_path).release(in_round(1), "c" * 64, draw)
    assert [line.what for line in read_spending(tmp_path / "privacy.jsonl")] == ["charged", "kept"]


def test_a_kill_between_storing_and_noting_repeats_what_was_stored(tmp_path: Path) -> None:
    """A real kill: the file is there, and the line that it may have left is not."""
    site = rounds(tmp_path)
    child = os.fork()
    if child == 0:
        site.spending.note_kept = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign]
        site.release(in_round(1), "c" * 64, draw)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert [line.what for line in read_spending(tmp_path / "privacy.jsonl")] == ["charged"]
    first = rounds(tmp_path).release(in_round(1), "c" * 64, never)
    require_equal(first, rounds(tmp_path).release(in_round(1), "c" * 64, never))
    assert rounds(tmp_path).spending.is_kept(1, "c" * 64)


def test_what_may_have_left_and_is_gone_is_not_drawn_again(tmp_path: Path) -> None:
    rounds(tmp_path).release(in_round(1), "c" * 64, draw)
    (path,) = (tmp_path / "releases").iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(DamagedFileError):
        rounds(tmp_path).release(in_round(1), "c" * 64, never)
    path.unlink()
    with pytest.raises(Refusal, match="what was released in round 1 is no longer kept, and is not drawn again"):
        rounds(tmp_path).release(in_round(1), "c" * 64, never)


def test_another_task_of_the_same_round_is_refused(tmp_path: Path) -> None:
    rounds(tmp_path).release(in_round(1), "c" * 64, draw)
    with pytest.raises(Refusal, match="has trained in round 1 already"):
        rounds(tmp_path).release(in_round(1), "d" * 64, never)


def test_a_release_with_somebody_who_has_withdrawn_since_is_not_repeated(tmp_path: Path) -> None:
    rounds(tmp_path, "p", "q").release(in_round(1), "c" * 64, draw)
    with pytest.raises(Refusal, match="what was released in round 1 is no longer kept, and is not drawn again"):
        rounds(tmp_path, "p").release(in_round(1), "c" * 64, never)
    assert not list((tmp_path / "releases").iterdir())


def test_older_releases_are_deleted_once_a_later_one_is_kept(tmp_path: Path) -> None:
    for number in (1, 2):
        rounds(tmp_path).release(in_round(number), "c" * 64, draw)
    (path,) = (tmp_path / "releases").iterdir()
    assert path.name.startswith("release-00002-")
