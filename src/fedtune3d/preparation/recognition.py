"""What was done to a scan already, as far as BIDS says so: by its name, its sidecar, or the mask beside it."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from fedtune3d._utils.errors import ScanError

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
    """

    done: frozenset[Step]
    has_skull: bool = False
    brain_mask: Path | None = None


def read_declared(path: Path) -> Declared:
    """What BIDS or CAPS says of the scan at `path`.

    ``desc-brain`` and a sidecar's ``SkullStripped: true`` mean a brain; ``desc-preproc`` and CAPS' ``t1_linear`` a
    corrected bias field; ``space-MNI152…`` (CAPS t1-linear, fMRIPrep) and CAPS' ``t1_linear`` a registered scan.

    Raises:
        ScanError: If the sidecar is there but no JSON object.
    """
    stem = re.sub(r"\.nii(\.gz)?$", "", path.name)
    entities = dict(part.split("-", 1) for part in stem.split("_") if "-" in part)
    described = entities.get("desc", "").lower()
    linear = path.parent.name == "t1_linear"
    stripped = _read_sidecar(path.with_name(f"{stem}.json")).get("SkullStripped")
    done: set[Step] = set()
    if described in _BRAIN or stripped is True:
        done.add("brain")
    if described in _UNBIASED or linear:
        done.add("bias")
    if entities.get("space", "").startswith("MNI152") or linear:
        done.add("register")
    return Declared(frozenset(done), stripped is False, _brain_mask_beside(path, stem))


def _read_sidecar(path: Path) -> dict[str, object]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ScanError(f"{path}: expected a JSON object beside the scan; {error}") from None
    if not isinstance(values, dict):
        raise ScanError(f"{path}: expected a JSON object beside the scan, got {type(values).__name__}")
    return values


def _brain_mask_beside(path: Path, stem: str) -> Path | None:
    kept = [part for part in stem.split("_")[:-1] if not part.startswith("desc-")]
    ending = path.name.removeprefix(stem)
    mask = path.with_name("_".join([*kept, "desc-brain_mask"]) + ending)
    return mask if mask.is_file() else None
