"""Prepare the scans of one or more sites in parallel, keeping those that are done."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import psutil
from joblib import cpu_count

from fedtune3d._utils.errors import InputError, ScanError
from fedtune3d._utils.files import disk_of, require_free_space, sweep_partials
from fedtune3d._utils.memory import keep_freed_memory
from fedtune3d._utils.process_pool import run_in_processes
from fedtune3d.cohorts.records import ScanRecord
from fedtune3d.cohorts.warnings import ReadingWarning
from fedtune3d.preparation.prepare_scan import is_slow
from fedtune3d.preparation.recognition import read_declared
from fedtune3d.preparation.store import PreparedStore

MAX_PROCESS_BYTES = 2_000_000_000
"""More than a process that prepares a head with its skull was seen to take (`benchmarks/preparation.py`)."""
MIN_QUICK_SCANS = 32
"""Fewer extracted brains are prepared faster here than in processes that must first import everything."""


@dataclass(frozen=True)
class PreparedCohort:
    """The prepared files of usable records, the bad records with reasons, both in the given order, and warnings."""

    paths: dict[ScanRecord, Path]
    bad: list[tuple[ScanRecord, str]]
    warnings: tuple[ReadingWarning, ...] = ()


@dataclass(frozen=True)
class ToPrepare:
    """Scans to prepare, and the store that keeps them."""

    records: Sequence[ScanRecord]
    store: PreparedStore


OnBadScan = Literal["stop", "skip"]
Outcome = Path | ScanError | None
Missing = tuple[int, ScanRecord]
"""A scan to prepare, and the number of its cohort."""


def prepare_all(
    records: Sequence[ScanRecord],
    store: PreparedStore,
    workers: int = 1,
    on_bad_scan: OnBadScan = "stop",
    progress: Callable[[int, int], None] | None = None,
) -> PreparedCohort:
    """Prepare the scans that are missing in a store; as `prepare_together`."""
    (prepared,) = prepare_together([ToPrepare(records, store)], workers, on_bad_scan, progress)
    return prepared


def prepare_together(
    cohorts: Sequence[ToPrepare],
    workers: int | None = None,
    on_bad_scan: OnBadScan = "stop",
    progress: Callable[[int, int], None] | None = None,
) -> list[PreparedCohort]:
    """Prepare the scans of several cohorts in parallel single-threaded processes, which take scans of any cohort.

    Their number does not affect voxels.

    Args:
        cohorts: Scans and the stores that keep them. A second call continues where the first one stopped.
        workers: Number of processes; 1 means this process, None `default_processes`.
        on_bad_scan: ``stop`` raises at a bad scan; ``skip`` leaves bad scans out.
        progress: Called with (scans done, total scans) of all cohorts: once at the start, then after each scan.

    Returns:
        The prepared scans of each cohort.

    Raises:
        ScanError: For the first bad scan in the order of the cohorts and records, if `on_bad_scan` is ``stop``; the
            message begins with the name of its site.
        InputError: If the disk has too little space, or a site has no usable scan.
    """
    outcomes = [{record: _outcome(cohort.store.find, record) for record in cohort.records} for cohort in cohorts]
    missing = [(number, record) for number, known in enumerate(outcomes) for record in known if known[record] is None]
    for known in outcomes:
        _raise_if_bad(known, on_bad_scan)
    _require_space(cohorts, missing)
    for cohort in cohorts:
        sweep_partials(cohort.store.folder)
    total = sum(map(len, outcomes))
    advance = progress or (lambda done, total: None)
    advance(total - len(missing), total)
    prepared = _prepare(cohorts, missing, workers)
    for done, (number, record, outcome) in enumerate(prepared, start=total - len(missing) + 1):
        _raise_if_bad({record: outcome}, on_bad_scan)
        outcomes[number][record] = outcome
        advance(done, total)
    return [_collect(known) for known in outcomes]


def default_processes() -> int:
    """Return the number of processes that prepare scans unless a user says otherwise: all cores, if memory allows.

    Cores that this process may not use (affinity, cgroups) are not counted.
    """
    cores: int = cpu_count()
    affordable: int = psutil.virtual_memory().available // MAX_PROCESS_BYTES
    return max(1, min(cores, affordable))


def processes_for(cohorts: Sequence[ToPrepare]) -> int:
    """Return the number of processes that `prepare_together` starts for these scans, if none of them is prepared yet.

    1 means that they are prepared in the calling process.
    """
    missing = [(number, record) for number, cohort in enumerate(cohorts) for record in cohort.records]
    return _count_processes(cohorts, missing, default_processes())


def use_one_thread() -> None:
    """Let SimpleITK use one thread in this process, as one of several that prepare scans."""
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)


def _outcome(function: Callable[[ScanRecord], Path | None], record: ScanRecord) -> Outcome:
    try:
        return function(record)
    except ScanError as error:
        return error


def _raise_if_bad(outcomes: Mapping[ScanRecord, Outcome], on_bad_scan: OnBadScan) -> None:
    """Raise the first bad scan's error with the name of its site, if bad scans are not left out."""
    for record, outcome in outcomes.items():
        if isinstance(outcome, ScanError) and on_bad_scan == "stop":
            raise ScanError(f"site {record.site}: {outcome}") from outcome


