"""`fedtune3d cache` over a cache that a run left."""

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from fedtune3d.cli.app import main
from fedtune3d.cohorts.records import ScanRecord
from fedtune3d.preparation.store import PreparedStore
from fedtune3d.training.features import FeatureCache, FeatureKey

LONG_AGO = time.time() - 40 * 86_400


@pytest.fixture(scope="module")
def made(small_experiment: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with two prepared scans of site A and the features of three scans of site B."""
    cache = tmp_path_factory.mktemp("made") / "cache"
    store = PreparedStore(cache / "A" / "prepared")
    for number in range(2):
        path = small_experiment.folder / "A" / f"sub-{number:02d}" / "anat" / f"sub-{number:02d}_T1w.nii.gz"
        store.get(ScanRecord("A", f"sub-{number:02d}", "", path, number, f"sub-{number:02d}", False, None, None, ""))
    keys = [
        FeatureKey("tiny", 1, "", f"scan{number}", "0", "ab", 3, "float32", "cpu", 2, 1, "2") for number in range(3)
    ]
    FeatureCache(cache / "B" / "features").features(keys, lambda key: torch.full((384, 8, 8, 8), 0.5))
    return cache


@pytest.fixture
def cache(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "cache"))


def scans(cache: Path) -> list[Path]:
    return sorted((cache / "A" / "prepared").glob("[!.]*.npy"))


def features(cache: Path) -> list[Path]:
    return sorted((cache / "B" / "features").rglob("*.safetensors"))


def told(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[str, int]:
    """What a command prints, and its exit code."""
    code = 0
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as error:
        code = int(error.code or 0)
    captured = capsys.readouterr()
    return captured.out + captured.err, code


def test_list_counts_entries_and_bytes(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, code = told(capsys, "cache", "list", cache)
    assert code == 0
    rows = [line.split() for line in text.splitlines()]
    prepared = sum(path.stat().st_size for path in (cache / "A" / "prepared").iterdir()) / 1e6
    encoded = sum(path.stat().st_size for path in features(cache)) / 1e6
    today = time.strftime("%Y-%m-%d")
    assert [row[:5] for row in rows if row[:1] in (["A"], ["B"])] == [
        ["A", "prepared", "2", f"{prepared:.1f}", today],
        ["B", "features", "3", f"{encoded:.1f}", today],
    ]
    assert ["All", f"{prepared + encoded:.1f}"] in rows
    assert "damaged" not in text


def test_the_experiment_file_names_its_cache(
    cache: Path, small_experiment: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = small_experiment.write(tmp_path / "run", cache=str(cache))
    assert told(capsys, "cache", "list", path) == told(capsys, "cache", "list", cache)


def spoil(cache: Path) -> list[Path]:
    """A prepared scan cut short, one whose .json is no JSON, features cut short, and features with one bit flipped."""
    cut, unexplained = scans(cache)
    cut.write_bytes(cut.read_bytes()[:-1000])
    unexplained.with_suffix(".json").write_text("{")
    short, flipped, _ = features(cache)
    short.write_bytes(short.read_bytes()[:-1000])
    content = bytearray(flipped.read_bytes())
    content[-1] ^= 1
    flipped.write_bytes(content)
    return [cut, unexplained, short, flipped]


def test_list_names_what_its_header_shows_damaged(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, unexplained, short, _ = spoil(cache)
    text, _ = told(capsys, "cache", "list", cache)
    assert [line for line in text.splitlines() if "damaged" in line] == [f"damaged: {unexplained}", f"damaged: {short}"]


def test_check_finds_every_damage_and_says_so_by_its_code(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, "cache", "check", cache)[1] == 0
    damaged = spoil(cache)
    text, code = told(capsys, "cache", "check", cache)
    assert code == 1
    lines = [line for line in text.splitlines() if line.startswith("damaged: ")]
    assert len(lines) == 4
    for path, line in zip(damaged, lines, strict=True):
        assert line.startswith(f"damaged: {path}: ")
    assert "4 damaged; `cache prune` removes them" in text


def test_prune_removes_the_damaged_and_keeps_the_rest(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = features(cache)[2]
    spoil(cache)
    text, code = told(capsys, "cache", "prune", cache)
    assert code == 0
    assert "A: 2 of prepared removed" in text
    assert "B: 2 of features removed" in text
    assert list((cache / "A" / "prepared").iterdir()) == []
    assert features(cache) == [whole]
    assert "nothing is damaged" in told(capsys, "cache", "check", cache)[0]


def test_prune_removes_what_was_not_used_for_so_many_days(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, kept = scans(cache)
    for path in (old, old.with_suffix(".json"), kept):  # the time of the .json counts: a run renews it
        os.utime(path, (LONG_AGO, LONG_AGO))
    os.utime(features(cache)[0], (LONG_AGO, LONG_AGO))
    told(capsys, "cache", "prune", cache, "--unused-days", 41)
    assert (len(scans(cache)), len(features(cache))) == (2, 3)
    told(capsys, "cache", "prune", cache, "--unused-days", 30)
    assert scans(cache) == [kept]
    assert len(features(cache)) == 2


def test_asking_for_a_prepared_scan_renews_it(made: Path, small_experiment: Any, tmp_path: Path) -> None:
    cache = Path(shutil.copytree(made, tmp_path / "cache"))
    for path in (cache / "A" / "prepared").iterdir():
        os.utime(path, (LONG_AGO, LONG_AGO))
    scan = small_experiment.folder / "A" / "sub-00" / "anat" / "sub-00_T1w.nii.gz"
    record = ScanRecord("A", "sub-00", "", scan, 0, "sub-00", False, None, None, "")
    found = PreparedStore(cache / "A" / "prepared").find(record)
    assert found is not None
    renewed = [path for path in scans(cache) if path.with_suffix(".json").stat().st_mtime > LONG_AGO + 1]
    assert renewed == [found]


def test_what_a_killed_process_left_goes_but_not_what_one_is_writing(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = cache / "A" / "prepared"
    left, fresh, begun = folder / ".ab.partial.x.npy", folder / ".cd.partial.y.npy", folder / "begun.npy"
    for path in (left, fresh, begun):
        path.write_bytes(b"half")
    os.utime(left, (LONG_AGO, LONG_AGO))
    (folder / "orphan.json").write_text(json.dumps({"causes": {}}))
    told(capsys, "cache", "prune", cache)
    assert not left.exists()
    assert not (folder / "orphan.json").exists()
    assert fresh.exists()
    assert begun.exists()
    assert len(scans(cache)) == 3


def test_another_folder_is_no_cache(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "papers").mkdir()
    text, code = told(capsys, "cache", "prune", tmp_path)
    assert code == 2
    assert "expected a cache, with folders SITE/prepared and SITE/features" in text
    text, code = told(capsys, "cache", "list", tmp_path / "no.yaml")
    assert code == 2
    assert "no.yaml: no such file" in text
