import numpy as np
import pytest

from fedtune3d._utils.errors import InputError
from fedtune3d.simulation.sizes import (
    largest_remainder,
    least_of_class,
    least_per_site,
    positives_of_site,
    site_sizes,
    sizes_of_classes,
)


@pytest.mark.parametrize("scans", [104, 110, 163, 164, 167, 200, 237, 600, 1001])
@pytest.mark.parametrize("seed", [1, 2])
def test_four_sites_have_sixteen_to_forty_percent_each(scans: int, seed: int) -> None:
    sizes = site_sizes(4, scans, 26, seed)
    assert sum(sizes) == scans
    assert min(sizes) >= max(26, 0.16 * scans)
    assert max(sizes) <= 0.40 * scans


def test_two_hundred_scans_are_dealt_unequally_in_an_order_of_the_seeds() -> None:
    assert sorted(site_sizes(4, 200, 26, 1)) == [33, 42, 55, 70]
    assert len({tuple(site_sizes(4, 200, 26, seed)) for seed in range(8)}) > 3


@pytest.mark.parametrize(("sites", "scans"), [(1, 30), (2, 60), (7, 400), (26, 700)])
def test_any_number_of_sites_adds_up(sites: int, scans: int) -> None:
    sizes = site_sizes(sites, scans, 26, 1)
    assert (len(sizes), sum(sizes)) == (sites, scans)
    assert min(sizes) >= 26


def test_too_few_scans_name_the_least() -> None:
    with pytest.raises(InputError, match=r"4 sites need at least 104 scans .* got 103; ask for --scans 104"):
        site_sizes(4, 103, 26, 1)


def test_the_least_of_a_class_gives_three_in_validation_and_test() -> None:
    # 12 scans at 50/20/30 are 6, 2, 4; 13 are 6, 3, 4.
    assert least_of_class(3) == 13
    assert least_per_site(3, None) == 26
    assert least_per_site(3, (5, 5)) == 30
    assert least_per_site(3, None, classes=3) == 39


def test_positives_follow_the_wanted_share_as_far_as_both_classes_have_enough() -> None:
    assert positives_of_site(60, 0.35, 3) == 21
    assert positives_of_site(33, 0.1, 3) == 13
    assert positives_of_site(33, 0.9, 3) == 20


def test_largest_remainder() -> None:
    assert largest_remainder(np.array([1.0, 1.0, 1.0]), 5).tolist() == [1, 2, 2]
    assert largest_remainder(np.array([0.5, 0.2, 0.3]), 10).tolist() == [5, 2, 3]


def test_the_affected_are_divided_equally_and_each_class_has_enough() -> None:
    assert sizes_of_classes(100, 0.6, 3, 3) == [40, 30, 30]
    assert sizes_of_classes(45, 0.9, 3, 3) == [13, 16, 16]
    assert sizes_of_classes(39, 0.3, 3, 3) == [13, 13, 13]
