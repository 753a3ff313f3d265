"""Read the scanner of a scan from its BIDS sidecar."""

from functools import cache
from pathlib import Path

from fedtune3d._utils.errors import raise_if_machine
from fedtune3d._utils.input_files import read_json_object
from fedtune3d._utils.json_values import Json


def scanner_of(scan: Path, root: Path) -> str | None:
    """Read manufacturer, model and field strength, such as ``Siemens Prisma 3 T``; None if no sidecar has any.

    Sidecars in all folders from the BIDS root down to the scan's are used; nearer ones take precedence (BIDS
    inheritance). A sidecar that is damaged or may not be read counts as empty.

    Raises:
        StorageError: If this machine fails to read a sidecar.
    """
    fields: dict[str, Json] = {}
    entities = set(_stem(scan).split("_")[:-1])
    folders = [folder for folder in scan.parents if folder.is_relative_to(root)]
    for folder in reversed(folders):
        for path in sorted(folder.glob("*T1w.json"), key=lambda path: path.name.count("_")):
            if set(path.stem.split("_")[:-1]) <= entities:
                fields |= _read(path)
    parts = [str(fields[key]).strip() for key in ("Manufacturer", "ManufacturersModelName") if fields.get(key)]
    strength = fields.get("MagneticFieldStrength")
    if isinstance(strength, (int, float)):
        parts.append(f"{strength:g} T")
    return " ".join(parts) or None


def _stem(scan: Path) -> str:
    return scan.name.removesuffix(".gz").removesuffix(".nii")


@cache
def _read(path: Path) -> dict[str, Json]:
    try:
        return read_json_object(path)
    except (OSError, ValueError) as error:
        raise_if_machine(error, path)
        return {}  # the scanner is optional; the preparation reports such sidecars
