"""Read dataset_description.json, with which a BIDS folder describes itself."""

from pathlib import Path

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.input_files import read_json_object
from fedtune3d._utils.json_values import Json


def is_simulated(root: Path) -> bool:
    """Return whether the description has ``Simulated: true``, as `simulate` writes it; False if there is none.

    Raises:
        InputError: If the file is not a JSON object.
    """
    return read_description(root).get("Simulated") is True


def is_derivative(root: Path) -> bool:
    """Return whether the folder declares itself a derivative (``PipelineDescription`` in older data sets).

    Raises:
        InputError: If the file is not a JSON object.
    """
    description = read_description(root)
    return description.get("DatasetType") == "derivative" or "PipelineDescription" in description


def read_description(root: Path) -> dict[str, Json]:
    """Read the description of a folder, or of a table's folder; empty if there is none.

    Raises:
        InputError: If the file is not a JSON object.
    """
    path = (root.parent if root.is_file() else root) / "dataset_description.json"
    try:
        return read_json_object(path)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: {error}") from None
