"""The scanner that a scan is from, as its BIDS sidecar names it."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from fedtune3d._utils.errors import InputError


def scanner_of(scan: Path, root: Path) -> str | None:
    """Manufacturer, model and field strength, such as ``Siemens Prisma 3 T``; None where no sidecar names any.

    Sidecars of the folders from the BIDS root down to the scan's count, the nearer ones more (BIDS inheritance).

    Raises:
        InputError: When a sidecar is no JSON object; names the file.
    """
    found: dict[str, Any] = {}
    entities = set(_stem(scan).split("_")[:-1])
    folders = [folder for folder in scan.parents if folder.is_relative_to(root)]
    for folder in reversed(folders):
        for path in sorted(folder.glob("*T1w.json"), key=lambda path: path.name.count("_")):
            if set(path.stem.split("_")[:-1]) <= entities:
                found |= _read(path)
    parts = [str(found[key]).strip() for key in ("Manufacturer", "ManufacturersModelName") if found.get(key)]
    strength = found.get("MagneticFieldStrength")
    if isinstance(strength, (int, float)):
        parts.append(f"{strength:g} T")
    return " ".join(parts) or None


def _stem(scan: Path) -> str:
    return scan.name.removesuffix(".gz").removesuffix(".nii")


@cache
def _read(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: expected a JSON object, {error}; mend or remove the sidecar") from error
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected a JSON object, got {type(values).__name__}; mend or remove the sidecar")
    return values
