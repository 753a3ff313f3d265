import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from joblib.externals.loky import ProcessPoolExecutor
from scan_records import make_record
from waiting import wait_until

from fedtune3d._utils.errors import InputError, ScanError
from fedtune3d.cohorts.records import ScanRecord
from fedtune3d.preparation.prepare_all import (
    MIN_QUICK_SCANS,
    ToPrepare,
    _count_processes,
    default_processes,
    prepare_all,
    prepare_together,
)
from fedtune3d.preparation.store import PreparedStore

SaveBrain = Callable[..., Path]
WAYS = ("together", "alone")


def make_cohort(save_brain: SaveBrain, phantom: SimpleNamespace) -> list[ScanRecord]:
    """Three scans of site A, of which the middle one is bad, and one of site B."""
    paths = [
        save_brain(f"sub-0{i}_T1w.nii.gz", phantom.image(axes=axes)) for i, axes in enumerate(("RAS", "LPS", "LIA"))
    ]
    bad = save_brain("sub-09_T1w.nii.gz")
    bad.write_bytes(bad.read_bytes()[:2000])
    first, second, third, fourth = paths[0], bad, paths[1], paths[2]
    return [make_record(first), make_record(second), make_record(third), make_record(fourth, "B")]


def test_a_bad_scan_stops_the_batch_and_what_was_made_stays(
    save_brain: SaveBrain, phantom: SimpleNamespace, tmp_path: Path
) -> None:
    records = make_cohort(save_brain, phantom)
    store = PreparedStore(tmp_path / "store")
    with pytest.raises(ScanError, match=r"^site A: /.*sub-09_T1w.nii.gz: expected a whole NIfTI file"):
        prepare_all(records, store)
    assert store.find(records[0]) is not None
    assert store.find(records[3]) is None
    records[0].path.unlink()
    with pytest.raises(ScanError, match=r"^site A: /.*sub-00_T1w.nii.gz: expected a readable scan; No such file"):
        prepare_all(records, store)
    kept = prepare_all(records, store, on_bad_scan="skip")
    assert [record.participant_id for record, _ in kept.bad] == ["sub-00", "sub-09"]


def test_a_site_without_a_usable_scan_is_refused(save_brain: SaveBrain, tmp_path: Path) -> None:
    good, bad = make_record(save_brain()), make_record(save_brain("sub-02_T1w.nii.gz"), "B")
    bad.path.write_bytes(b"")
    with pytest.raises(InputError, match=r"site B: expected a usable scan, but all 1 are bad; the first: .*sub-02_T1w"):
        prepare_all([good, bad], PreparedStore(tmp_path / "store"), on_bad_scan="skip")


def test_a_full_disk_is_noticed_before_anything_is_written(
    save_brain: SaveBrain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = make_record(save_brain())
    store = PreparedStore(tmp_path / "store")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=4_000_000))
    with pytest.raises(InputError, match="store: preparing 1 scans needs 4 MB of disk, but 4 MB are free"):
        prepare_all([record], store)
    assert not store.folder.exists()
    monkeypatch.undo()
    store.get(record)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=0))
    assert list(prepare_all([record], store).paths) == [record]  # nothing is missing


def test_the_space_of_all_sites_on_a_disk_is_added(
    save_brain: SaveBrain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two scans of 4.3 MB each do not fit into 6 MB, though each would."""
    cohorts = [ToPrepare([make_record(save_brain(), site)], PreparedStore(tmp_path / site)) for site in "AB"]
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=6_000_000))
    with pytest.raises(InputError, match="A: preparing 2 scans needs 9 MB of disk, but 6 MB are free"):
        prepare_together(cohorts)
    assert not (tmp_path / "A").exists()


@pytest.fixture
def pools(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The pools that were started: the number of processes, and of scans that they were given."""
    seen = []

    class Counted(ProcessPoolExecutor):
        def __init__(self, processes: int, **options: Any) -> None:
            super().__init__(processes, **options)
            seen.append((processes, 0))

        def submit(self, *job: Any) -> Any:
            seen[-1] = (seen[-1][0], seen[-1][1] + 1)
            return super().submit(*job)

    monkeypatch.setattr("fedtune3d._utils.process_pool.ProcessPoolExecutor", Counted)
    return seen


@pytest.mark.ci
def test_one_pool_prepares_the_scans_of_all_sites_to_the_same_files(
    save_brain: SaveBrain,
    phantom: SimpleNamespace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    pools: list[tuple[int, int]],
) -> None:
    """Sites of three scans and of one: two processes for all four, in the bits of one site after the other in one."""
    monkeypatch.setattr("fedtune3d.preparation.prepare_all.MIN_QUICK_SCANS", 4)
    records = make_cohort(save_brain, phantom)
    of_site = {"A": records[:3], "B": records[3:]}
    cohorts = [ToPrepare(own, PreparedStore(tmp_path / "together" / site)) for site, own in of_site.items()]
    seen: list[tuple[int, int]] = []
    together = prepare_together(cohorts, 2, "skip", lambda *counts: seen.append(counts))
    assert pools == [(2, 4)]
    assert seen == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]
    for (site, own), prepared in zip(of_site.items(), together, strict=True):
        alone = prepare_all(own, PreparedStore(tmp_path / "alone" / site), 1, "skip")
        assert list(prepared.paths) == list(alone.paths) == [record for record in own if record != records[1]]
        assert prepared.bad == alone.bad
        for record, path in prepared.paths.items():
            assert path.parent == tmp_path / "together" / site
            assert path.name == alone.paths[record].name
        files = [{path.name: path.read_bytes() for path in (tmp_path / way / site).iterdir()} for way in WAYS]
        assert files[0] == files[1]
    (bad,) = together[0].bad
    assert bad[0].participant_id == "sub-09"
    assert "sub-09_T1w.nii.gz: expected a whole NIfTI file" in bad[1]
    prepare_together(cohorts, 2, "skip", lambda *counts: seen.append(counts))
    assert seen[5:] == [(3, 4), (4, 4)]  # what is there is counted at once
    assert len(pools) == 1


