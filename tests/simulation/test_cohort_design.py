from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from fedtune3d._utils.errors import InputError
from fedtune3d.cohorts.splits import assign_splits
from fedtune3d.simulation.cohort_design import plan_sites
from fedtune3d.simulation.label_maps import LabelMap
from fedtune3d.simulation.outcomes import SimulatedOutcome
from fedtune3d.simulation.site_effects import draw_site_effects

PEOPLE = [LabelMap(f"anatomy-{i}", "AD" if i < 5 else "CN", Path(f"anatomy-{i}.nii.gz")) for i in range(10)]


@pytest.mark.parametrize("scans", [104, 200, 601])
def test_every_site_has_three_of_each_class_in_validation_and_test(scans: int) -> None:
    for site in plan_sites(4, scans, 1, 3, None):
        groups = {scan.participant: (0, 1) if scan.person.diagnosis == "AD" else (1, 0) for scan in site.scans}
        splits = assign_splits(groups, 5, site.name)
        counts = Counter((splits[scan.participant], scan.person.diagnosis) for scan in site.scans)
        assert all(counts[split, diagnosis] >= 3 for split in ("validation", "test") for diagnosis in ("AD", "CN"))


def test_prevalence_differs_between_sites() -> None:
    shares = [
        np.mean([scan.person.diagnosis == "AD" for scan in site.scans]) for site in plan_sites(4, 400, 1, 3, None)
    ]
    assert max(shares) - min(shares) > 0.15


def test_people_of_label_maps_come_in_turn_at_every_site_and_keep_their_splits() -> None:
    sites = plan_sites(4, 200, 1, 3, PEOPLE)
    splits = assign_splits({p.anatomy_id: (0, 1) if p.diagnosis == "AD" else (1, 0) for p in PEOPLE}, 1, "shared")
    for site in sites:
        counts = Counter(scan.anatomy for scan in site.scans)
        assert set(counts) == {person.anatomy_id for person in PEOPLE}
        assert max(counts.values()) - min(counts.values()) <= 1
        by_set = Counter((splits[scan.anatomy], scan.person.diagnosis) for scan in site.scans)
        assert all(by_set[split, diagnosis] >= 3 for split in ("validation", "test") for diagnosis in ("AD", "CN"))
    ages = {(scan.anatomy, scan.person.age, scan.person.diagnosis) for site in sites for scan in site.scans}
    assert len(ages) == 10  # a person is the same at every site


def test_the_plan_follows_from_the_seed() -> None:
    assert plan_sites(4, 200, 1, 3, None) == plan_sites(4, 200, 1, 3, None)
    assert plan_sites(4, 200, 1, 3, None) != plan_sites(4, 200, 2, 3, None)


def test_the_impaired_are_further_gone_but_the_classes_overlap() -> None:
    people = [scan.person for site in plan_sites(4, 1000, 1, 3, None) for scan in site.scans]
    for name in ("ventricle_shift_mm", "hippocampus_shift_mm", "thinning"):
        impaired, healthy = (
            np.array([getattr(p, name) for p in people if p.diagnosis == diagnosis]) for diagnosis in ("AD", "CN")
        )
        auc = (impaired[:, None] > healthy[None]).mean()
        assert 0.8 < auc < 0.99, name
        assert healthy.max() > np.median(impaired)


def test_site_effects_are_spread_over_their_ranges() -> None:
    effects = draw_site_effects(4, 3)
    noises = sorted(effect.noise for effect in effects)
    edges = np.linspace(0.012, 0.035, 5)
    assert all(low <= noise <= high for noise, low, high in zip(noises, edges[:-1], edges[1:], strict=True))
    assert {effect.stored_as for effect in effects} == {"int16", "float32"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 200, 1, 3, None), "sites: expected a number from 1 to 26, got 0"),
        ((27, 2000, 1, 3, None), "sites: expected a number from 1 to 26, got 27"),
        ((4, 200, 1, 0, None), "min_per_class: expected at least 1, got 0"),
        ((4, 119, 1, 3, PEOPLE), "4 sites need at least 120 scans"),
        ((4, 200, 1, 3, PEOPLE[3:]), "at least 3 people of each class.*got 2 AD and 5 CN"),
    ],
)
def test_impossible_plans_are_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(InputError, match=message):
        plan_sites(*arguments)


def test_three_diagnoses_are_further_gone_in_turn_and_each_site_has_enough_of_each() -> None:
    sites = plan_sites(3, 117, 1, 3, None, outcome=SimulatedOutcome.CN_MCI_AD)  # 3 sites of 39, the least
    for site in sites:
        counts = Counter(scan.person.diagnosis for scan in site.scans)
        assert counts.keys() == {"CN", "MCI", "AD"}
        assert min(counts.values()) >= 13  # three of each in validation and in test
    people = [
        scan.person
        for site in plan_sites(4, 1000, 1, 3, None, outcome=SimulatedOutcome.CN_MCI_AD)
        for scan in site.scans
    ]
    shifts = {
        name: np.array([person.hippocampus_shift_mm for person in people if person.diagnosis == name])
        for name in ("CN", "MCI", "AD")
    }
    for less, more in (("CN", "MCI"), ("MCI", "AD")):
        assert 0.6 < (shifts[more][:, None] > shifts[less][None]).mean() < 0.9


def test_the_healthy_are_of_a_wide_range_of_ages_that_their_brains_show() -> None:
    people = [
        scan.person for site in plan_sites(4, 600, 1, 3, None, outcome=SimulatedOutcome.AGE) for scan in site.scans
    ]
    ages = np.array([person.age for person in people])
    assert {person.diagnosis for person in people} == {"CN"}
    assert (ages.min(), ages.max()) == (45.0, 95.0)
    assert 9 < ages.std() < 13
    for name in ("ventricle_shift_mm", "hippocampus_shift_mm", "thinning"):
        assert 0.7 < np.corrcoef(ages, [getattr(person, name) for person in people])[0, 1] < 0.97, name


@pytest.mark.parametrize("outcome", [SimulatedOutcome.CN_MCI_AD, SimulatedOutcome.AGE])
def test_anatomies_of_two_classes_show_no_other_outcome(outcome: SimulatedOutcome) -> None:
    with pytest.raises(InputError, match=f"--outcome {outcome.value}: --anatomies"):
        plan_sites(4, 200, 1, 3, PEOPLE, outcome=outcome)
