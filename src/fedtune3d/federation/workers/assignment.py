"""Which worker holds which sites."""

from collections.abc import Mapping


def assign_sites(sizes: Mapping[str, int], workers: int) -> dict[str, int]:
    """Assign sites to workers, so that the greatest number of scans at one worker is small.

    The largest site comes first, and each goes to the worker with the fewest scans so far (the LPT rule of Graham 1969:
    at most 4/3 − 1/(3 · workers) times the smallest possible maximum). Equal sites go by their names.

    Args:
        sizes: Site → its number of scans.
        workers: Number of workers, at least 1.

    Returns:
        Site → the number of its worker, from 0. If there are more workers than sites, some have no site.
    """
    scans = [0] * workers
    holders = {}
    for site, size in sorted(sizes.items(), key=lambda item: (-item[1], item[0])):
        holders[site] = min(range(workers), key=lambda worker: scans[worker])
        scans[holders[site]] += size
    return holders


def last_sites(holders: Mapping[str, int]) -> list[str]:
    """Return the site of each worker that comes last by name, which is the last that it answers for."""
    return list({holders[site]: site for site in sorted(holders)}.values())