def test_processes_are_started_for_many_scans_or_slow_ones(save_brain: SaveBrain, tmp_path: Path) -> None:
    quick, store = make_record(save_brain()), PreparedStore(tmp_path / "store")
    slow = make_record(save_brain("sub-02_T1w.nii.gz"), "B")
    slow.path.with_name("sub-02_T1w.json").write_text('{"SkullStripped": false}')
    cohorts = [ToPrepare([quick], store), ToPrepare([slow], store)]

    def processes(*missing: tuple[int, ScanRecord]) -> int:
        return _count_processes(cohorts, missing, 4)

    assert processes() == processes((0, quick)) == processes((1, slow)) == 1
    assert processes((0, quick), (0, quick)) == 1
    assert processes((0, quick), (1, slow)) == 2
    assert processes(*[(0, quick)] * MIN_QUICK_SCANS) == 4
    assert _count_processes(cohorts, [(0, quick), (1, slow)], 1) == 1


@pytest.mark.parametrize(("cores", "free_gb", "expected"), [(8, 64, 8), (8, 5, 2), (8, 1, 1), (1, 64, 1)])
def test_as_many_processes_as_cores_and_memory_allow(
    monkeypatch: pytest.MonkeyPatch, cores: int, free_gb: int, expected: int
) -> None:
    monkeypatch.setattr("fedtune3d.preparation.prepare_all.cpu_count", lambda: cores)
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=free_gb * 10**9))
    assert default_processes() == expected


@pytest.mark.ci
def test_a_killed_preparation_goes_on_to_the_same_files(
    save_brain: SaveBrain, phantom: SimpleNamespace, tmp_path: Path
) -> None:
    axes = ("RAS", "LPS", "LIA", "PSR", "ASL")
    records = [make_record(save_brain(f"sub-0{i}_T1w.nii.gz", phantom.image(axes=code))) for i, code in enumerate(axes)]
    undisturbed, disturbed = PreparedStore(tmp_path / "undisturbed"), PreparedStore(tmp_path / "disturbed")
    prepare_all(records, undisturbed)
    for pattern, count in ((".*.partial.*.npy", 1), ("[!.]*.npy", 2), (".*.partial.*.json", 1), ("[!.]*.json", 3)):
        prepare_until_killed(records, disturbed, pattern, count)
    prepare_all(records, disturbed)
    first, second = (
        {path.name: path.read_bytes() for path in store.folder.iterdir()} for store in (undisturbed, disturbed)
    )
    assert len(first) == 3 * len(axes)
    assert first == second


def prepare_until_killed(records: list[ScanRecord], store: PreparedStore, pattern: str, count: int) -> None:
    """Prepare in a process of its own, killed hard as soon as the store holds so many files of a pattern."""
    process = multiprocessing.get_context("fork").Process(target=prepare_all, args=(records, store))
    process.start()
    wait_until(
        lambda: not process.is_alive() or len(list(store.folder.glob(pattern))) >= count,
        f"{count} files {pattern}",
        pause_seconds=1e-4,
    )
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL


@pytest.mark.slow
def test_a_script_without_a_main_guard_may_use_workers(
    save_brain: SaveBrain, phantom: SimpleNamespace, tmp_path: Path
) -> None:
    records = make_cohort(save_brain, phantom)
    script = tmp_path / "script.py"
    script.write_text(
        "import pickle, sys\n"
        "from pathlib import Path\n"
        "from fedtune3d.preparation import prepare_all as module\n"
        "from fedtune3d.preparation.store import PreparedStore\n"
        "records = pickle.loads(bytes.fromhex(sys.argv[1]))\n"
        "module.MIN_QUICK_SCANS = 2\n"
        "done = module.prepare_all(records, PreparedStore(Path(sys.argv[2])), workers=2, on_bad_scan='skip')\n"
        "print(len(done.paths), len(done.bad))\n"
    )
    command = [sys.executable, str(script), pickle.dumps(records).hex(), str(tmp_path / "store")]
    result = subprocess.run(command, capture_output=True, text=True, env=os.environ, timeout=120)
    assert result.stdout.split() == ["3", "1"], result.stderr
