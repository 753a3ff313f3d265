"""Verify every file of a run, a study, a cache or a site, and say which damage can be repaired and how."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fedtune3d._utils.counted_ledgers import count_path, read_counted_lines
from fedtune3d._utils.errors import DamagedFileError, InputError
from fedtune3d._utils.files import PARTIAL, forget_verified
from fedtune3d._utils.folders import RoundsPaths, SiteFolder, SitePaths
from fedtune3d._utils.ledgers import read_lines
from fedtune3d._utils.locks import HOLDER, LOCK
from fedtune3d._utils.run_config import read_run_config
from fedtune3d._utils.sealed import CHECKSUMS, read_sealed_json, require_recorded
from fedtune3d._utils.state_dicts import load_state
from fedtune3d.federation.round_state import RoundsFolder
from fedtune3d.preparation.store import load_prepared

OTHERS = ("tensorboard", "mlflow", "flower", "locks")
"""Folders whose files are written by other programs, in their own formats."""

_COUNTED = (
    SiteFolder(Path()).egress.name,
    SitePaths(Path()).approvals.name,
    SitePaths(Path()).charges.name,
    SitePaths(Path()).spending.name,
)
AGAIN_BY_RUN = "run again with --resume: it is recreated"
AGAIN_BY_EVALUATION = "delete metrics.json and run again with --resume: the evaluation is repeated from the checkpoints"
AGAIN_BY_REPORT = "`fedtune3d report` writes it again"
LOST = "it cannot be recreated: restore the folder from a backup, or delete it and run the experiment again"


@dataclass(frozen=True)
class Damage:
    """A file whose content is not what was written.

    Attributes:
        path: The file.
        problem: What is wrong with it, in one line.
        remedy: What to do.
    """

    path: Path
    problem: str
    remedy: str


@dataclass(frozen=True)
class Verification:
    """The result of `verify_folder`.

    Attributes:
        checked: Number of files whose checksum was verified.
        unchecked: Number of files without a checksum, such as logs of other programs.
        damages: The damaged files, sorted by path.
    """

    checked: int
    unchecked: int
    damages: tuple[Damage, ...]


def verify_folder(folder: Path) -> Verification:
    """Read every byte of a folder and compare it with the checksums that the program keeps.

    Args:
        folder: A run folder, a study, a cache, or a site's folder.

    Raises:
        InputError: If there is no such folder.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give a run folder, a study, a cache or a site's folder")
    forget_verified()
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and _is_ours(path.relative_to(folder))]
    recorded = {path for ledger in files if ledger.name == CHECKSUMS for path in _recorded(ledger)}
    damages, checked = [], 0
    for path in files:
        check = require_recorded if path in recorded else _check_of(path)
        if check is None:
            continue
        checked += 1
        try:
            check(path)
        except InputError as error:
            damages.append(Damage(path, _problem(path, error), _remedy(path)))
    return Verification(checked, len(files) - checked, tuple(damages))


def _is_ours(path: Path) -> bool:
    return path.name not in (LOCK, HOLDER) and PARTIAL not in path.name and not set(path.parts) & set(OTHERS)


def _recorded(ledger: Path) -> Iterator[Path]:
    try:
        yield from (ledger.with_name(str(line["file"])) for line in read_lines(ledger))
    except DamagedFileError:
        return  # reported as the ledger's own damage


def _check_of(path: Path) -> Callable[[Path], object] | None:
    """Return the check of a file that contains its own checksum; None if it contains none."""
    if path.name == "config.yaml":
        return read_run_config
    if path.name == RoundsPaths(path.parent).ledger.name:
        return _check_rounds
    if path.name in _COUNTED:
        return _check_counted
    checks: dict[str, Callable[[Path], object]] = {
        ".safetensors": load_state,
        ".jsonl": read_lines,
        ".json": read_sealed_json,
        ".npy": load_prepared,
    }
    return checks.get(path.suffix)


def _check_rounds(ledger: Path) -> None:
    with _damage_of_others_left_out(ledger):
        RoundsFolder(ledger.parent).lines()


def _check_counted(ledger: Path) -> None:
    with _damage_of_others_left_out(ledger):
        read_counted_lines(ledger)


@contextmanager
def _damage_of_others_left_out(ledger: Path) -> Iterator[None]:
    """Leave out the damage of another file that counts the lines, and that is reported for itself."""
    try:
        yield
    except DamagedFileError as error:
        if error.path == ledger or not error.path.exists():
            raise


def _problem(path: Path, error: InputError) -> str:
    return f"the file {error.how}" if isinstance(error, DamagedFileError) else str(error).removeprefix(f"{path}: ")


def _remedy(path: Path) -> str:
    parts = set(path.parts)
    if parts & {"prepared", "features"}:
        return "the next run recreates it; `fedtune3d cache prune` removes it"
    if parts & {"spool", "spool-workers", "examples"}:
        return AGAIN_BY_RUN
    if parts & {"figures", "tables"} or path.suffix in (".html", ".svg", ".png"):
        return AGAIN_BY_REPORT
    lost = ("rounds.jsonl", "config.yaml", "splits.tsv", CHECKSUMS)
    if parts & {"checkpoints", "memory", "releases"} or path.name in lost:
        return LOST
    if any(path in (path.with_name(name), count_path(path.with_name(name))) for name in _COUNTED):
        return "the record of what the site allowed and sent is damaged: keep it, inform your data protection officer"
    return AGAIN_BY_EVALUATION
