"""The design of a simulation: the people and scans of each site, planned before the first scan."""

import string
from collections.abc import Sequence
from dataclasses import dataclass

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.seeds import numpy_rng
from fedtune3d.simulation.label_maps import LabelMap
from fedtune3d.simulation.outcomes import SimulatedOutcome
from fedtune3d.simulation.people import Person, draw_healthy_person, draw_person, draw_person_of_anatomy
from fedtune3d.simulation.presets import OF_PEOPLE, change_effects, parse_site_effects
from fedtune3d.simulation.site_effects import SiteEffect, draw_site_effects
from fedtune3d.simulation.sizes import least_per_site, positives_of_site, site_sizes, sizes_of_classes


@dataclass(frozen=True)
class PlannedScan:
    """A planned scan; `participant` begins with `sub-`, and `anatomy` is empty for the template."""

    site: str
    participant: str
    person: Person
    anatomy: str = ""


@dataclass(frozen=True)
class PlannedSite:
    """A site's name, scanner and population, and scans."""

    name: str
    effect: SiteEffect
    scans: tuple[PlannedScan, ...]


def plan_sites(
    sites: int,
    scans: int,
    seed: int,
    min_per_class: int,
    people: Sequence[LabelMap] | None,
    site_effects: Sequence[str] = (),
    outcome: SimulatedOutcome = SimulatedOutcome.CN_AD,
) -> list[PlannedSite]:
    """Plan the sites in order of their names, from the template or from the label maps of real people.

    Raises:
        InputError: If a site effect is unknown, a number is out of range, there are too few scans for each site to have
            `min_per_class` of each class in validation and test, or label maps cannot show the outcome.
    """
    if not 1 <= sites <= len(string.ascii_uppercase):
        raise InputError(f"sites: expected a number from 1 to {len(string.ascii_uppercase)}, got {sites}")
    if min_per_class < 1:
        raise InputError(f"min_per_class: expected at least 1, got {min_per_class}")
    if people is not None and outcome is not SimulatedOutcome.CN_AD:
        raise InputError(
            f"--outcome {outcome.value}: --anatomies are of people with AD and CN; leave one of the two out"
        )
    classes = max(2, len(outcome.diagnoses))
    smallest = least_per_site(min_per_class, None if people is None else _people_per_class(people), classes)
    sizes = site_sizes(sites, scans, smallest, seed)
    names = [f"site-{letter}" for letter in string.ascii_uppercase[:sites]]
    changes = parse_site_effects(site_effects, names)
    if people is not None and any(field in OF_PEOPLE for changed in changes.values() for field in changed):
        raise InputError("--site-effect: positives and age are the people's own with --anatomies; leave them out")
    effects = change_effects(dict(zip(names, draw_site_effects(sites, seed), strict=True)), changes)
    planned = []
    for (name, effect), size in zip(effects.items(), sizes, strict=True):
        if people is None:
            made = _scans_of_template(name, size, effect, seed, min_per_class, outcome)
        else:
            made = _scans_of_people(name, size, people, seed)
        planned.append(PlannedSite(name, effect, made))
    return planned


def _people_per_class(people: Sequence[LabelMap]) -> tuple[int, int]:
    positives = sum(person.diagnosis == "AD" for person in people)
    if min(positives, len(people) - positives) < 3:
        raise InputError(
            "anatomies.tsv: expected at least 3 people of each class, so that training, validation and test have one, "
            f"got {positives} AD and {len(people) - positives} CN"
        )
    return len(people) - positives, positives


def _participant(site: str, number: int) -> str:
    return f"sub-{site.removeprefix('site-')}{number + 1:03d}"


def _scans_of_template(
    site: str, size: int, effect: SiteEffect, seed: int, min_per_class: int, outcome: SimulatedOutcome
) -> tuple[PlannedScan, ...]:
    participants = [_participant(site, number) for number in range(size)]
    if outcome is SimulatedOutcome.AGE:
        healthy = (draw_healthy_person(effect, seed, site, participant) for participant in participants)
        return tuple(PlannedScan(site, *pair) for pair in zip(participants, healthy, strict=True))
    ordered = _ordered_diagnoses(size, effect, min_per_class, outcome)
    diagnoses = numpy_rng(seed, site, "diagnoses").permutation(ordered)
    return tuple(
        PlannedScan(site, participant, draw_person(str(diagnosis), effect, seed, site, participant))
        for participant, diagnosis in zip(participants, diagnoses, strict=True)
    )


def _ordered_diagnoses(size: int, effect: SiteEffect, min_per_class: int, outcome: SimulatedOutcome) -> list[str]:
    if outcome is SimulatedOutcome.CN_AD:
        positives = positives_of_site(size, effect.positive_share, min_per_class)
        return ["AD"] * positives + ["CN"] * (size - positives)
    sizes = sizes_of_classes(size, effect.positive_share, len(outcome.diagnoses), min_per_class)
    return [name for name, count in zip(outcome.diagnoses, sizes, strict=True) for _ in range(count)]


def _scans_of_people(site: str, size: int, people: Sequence[LabelMap], seed: int) -> tuple[PlannedScan, ...]:
    """Cycle through the people in a random order per site, so that their numbers of scans differ by at most one."""
    order = numpy_rng(seed, site, "people").permutation(len(people))
    turns = [people[order[number % len(people)]] for number in range(size)]
    return tuple(
        PlannedScan(
            site,
            _participant(site, number),
            draw_person_of_anatomy(person.diagnosis, seed, person.anatomy_id),
            person.anatomy_id,
        )
        for number, person in enumerate(turns)
    )