def _require_space(cohorts: Sequence[ToPrepare], missing: Sequence[Missing]) -> None:
    """Raise `InputError` if a disk has too little space for the missing scans of all cohorts whose stores it holds."""
    by_disk: dict[int, list[PreparedStore]] = defaultdict(list)
    for number, _ in missing:
        store = cohorts[number].store
        by_disk[disk_of(store.folder)].append(store)
    for stores in by_disk.values():
        needed = sum(store.entry_bytes for store in stores)
        require_free_space(stores[0].folder, needed, f"preparing {len(stores)} scans")


def _prepare(
    cohorts: Sequence[ToPrepare], missing: Sequence[Missing], workers: int | None
) -> Iterator[tuple[int, ScanRecord, Outcome]]:
    """Yield each missing scan with its outcome, in order, as they are prepared."""
    processes = _count_processes(cohorts, missing, default_processes() if workers is None else workers)
    if processes == 1:
        keep_freed_memory()
        yield from ((number, record, _outcome(cohorts[number].store.get, record)) for number, record in missing)
        return
    jobs = [partial(_outcome, cohorts[number].store.get, record) for number, record in missing]
    outcomes = run_in_processes(jobs, processes, use_one_thread, "prepares scans")
    with closing(outcomes):
        for (number, record), outcome in zip(missing, outcomes, strict=True):
            yield number, record, outcome


def _count_processes(cohorts: Sequence[ToPrepare], missing: Sequence[Missing], workers: int) -> int:
    """Return the number of processes worth starting, by the number of scans and the first missing one per cohort."""
    if min(workers, len(missing)) < 2:
        return 1
    if len(missing) < MIN_QUICK_SCANS:
        first = dict(reversed(missing))
        if not any(is_slow(record.path, cohorts[number].store.settings) for number, record in first.items()):
            return 1
    return min(workers, len(missing))


def _collect(outcomes: Mapping[ScanRecord, Outcome]) -> PreparedCohort:
    paths = {record: outcome for record, outcome in outcomes.items() if isinstance(outcome, Path)}
    bad = [(record, str(outcome)) for record, outcome in outcomes.items() if isinstance(outcome, ScanError)]
    _require_usable_sites(paths, bad)
    return PreparedCohort(paths, bad, _sidecar_warnings(paths))


def _sidecar_warnings(records: Iterable[ScanRecord]) -> tuple[ReadingWarning, ...]:
    problems = [problem for record in records if (problem := read_declared(record.path).sidecar_problem)]
    if not problems:
        return ()
    count = "1 sidecar was" if len(problems) == 1 else f"{len(problems)} sidecars were"
    return (ReadingWarning("sidecars ignored", len(problems), f"{count} ignored; {problems[0]}"),)


def _require_usable_sites(paths: Mapping[ScanRecord, Path], bad: Sequence[tuple[ScanRecord, str]]) -> None:
    usable = {record.site for record in paths}
    for record, why in bad:
        if record.site not in usable:
            count = sum(other.site == record.site for other, _ in bad)
            raise InputError(f"site {record.site}: expected a usable scan, but all {count} are bad; the first: {why}")
