"""What a BIDS folder says of itself in dataset_description.json."""

import json
from pathlib import Path

from fedtune3d.errors import InputError


def is_simulated(root: Path) -> bool:
    """Whether the folder's description has the key ``Simulated``, as `simulate` writes it; False where there is none.

    Raises:
        InputError: If the file is there but no JSON object.
    """
    path = root / "dataset_description.json"
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return False
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: expected a JSON object; {error}") from None
    if not isinstance(description, dict):
        raise InputError(f"{path}: expected a JSON object, got {type(description).__name__}")
    return description.get("Simulated") is True
