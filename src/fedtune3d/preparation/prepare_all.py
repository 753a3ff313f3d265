"""Prepare the scans of one or more sites in parallel, keeping those that are done."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from joblib.externals.loky import ProcessPoolExecutor

from fedtune3d._utils.errors import InputError, ScanError
from fedtune3d._utils.files import require_free_space, sweep_partials
from fedtune3d.cohorts.records import ScanRecord
from fedtune3d.cohorts.warnings import ReadingWarning
from fedtune3d.preparation.recognition import read_declared
from fedtune3d.preparation.store import PreparedStore


@dataclass(frozen=True)
class PreparedCohort:
    """The prepared files of usable records, the bad records with reasons, both in the given order, and warnings."""

    paths: dict[ScanRecord, Path]
    bad: list[tuple[ScanRecord, str]]
    warnings: tuple[ReadingWarning, ...] = ()


def prepare_all(
    records: Sequence[ScanRecord],
    store: PreparedStore,
    workers: int = 1,
    on_bad_scan: Literal["stop", "skip"] = "stop",
    progress: Callable[[int, int], None] | None = None,
) -> PreparedCohort:
    """Prepare scans missing in the store, in parallel single-threaded processes; their number does not affect voxels.

    Args:
        records: Scans of one or more sites.
        store: The store of prepared scans. A second call continues where the first one stopped.
        workers: Number of processes; 1 means this process.
        on_bad_scan: ``stop`` raises at a bad scan; ``skip`` leaves bad scans out.
        progress: Called with (scans done, total scans).

    Raises:
        ScanError: For the first bad scan in the order of the records, if `on_bad_scan` is ``stop``.
        InputError: If the disk has too little space, or a site has no usable scan.
    """
    outcomes = {record: _outcome(store.find, record) for record in records}
    missing = [record for record, outcome in outcomes.items() if outcome is None]
    require_free_space(store.folder, len(missing) * store.entry_bytes, f"preparing {len(missing)} scans")
    sweep_partials(store.folder)
    for done, (record, outcome) in enumerate(_walk(store, outcomes, missing, workers), start=1):
        if isinstance(outcome, ScanError) and on_bad_scan == "stop":
            raise outcome
        outcomes[record] = outcome
        if progress is not None:
            progress(done, len(outcomes))
    paths = {record: outcome for record, outcome in outcomes.items() if isinstance(outcome, Path)}
    bad = [(record, str(outcome)) for record, outcome in outcomes.items() if isinstance(outcome, ScanError)]
    _require_usable_sites(paths, bad)
    return PreparedCohort(paths, bad, _sidecar_warnings(paths))


Outcome = Path | ScanError | None


def _walk(
    store: PreparedStore, known: dict[ScanRecord, Outcome], missing: Sequence[ScanRecord], workers: int
) -> Iterator[tuple[ScanRecord, Outcome]]:
    """Yield every record with its outcome: first the known ones, then the missing ones, as they are prepared."""
    yield from [(record, outcome) for record, outcome in known.items() if outcome is not None]
    if workers == 1 or len(missing) < 2:
        yield from ((record, _outcome(store.get, record)) for record in missing)
        return
    # Unlike multiprocessing's, these processes do not run the caller's script again, so it needs no __main__ guard.
    with ProcessPoolExecutor(min(workers, len(missing)), initializer=use_one_thread) as pool:
        futures = [pool.submit(_outcome, store.get, record) for record in missing]
        try:
            for record, future in zip(missing, futures, strict=True):
                yield record, future.result()
        finally:
            for future in futures:
                future.cancel()


def _outcome(function: Callable[[ScanRecord], Path | None], record: ScanRecord) -> Outcome:
    try:
        return function(record)
    except ScanError as error:
        return error


def use_one_thread() -> None:
    """Let SimpleITK use one thread in this process, as one of several that prepare scans."""
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)


def _sidecar_warnings(records: Iterable[ScanRecord]) -> tuple[ReadingWarning, ...]:
    problems = [problem for record in records if (problem := read_declared(record.path).sidecar_problem)]
    if not problems:
        return ()
    count = "1 sidecar was" if len(problems) == 1 else f"{len(problems)} sidecars were"
    return (ReadingWarning("sidecars ignored", len(problems), f"{count} ignored; {problems[0]}"),)


def _require_usable_sites(paths: dict[ScanRecord, Path], bad: list[tuple[ScanRecord, str]]) -> None:
    usable = {record.site for record in paths}
    for record, why in bad:
        if record.site not in usable:
            count = sum(other.site == record.site for other, _ in bad)
            raise InputError(f"site {record.site}: expected a usable scan, but all {count} are bad; the first: {why}")
