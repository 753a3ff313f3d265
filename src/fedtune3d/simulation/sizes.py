"""Numbers of scans per simulated site and class."""

from itertools import count

import numpy as np
from numpy.typing import NDArray

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.seeds import numpy_rng
from fedtune3d.cohorts.splits import split_sizes

LARGEST_OVER_SMALLEST = 2.15
SMALLEST_SHARE = 0.64  # of an equal share: 16 % of the scans for four sites


def least_per_site(min_per_class: int, people_per_class: tuple[int, int] | None, classes: int = 2) -> int:
    """Return the minimum number of scans for a site to have `min_per_class` of each class in validation and test.

    With anatomies of real people (their numbers per class are given), all scans of a person are in one split, and each
    split has at least one person, so each person needs `min_per_class` scans.
    """
    if people_per_class is not None:
        return sum(people_per_class) * min_per_class
    return classes * least_of_class(min_per_class)


def least_of_class(min_per_class: int) -> int:
    """Return the minimum number of scans of a class for `min_per_class` in validation and test at a 50/20/30 split."""
    return next(n for n in count(1) if min(split_sizes(n)[1:]) >= min_per_class)


def site_sizes(sites: int, scans: int, smallest: int, seed: int) -> list[int]:
    """Return the number of scans of each site, `scans` in total, shuffled by the seed.

    The shares form a geometric series whose largest is 2.15 times its smallest, so that four sites have about
    16, 21, 27 and 35 % of the scans. No site has fewer than `smallest` scans or than 0.64 of an equal share.

    Raises:
        InputError: If the sites cannot have `smallest` scans each; the message gives the required number.
    """
    if scans < sites * smallest:
        raise InputError(
            f"scans: {sites} sites need at least {sites * smallest} scans to have enough of each class in every set, "
            f"got {scans}; ask for --scans {sites * smallest} or more, or for fewer sites"
        )
    floor = max(smallest, min(scans // sites, int(np.ceil(SMALLEST_SHARE * scans / sites))))
    shares = np.geomspace(1.0, LARGEST_OVER_SMALLEST, sites)
    sizes = np.maximum(largest_remainder(shares, scans), floor)
    while sizes.sum() > scans:
        sizes[sizes.argmax()] -= 1
    return [int(size) for size in numpy_rng(seed, "site sizes").permutation(sizes)]


def largest_remainder(shares: NDArray[np.float64], total: int) -> NDArray[np.int64]:
    """Round shares of a total to integers by the largest-remainder method; ties go to later shares."""
    quotas = shares / shares.sum() * total
    sizes: np.ndarray = np.floor(quotas).astype(int)
    rest = np.argsort(quotas - sizes, kind="stable")[::-1][: total - sizes.sum()]
    sizes[rest] += 1
    return sizes


def positives_of_site(size: int, wanted_share: float, min_per_class: int) -> int:
    """Return the number of positive scans closest to the target share that leaves enough of both classes."""
    least = least_of_class(min_per_class)
    return int(np.clip(round(size * wanted_share), least, size - least))


def sizes_of_classes(size: int, affected_share: float, classes: int, min_per_class: int) -> list[int]:
    """Return the number of scans of each class: healthy ones first, the affected in equal parts, enough of each.

    Args:
        size: Scans of the site, at least `least_per_site`.
        affected_share: Target share of all classes but the first.
        classes: Number of classes.
        min_per_class: As in `positives_of_site`.
    """
    shares = np.array([1 - affected_share] + [affected_share / (classes - 1)] * (classes - 1))
    sizes, least = largest_remainder(shares, size), least_of_class(min_per_class)
    while sizes.min() < least:
        sizes[sizes.argmin()] += 1
        sizes[sizes.argmax()] -= 1
    return [int(count) for count in sizes]
