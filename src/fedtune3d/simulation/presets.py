"""Site effects set by the user, for example a 1.5 T scanner with 3 mm slices at site C."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.names import did_you_mean
from fedtune3d.simulation.site_effects import SiteEffect

# The signal-to-noise ratio grows about linearly with the field strength, and the radio-frequency field becomes less
# homogeneous (Edelstein et al., Magn. Reson. Med. 1986; Dietrich et al., Eur. J. Radiol. 2008).
FIELDS: dict[str, dict[str, float]] = {
    "1.5t": {"noise": 0.035, "bias_strength": 0.04},
    "3t": {"noise": 0.0175, "bias_strength": 0.08},
}
# Three fictitious vendors that span the range of contrasts from which sites are drawn.
VENDORS: dict[str, dict[str, float]] = {
    "a": {"grey_contrast": 0.62, "fluid_contrast": 0.18},
    "b": {"grey_contrast": 0.67, "fluid_contrast": 0.23},
    "c": {"grey_contrast": 0.72, "fluid_contrast": 0.28},
}
MOTIONS: dict[str, dict[str, float]] = {
    "none": {"motion_mm": 0.0},
    "mild": {"motion_mm": 1.0},
    "severe": {"motion_mm": 4.0},
}
CHOICES = {"vendor": VENDORS, "motion": MOTIONS}


@dataclass(frozen=True)
class _Quantity:
    """A quantity that can be set: its field of `SiteEffect`, its unit and its range."""

    field: str
    unit: str
    low: float
    high: float


QUANTITIES = {
    "slices": _Quantity("slice_mm", "mm", 0.8, 6.0),
    "voxels": _Quantity("voxel_mm", "mm", 0.8, 4.0),
    "motion": _Quantity("motion_mm", "mm", 0.0, 10.0),
    "gain": _Quantity("white_level", "", 1.0, 100_000.0),
    "noise": _Quantity("noise", "", 0.0, 0.3),
    "bias": _Quantity("bias_strength", "", 0.0, 0.5),
    "positives": _Quantity("positive_share", "", 0.0, 1.0),
    "age": _Quantity("mean_age", "", 55.0, 95.0),
}
OF_PEOPLE = ("positive_share", "mean_age")
KNOWN = ("1.5T", "3T", *dict.fromkeys((*CHOICES, *QUANTITIES)))


def parse_site_effects(texts: Sequence[str], sites: Sequence[str]) -> dict[str, dict[str, float]]:
    """Parse texts such as ``site_c=1.5T,slices=3mm`` to site → fields of `SiteEffect`.

    Args:
        texts: One per site; a later setting of the same field overrides an earlier one.
        sites: The names of the sites, ``site-A``, ``site-B``, …; case and separator do not matter.

    Raises:
        InputError: If a site, setting or value is unknown; names the first one.
    """
    found: dict[str, dict[str, float]] = {}
    for text in texts:
        name, _, settings = text.partition("=")
        site = _site(text, name, sites)
        if not settings.strip():
            raise InputError(f"--site-effect {text}: expected settings after the site, such as {site}=1.5T,slices=3mm")
        for setting in settings.split(","):
            found.setdefault(site, {}).update(_setting(text, setting.strip()))
    return found


def change_effects(
    effects: Mapping[str, SiteEffect], changes: Mapping[str, Mapping[str, float]]
) -> dict[str, SiteEffect]:
    """Return the effects with the requested values instead of the drawn ones."""
    # Every field that can be set is a float.
    return {site: replace(effect, **changes.get(site, {})) for site, effect in effects.items()}  # type: ignore[arg-type]


def _site(text: str, name: str, sites: Sequence[str]) -> str:
    letter = name.strip().lower().replace("_", "-").removeprefix("site-")
    site = next((site for site in sites if site.lower() == f"site-{letter}"), None)
    if site is None:
        raise InputError(f"--site-effect {text}: expected a site of {', '.join(sites)}, got {name!r}")
    return site


def _setting(text: str, setting: str) -> dict[str, float]:
    if setting.lower() in FIELDS:
        return FIELDS[setting.lower()]
    name, _, value = (part.strip() for part in setting.partition("="))
    choices = CHOICES.get(name.lower(), {})
    if value.lower() in choices:
        return choices[value.lower()]
    quantity = QUANTITIES.get(name.lower())
    if quantity is None and not choices:
        raise InputError(
            f"--site-effect {text}: unknown setting {setting!r}{did_you_mean(name, KNOWN)} (known: {', '.join(KNOWN)})"
        )
    number = math.nan if quantity is None else _number(value.lower().removesuffix(quantity.unit))
    if quantity is None or not quantity.low <= number <= quantity.high:
        wanted = [", ".join(choices)] if choices else []
        if quantity is not None:
            wanted.append(f"{quantity.low:g} to {quantity.high:g}{' ' if quantity.unit else ''}{quantity.unit}")
        raise InputError(f"--site-effect {text}: {name}: expected {' or '.join(wanted)}, got {value!r}")
    return {quantity.field: number}


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
