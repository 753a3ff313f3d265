"""Formats by name: every module in this folder without a leading underscore is one."""

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
    """The contract of a module in this folder."""

    PATTERN: str
    """Where scans are expected, for a message: ``sub-*/[ses-*/]anat/*_T1w.nii[.gz]``."""

    def recognises(self, root: Path) -> bool:
        """Whether a folder or file shows that it is of this format; a quick look."""

    def read(self, root: Path, participants: Path | None) -> tuple[Scans, People]:
        """Read the scans, and what the tables say of the people. Raises `InputError`.

        Args:
            root: The folder or file.
            participants: The table of participants, where the experiment names one.
        """


def format_names() -> tuple[str, ...]:
    """The names of all formats, sorted: the files in this folder."""
    names = (module.name for module in pkgutil.iter_modules(formats.__path__))
    return tuple(sorted(name for name in names if not name.startswith("_")))


def load_format(name: str) -> Format:
    """A format by its name. Raises `InputError` where there is none."""
    if name not in (names := format_names()):
        raise InputError(f"{unknown_name('format', name, names)}; docs/data.md says how to add one")
    return cast(Format, importlib.import_module(f"{formats.__name__}.{name}"))


def recognise(root: Path) -> str:
    """The name of the format that recognises a folder or file; a folder that none recognises is raw BIDS.

    Raises:
        InputError: If there is no such file or folder, no format for a file, or more than one for `root`.
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
