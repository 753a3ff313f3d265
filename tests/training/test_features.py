import dataclasses
import multiprocessing
import os
import shutil
import time
from collections import namedtuple
from pathlib import Path

import pytest
import torch

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.seeds import torch_rng
from fedtune3d._utils.state_dicts import load_state
from fedtune3d.training.cache_entries import SECONDS_PER_DAY
from fedtune3d.training.features import FeatureCache, FeatureKey, read_features

KEY = FeatureKey("tiny", 1, "", "scan0", "0", "abc", 3, "float32", "cpu AVX512", 2, 1, "2.13.0")


def keys(count: int) -> list[FeatureKey]:
    return [dataclasses.replace(KEY, scan=f"scan{number}") for number in range(count)]


def drawn(key: FeatureKey) -> torch.Tensor:
    return torch.randn(4, 2, 2, 2, generator=torch_rng(key.scan, key.view))


def refuse(key: FeatureKey) -> torch.Tensor:
    raise AssertionError(f"{key.scan} was computed again")


def test_features_are_computed_once_and_read_back_as_float16(tmp_path: Path) -> None:
    files = FeatureCache(tmp_path).features(keys(3), drawn)
    again = FeatureCache(tmp_path).features(keys(3)[::-1], refuse)
    assert again == files[::-1]
    expected = torch.stack([drawn(key).half().float() for key in keys(3)])
    assert torch.equal(read_features(files), expected)


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(FeatureKey)])
def test_every_cause_makes_another_entry(field: str) -> None:
    value = getattr(KEY, field)
    other = dataclasses.replace(KEY, **{field: value + 1 if isinstance(value, int) else value + "x"})
    assert other.digest() != KEY.digest()


def test_a_repeated_key_is_computed_once(tmp_path: Path) -> None:
    calls = []

    def compute(key: FeatureKey) -> torch.Tensor:
        calls.append(key)
        return drawn(key)

    files = FeatureCache(tmp_path).features([KEY, KEY], compute)
    assert len(calls) == 1
    assert files[0] == files[1]


def test_what_overflows_float16_is_kept_in_float32(tmp_path: Path) -> None:
    (file,) = FeatureCache(tmp_path).features([KEY], lambda key: torch.tensor([1.0, 7e4]))
    assert load_state(file)["features"].dtype == torch.float32
    assert read_features([file]).tolist() == [[1.0, 7e4]]


def test_features_that_are_not_finite_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="prepared scan scan0, view 0: expected finite features"):
        FeatureCache(tmp_path).features([KEY], lambda key: torch.tensor([float("inf")]))
    assert FeatureCache(tmp_path).list_entries() == []


def damage_by_cutting(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-3])


def damage_by_a_flipped_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def damage_by_emptying(file: Path) -> None:
    file.write_bytes(b"")


@pytest.mark.parametrize("spoil", [damage_by_cutting, damage_by_a_flipped_bit, damage_by_emptying])
def test_a_damaged_entry_is_found_and_made_anew(tmp_path: Path, spoil: object) -> None:
    files = FeatureCache(tmp_path).features(keys(2), drawn)
    whole = files[1].read_bytes()
    spoil(files[1])  # type: ignore[operator]
    assert list(FeatureCache(tmp_path).check()) == [files[1]]
    made = []
    FeatureCache(tmp_path).features(keys(2), lambda key: made.append(key.scan) or drawn(key))  # type: ignore[func-returns-value]
    assert made == ["scan1"]
    assert files[1].read_bytes() == whole


def test_too_little_room_is_said_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**6, 10**6 - 100, 100))
    with pytest.raises(InputError, match=r"the feature cache \(3 scans to encode\) needs"):
        FeatureCache(tmp_path).features(keys(3), drawn)
    assert FeatureCache(tmp_path).list_entries() == []


def _encode_slowly(folder: Path, log: Path, barrier: object) -> None:
    def compute(key: FeatureKey) -> torch.Tensor:
        with log.open("a") as file:
            file.write(f"{os.getpid()} {key.scan}\n")
        time.sleep(0.05)
        return drawn(key)

    barrier.wait()  # type: ignore[attr-defined]
    FeatureCache(folder).features(keys(12), compute)


def test_two_processes_share_the_work_and_do_nothing_twice(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(2)
    log = tmp_path / "log"
    workers = [context.Process(target=_encode_slowly, args=(tmp_path / "cache", log, barrier)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    lines = [line.split() for line in log.read_text().splitlines()]
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert sorted(scan for _, scan in lines) == sorted(key.scan for key in keys(12))
    assert len({process for process, _ in lines}) == 2
    assert FeatureCache(tmp_path / "cache").check() == {}


def test_entries_are_listed_with_their_causes(tmp_path: Path) -> None:
    FeatureCache(tmp_path).features(keys(2), drawn)
    entries = FeatureCache(tmp_path).list_entries()
    assert sorted(entry.causes["scan"] for entry in entries) == ["scan0", "scan1"]
    assert all(entry.size_bytes == entry.path.stat().st_size for entry in entries)


def test_prune_removes_the_damaged_the_leftover_and_the_unused(tmp_path: Path) -> None:
    files = FeatureCache(tmp_path).features(keys(3), drawn)
    damage_by_cutting(files[0])
    long_ago = time.time() - 10 * SECONDS_PER_DAY
    os.utime(files[1], (long_ago, long_ago))
    leftover = files[2].with_name(".0.partial." + files[2].name)
    leftover.write_bytes(b"half")
    os.utime(leftover, (long_ago, long_ago))
    assert set(FeatureCache(tmp_path).prune(unused_days=7)) == {files[0], files[1], leftover}
    assert [entry.path for entry in FeatureCache(tmp_path).list_entries()] == [files[2]]


def test_asking_for_an_entry_keeps_it_from_pruning(tmp_path: Path) -> None:
    (file,) = FeatureCache(tmp_path).features([KEY], drawn)
    long_ago = time.time() - 10 * SECONDS_PER_DAY
    os.utime(file, (long_ago, long_ago))
    FeatureCache(tmp_path).features([KEY], refuse)
    assert FeatureCache(tmp_path).prune(unused_days=7) == []


def test_an_absent_folder_is_an_empty_cache(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path / "absent")
    assert (cache.list_entries(), cache.check(), cache.prune(1)) == ([], {}, [])
