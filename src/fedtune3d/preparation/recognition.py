"""What was done to a scan already, as far as BIDS says so: by its name, its sidecar, or the mask beside it."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from fedtune3d._utils.input_files import read_json_object
from fedtune3d._utils.json_values import Json

Step = Literal["brain", "bias", "register"]
STEPS: tuple[Step, ...] = get_args(Step)
_BRAIN = {"brain", "skullstripped", "brainextracted"}
_UNBIASED = {"preproc", "crop"}  # fMRIPrep's and sMRIPrep's desc-preproc, CAPS t1-linear's desc-Crop


@dataclass(frozen=True)
class Declared:
    """What the data set says of a scan.

    Attributes:
        done: The steps behind it.
        has_skull: Whether its sidecar says that the skull is still there (``SkullStripped: false``).
        brain_mask: The brain mask beside it, as fMRIPrep writes one; None where there is none.
        sidecar_problem: Why its sidecar cannot be read; nothing is taken from it then.
    """

    done: frozenset[Step]
    has_skull: bool = False
    brain_mask: Path | None = None
    sidecar_problem: str | None = None


def read_declared(path: Path) -> Declared:
    """What BIDS or CAPS says of the scan at `path`.

    ``desc-brain`` and a sidecar's ``SkullStripped: true`` mean a brain; ``desc-preproc`` and CAPS' ``t1_linear`` a
    corrected bias field; ``space-MNI152…`` (CAPS t1-linear, fMRIPrep) and CAPS' ``t1_linear`` a registered scan.
    A sidecar that cannot be read says nothing.
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
    return Declared(frozenset(done), stripped is False, _brain_mask_beside(path, stem), problem)


def _read_sidecar(path: Path) -> tuple[dict[str, Json], str | None]:
    """The fields of a sidecar, and why they cannot be read; none where there is no sidecar."""
    try:
        return read_json_object(path), None
    except FileNotFoundError:
        return {}, None
    except (OSError, ValueError) as error:
        return {}, f"{path.name}: {error}"


def _brain_mask_beside(path: Path, stem: str) -> Path | None:
    kept = [part for part in stem.split("_")[:-1] if not part.startswith("desc-")]
    ending = path.name.removeprefix(stem)
    mask = path.with_name("_".join([*kept, "desc-brain_mask"]) + ending)
    return mask if mask.is_file() else None
