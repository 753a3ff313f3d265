"""Simulated people: age, sex, and atrophy of the brain by age and disease."""

from dataclasses import dataclass

import numpy as np

from fedtune3d._utils.seeds import numpy_rng
from fedtune3d.simulation.site_effects import SiteEffect

SEVERITY = {"CN": 0.0, "MCI": 1.3, "AD": 2.6}
"""Mean severity by diagnosis, in standard deviations of the healthy; the distributions overlap."""
MEAN_AGE_GAP_YEARS = {"CN": 0.0, "MCI": 0.75, "AD": 1.5}
REFERENCE_AGE = 72.0
HEALTHY_AGE_SPREAD_YEARS = 12.0
YOUNGER_YEARS = 6.0
"""How much younger than a site's patients the healthy people are whose age is to be predicted."""


@dataclass(frozen=True)
class Person:
    """A simulated person: demographics, and the differences from the template anatomy.

    Attributes:
        diagnosis: `AD`, `MCI` or `CN`.
        age: Years.
        sex: `F` or `M`.
        brain_scale: Size along right, anterior and superior, relative to the anatomy.
        ventricle_shift_mm: Outward shift of the ventricles' boundary.
        hippocampus_shift_mm: Inward shift of the hippocampi's boundary.
        thinning: Share of the thinnable grey matter replaced by fluid, 0 to 1.
    """

    diagnosis: str
    age: float
    sex: str
    brain_scale: tuple[float, float, float]
    ventricle_shift_mm: float
    hippocampus_shift_mm: float
    thinning: float


def draw_person(diagnosis: str, site: SiteEffect, seed: int, site_name: str, participant: str) -> Person:
    """Draw a person with the given diagnosis; the same for the same (seed, site, participant)."""
    rng = numpy_rng(seed, site_name, participant, "person")
    age, sex, scale = draw_demographics(rng, site.mean_age + MEAN_AGE_GAP_YEARS[diagnosis])
    severity = rng.standard_normal() + SEVERITY[diagnosis]
    decades = (age - REFERENCE_AGE) / 10.0
    individual = rng.standard_normal(3)
    return Person(
        diagnosis,
        age,
        sex,
        scale,
        ventricle_shift_mm=float(np.clip(0.8 + 0.6 * decades + 1.3 * severity + 0.6 * individual[0], -1.5, 6.5)),
        hippocampus_shift_mm=float(np.clip(0.2 + 0.15 * decades + 0.5 * severity + 0.25 * individual[1], -0.8, 2.4)),
        thinning=float(np.clip(0.2 + 0.06 * decades + 0.17 * severity + 0.07 * individual[2], 0.0, 0.85)),
    )


def draw_healthy_person(site: SiteEffect, seed: int, site_name: str, participant: str) -> Person:
    """Draw a healthy person of 45 to 95 years, whose brain shows their age; the same for the same causes.

    Atrophy follows age more closely than in `draw_person`, where the classes are what it is to show.
    """
    rng = numpy_rng(seed, site_name, participant, "healthy person")
    mean_age = site.mean_age - YOUNGER_YEARS
    age, sex, scale = draw_demographics(rng, mean_age, HEALTHY_AGE_SPREAD_YEARS, youngest=45.0)
    decades = (age - REFERENCE_AGE) / 10.0
    individual = rng.standard_normal(3)
    return Person(
        "CN",
        age,
        sex,
        scale,
        ventricle_shift_mm=float(np.clip(1.6 + 1.0 * decades + 0.5 * individual[0], -1.5, 6.5)),
        hippocampus_shift_mm=float(np.clip(0.5 + 0.35 * decades + 0.2 * individual[1], -0.8, 2.4)),
        thinning=float(np.clip(0.3 + 0.09 * decades + 0.05 * individual[2], 0.0, 0.85)),
    )


def draw_person_of_anatomy(diagnosis: str, seed: int, anatomy: str) -> Person:
    """Draw the person of a real anatomy, whose age, sex, size and atrophy are the same at every site."""
    age, sex, _ = draw_demographics(numpy_rng(seed, anatomy, "person"), REFERENCE_AGE)
    return Person(diagnosis, age, sex, (1.0, 1.0, 1.0), 0.0, 0.0, 0.0)


def draw_demographics(
    rng: np.random.Generator, mean_age: float, spread: float = 6.5, youngest: float = 55.0
) -> tuple[float, str, tuple[float, float, float]]:
    """Draw age in years (`youngest` to 95), sex, and brain size; men's brains are about 10% larger in volume."""
    age = round(float(np.clip(rng.normal(mean_age, spread), youngest, 95.0)), 1)
    sex = "F" if rng.random() < 0.52 else "M"
    mean_scale = (0.905 if sex == "F" else 0.935) * np.exp(rng.normal(0.0, 0.025))
    x, y, z = mean_scale * np.exp(rng.normal(0.0, 0.015, 3))
    return age, sex, (float(x), float(y), float(z))
