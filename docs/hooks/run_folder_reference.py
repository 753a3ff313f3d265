"""The reference of the files that the program writes, made from the only classes that know their names."""

import inspect
from collections.abc import Iterator
from pathlib import Path

from fedtune3d._utils.folders import CacheFolder, CrossValidationFolder, ExportFolder, RunFolder, StudyFolder
from fedtune3d._utils.folders.site import SiteFolder

NAME = "NAME"
"""Stands for the name of a site, a trial or a scan in a path."""


def run_folder_reference() -> str:
    """Return one table per folder: file, and what it holds."""
    folder = Path()
    tables = {
        "A run": [*_rows(RunFolder(folder)), *_rows(RunFolder(folder).rounds)],
        "A site's half of a run: `sites/NAME/`": _rows(SiteFolder(folder)),
        "A cross-validation": _rows(CrossValidationFolder(folder)),
        "A study": _rows(StudyFolder(folder)),
        "An export": [*_rows(ExportFolder(folder)), *_rows(ExportFolder(folder).adapter)],
        "The cache: `cache/NAME/`": _rows(CacheFolder(folder).site("")),
    }
    return "\n\n".join(part for title, rows in tables.items() for part in (f"### {title}", _table(dict(rows))))


def _rows(paths: object) -> Iterator[tuple[str, str]]:
    """Yield path and meaning of each property of a folder's class, and of each method that takes names."""
    for name, member in inspect.getmembers(type(paths)):
        if isinstance(member, property):
            yield from _row(getattr(paths, name), member.fget)
        elif inspect.isfunction(member) and _takes_names(member):
            wanted = [parameter for parameter in inspect.signature(member).parameters if parameter != "self"]
            yield from _row(member(paths, *[NAME for _ in wanted]), member)


def _takes_names(method: object) -> bool:
    parameters = [value for name, value in inspect.signature(method).parameters.items() if name != "self"]
    return bool(parameters) and all(parameter.annotation is str for parameter in parameters)


def _row(path: object, described: object) -> Iterator[tuple[str, str]]:
    where = getattr(path, "path", path)
    if isinstance(where, Path) and where not in (Path(), Path(NAME)):
        shown = where.as_posix() if where.suffix else f"{where.as_posix()}/"
        yield shown, " ".join(inspect.cleandoc(described.__doc__ or "").split("\n\n")[0].split())


def _table(rows: dict[str, str]) -> str:
    lines = [f"| `{path}` | {meaning} |" for path, meaning in sorted(rows.items())]
    return "\n".join(["| File | What it holds |", "| --- | --- |", *lines])
