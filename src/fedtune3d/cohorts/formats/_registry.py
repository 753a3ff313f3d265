"""Registry of the formats: every module in this folder without a leading underscore is one."""

import importlib
import pkgutil
from pathlib import Path
from typing import Protocol, cast

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.names import unknown_name
from fedtune3d.cohorts import formats
from fedtune3d.cohorts.folders import Scans
from fedtune3d.cohorts.people import People

AUTO = "auto"
_FALLBACK = "bids"


class Format(Protocol):
    """The interface of the modules in this folder."""

    PATTERN: str
    """Pattern of the paths at which scans are expected, for messages: ``sub-*/[ses-*/]anat/*_T1w.nii[.gz]``."""

    def recognises(self, root: Path) -> bool:
        """Return whether a folder or file is recognisably of this format, by a quick check."""

    def read(self, root: Path, participants: Path | None) -> tuple[Scans, People]:
        """Read the scans and the tables of people. Raises `InputError`.

        Args:
            root: The folder or file.
            participants: The participants table, if the experiment names one.
        """


def format_names() -> tuple[str, ...]:
    """Return the names of all formats, sorted: the modules in this folder."""
    names = (module.name for module in pkgutil.iter_modules(formats.__path__))
    return tuple(sorted(name for name in names if not name.startswith("_")))


def load_format(name: str) -> Format:
    """Load a format by name. Raises `InputError` if there is none."""
    if name not in (names := format_names()):
        raise InputError(f"{unknown_name('format', name, names)}; docs/data.md says how to add one")
    return cast(Format, importlib.import_module(f"{formats.__name__}.{name}"))


def recognise(root: Path) -> str:
    """Return the name of the format that recognises a folder or file; unrecognised folders count as raw BIDS.

    Raises:
        InputError: If there is no such file or folder, no format recognises a file, or several recognise `root`.
    """
    if not root.exists():
        raise InputError(f"{root}: expected a BIDS or CAPS folder or a .tsv of paths, found nothing; check the path")
    matching = [name for name in format_names() if load_format(name).recognises(root)]
    if len(matching) > 1:
        raise InputError(
            f"{root}: expected one format, but it may be {' or '.join(matching)}; write one as the site's key `format`"
        )
    if matching:
        return matching[0]
    if not root.is_dir():
        raise InputError(f"{root}: expected a BIDS or CAPS folder or a .tsv of paths, found a file {root.suffix}")
    return _FALLBACK
