"""Steps already applied to a scan, according to BIDS: its name, its sidecar, or a mask next to it."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from fedtune3d._utils.errors import raise_if_machine
from fedtune3d._utils.input_files import read_json_object
from fedtune3d._utils.json_values import Json

Step = Literal["brain", "bias", "register"]
STEPS: tuple[Step, ...] = get_args(Step)
_BRAIN = {"brain", "skullstripped", "brainextracted"}
_UNBIASED = {"preproc", "crop"}  # fMRIPrep's and sMRIPrep's desc-preproc, CAPS t1-linear's desc-Crop


@dataclass(frozen=True)
class Declared:
    """The declarations of a data set about a scan.

    Attributes:
        done: Steps already applied.
        has_skull: Whether its sidecar says that the skull is present (``SkullStripped: false``).
        brain_mask: The brain mask next to it, as written by fMRIPrep, or None.
        sidecar_problem: Why its sidecar cannot be read; it is ignored then.
    """

    done: frozenset[Step]
    has_skull: bool = False
    brain_mask: Path | None = None
    sidecar_problem: str | None = None


def read_declared(path: Path) -> Declared:
    """Read what BIDS or CAPS declares about the scan at `path`.

    ``desc-brain`` and ``SkullStripped: true`` in a sidecar mean an extracted brain; ``desc-preproc`` and CAPS'
    ``t1_linear`` a corrected bias field; ``space-MNI152…`` (CAPS t1-linear, fMRIPrep) and CAPS' ``t1_linear`` a
    registered scan. A sidecar that cannot be read is ignored.
    """
    stem = re.sub(r"\.nii(\.gz)?$", "", path.name)
    entities = dict(part.split("-", 1) for part in stem.split("_") if "-" in part)
    described = entities.get("desc", "").lower()
    linear = path.parent.name == "t1_linear"
    sidecar, problem = _read_sidecar(path.with_name(f"{stem}.json"))
    stripped = sidecar.get("SkullStripped")
    done: set[Step] = set()
    if described in _BRAIN or stripped is True:
        done.add("brain")
    if described in _UNBIASED or linear:
        done.add("bias")
    if entities.get("space", "").startswith("MNI152") or linear:
        done.add("register")
    return Declared(frozenset(done), stripped is False, _find_brain_mask(path, stem), problem)


def _read_sidecar(path: Path) -> tuple[dict[str, Json], str | None]:
    """Return the fields of a sidecar, and why it cannot be read; empty if there is none. Raises `StorageError`."""
    try:
        return read_json_object(path), None
    except FileNotFoundError:
        return {}, None
    except (OSError, ValueError) as error:
        raise_if_machine(error, path)
        return {}, f"{path.name}: {error}"


def _find_brain_mask(path: Path, stem: str) -> Path | None:
    kept = [part for part in stem.split("_")[:-1] if not part.startswith("desc-")]
    ending = path.name.removeprefix(stem)
    mask = path.with_name("_".join([*kept, "desc-brain_mask"]) + ending)
    return mask if mask.is_file() else None
