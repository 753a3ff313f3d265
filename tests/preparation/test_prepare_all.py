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

import pytest
from scan_records import make_record
from waiting import wait_until

from fedtune3d._utils.errors import InputError, ScanError
from fedtune3d.cohorts.records import ScanRecord
from fedtune3d.preparation.prepare_all import prepare_all
from fedtune3d.preparation.store import PreparedStore

SaveBrain = Callable[..., Path]


def make_cohort(save_brain: SaveBrain, phantom: SimpleNamespace) -> list[ScanRecord]:
    """Three scans of site A, of which the middle one is bad, and one of site B."""
    paths = [
        save_brain(f"sub-0{i}_T1w.nii.gz", phantom.image(axes=axes)) for i, axes in enumerate(("RAS", "LPS", "LIA"))
    ]
    bad = save_brain("sub-09_T1w.nii.gz")
    bad.write_bytes(bad.read_bytes()[:2000])
    first, second, third, fourth = paths[0], bad, paths[1], paths[2]
    return [make_record(first), make_record(second), make_record(third), make_record(fourth, "B")]


def test_any_number_of_workers_gives_the_same_files(
    save_brain: SaveBrain, phantom: SimpleNamespace, tmp_path: Path
) -> None:
    records = make_cohort(save_brain, phantom)
    alone, together = PreparedStore(tmp_path / "alone"), PreparedStore(tmp_path / "together")
    seen: list[tuple[int, int]] = []
    one = prepare_all(records, alone, workers=1, on_bad_scan="skip", progress=lambda *counts: seen.append(counts))
    two = prepare_all(records, together, workers=2, on_bad_scan="skip")
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert list(one.paths) == list(two.paths) == [records[0], records[2], records[3]]
    assert one.bad == two.bad
    assert [record.participant_id for record, _ in one.bad] == ["sub-09"]
    assert "sub-09_T1w.nii.gz: expected a whole NIfTI file" in one.bad[0][1]
    for record in one.paths:
        assert one.paths[record].read_bytes() == two.paths[record].read_bytes()
        assert one.paths[record].name == two.paths[record].name
    assert {file.name for file in alone.folder.iterdir()} == {file.name for file in together.folder.iterdir()}


def test_a_bad_scan_stops_the_batch_and_what_was_made_stays(
    save_brain: SaveBrain, phantom: SimpleNamespace, tmp_path: Path
) -> None:
    records = make_cohort(save_brain, phantom)
    store = PreparedStore(tmp_path / "store")
    with pytest.raises(ScanError, match=r"sub-09_T1w.nii.gz: expected a whole NIfTI file"):
        prepare_all(records, store)
    assert store.find(records[0]) is not None
    assert store.find(records[3]) is None
    records[0].path.unlink()
    with pytest.raises(ScanError, match=r"sub-00_T1w.nii.gz: expected a readable scan; No such file"):
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
        "from fedtune3d.preparation.prepare_all import prepare_all\n"
        "from fedtune3d.preparation.store import PreparedStore\n"
        "records = pickle.loads(bytes.fromhex(sys.argv[1]))\n"
        "done = prepare_all(records, PreparedStore(Path(sys.argv[2])), workers=2, on_bad_scan='skip')\n"
        "print(len(done.paths), len(done.bad))\n"
    )
    command = [sys.executable, str(script), pickle.dumps(records).hex(), str(tmp_path / "store")]
    result = subprocess.run(command, capture_output=True, text=True, env=os.environ, timeout=120)
    assert result.stdout.split() == ["3", "1"], result.stderr
