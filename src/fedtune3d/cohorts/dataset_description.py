"""What a BIDS folder says of itself in dataset_description.json."""

import json
from pathlib import Path
from typing import Any

from fedtune3d._utils.errors import InputError


def is_simulated(root: Path) -> bool:
    """Whether the folder's description has the key ``Simulated``, as `simulate` writes it; False where there is none.

    Raises:
        InputError: If the file is there but no JSON object.
    """
    return read_description(root).get("Simulated") is True


def is_derivative(root: Path) -> bool:
    """Whether the folder calls itself a derivative; early ones have ``PipelineDescription``. Raises `InputError`."""
    description = read_description(root)
    return description.get("DatasetType") == "derivative" or "PipelineDescription" in description


def read_description(root: Path) -> dict[str, Any]:
    """The description of a folder, or of a table's folder; empty where there is none.

    Raises:
        InputError: If the file is there but no JSON object.
    """
    path = (root.parent if root.is_file() else root) / "dataset_description.json"
    try:
        description = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: expected a JSON object; {error}") from None
    if not isinstance(description, dict):
        raise InputError(f"{path}: expected a JSON object, got {type(description).__name__}")
    return description
