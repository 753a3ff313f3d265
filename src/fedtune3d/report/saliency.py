"""What the report says of the sites' mean saliency maps: correlations, shares of regions, and what to be wary of."""

from collections.abc import Iterable, Mapping

from fedtune3d.federation.mean_maps import MapInfo

HARDLY_CHANGES = 0.7
"""A correlation of this or more, with the map of a model drawn at random, is said in words."""

Infos = Mapping[str, MapInfo]


def map_rows(infos: Infos) -> list[dict[str, str]]:
    """A row for each site that has a map."""
    return [
        {
            "site": site,
            "people": str(info.scans),
            "in_template": str(info.in_template),
            "similarity": f"{info.similarity:.2f}".replace("-", "−"),
        }
        for site, info in infos.items()
        if info.why is None
    ]


def share_rows(infos: Infos, regions: Iterable[str]) -> list[dict[str, str]]:
    """A row for each site and region, in the configuration's order; none where the maps are no finer than a token."""
    return [
        {
            "site": site,
            "region": region,
            "volume": f"{100 * info.volumes[region]:.1f} %",
            "trained": _share(info.shares["trained"][region]),
            "random": _share(info.shares["random"][region]),
        }
        for site, info in infos.items()
        if info.why is None
        for region in regions
        if region in info.volumes
    ]


def _share(value: tuple[float, float]) -> str:
    mean, deviation = value
    return f"{100 * mean:.1f} ± {100 * deviation:.1f} %"


def warnings(infos: Infos) -> list[str]:
    """Where a map hardly changes when what was learned is drawn at random: it shows nothing of what was learned."""
    return [
        f"{site}: this map hardly changes when what was trained is drawn at random (correlation "
        f"{info.similarity:.2f}), so it shows the scans and not what the model has learned."
        for site, info in infos.items()
        if info.similarity is not None and info.similarity >= HARDLY_CHANGES
    ]


def notes(infos: Infos) -> list[str]:
    """Where scans do not lie in MNI152, which sites have no map, and why there are no shares; one sentence each."""
    mapped = {site: info for site, info in infos.items() if info.why is None}
    found = []
    centred = [site for site, info in mapped.items() if info.in_template < info.scans]
    if centred:
        found.append(
            f"Scans of {', '.join(centred)} that were not registered to MNI152 are centred on its brain, so their "
            "places are approximate."
        )
    if mapped and not any(info.volumes for info in mapped.values()):
        found.append(_why_no_shares(next(iter(mapped.values()))))
    reasons: dict[str, list[str]] = {}
    for site, info in infos.items():
        if info.why is not None:
            reasons.setdefault(info.why, []).append(site)
    return found + [f"No map of {', '.join(sites)}: {why}." for why, sites in reasons.items()]


def _why_no_shares(info: MapInfo) -> str:
    if info.method != "integrated_gradients":
        return f"A place of {info.place_mm:g} mm is wider than a hippocampus, so no shares of regions are given."
    return (
        "No shares of regions: there was no atlas; install fedtune3d[atlas] or name a label map in MNI152 under "
        "explain.atlas."
    )
