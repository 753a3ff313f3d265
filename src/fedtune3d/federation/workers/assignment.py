"""Which worker holds which sites."""

from collections.abc import Mapping

SHARE_OF_A_SCORE = 0.12
"""Of a site's work in a round, the part that scores the received state, where an epoch of CONV S is trained."""


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


def helped_before(sizes: Mapping[str, int], holders: Mapping[str, int]) -> dict[str, str]:
    """Choose what the worker with the fewest scans does for that with the most, so that both are done at once.

    Returns:
        The last site of the former → the last site of the latter, whose received state is scored before the former site
        trains; empty if that would not save more than it costs.
    """
    last = {holders[site]: site for site in last_sites(holders)}
    scans = {worker: sum(sizes[site] for site, holder in holders.items() if holder == worker) for worker in last}
    if len(scans) < 2:
        return {}
    (most, large), *_, (fewest, small) = sorted(scans.items(), key=lambda item: (-item[1], item[0]))
    worth = large - small > SHARE_OF_A_SCORE * sizes[last[most]]
    return {last[fewest]: last[most]} if worth else {}
