"""Tables and notes on the sites' mean saliency maps: correlations, shares of regions and warnings."""

from collections.abc import Iterable, Mapping

from fedtune3d.federation.mean_maps import MapInfo

HARDLY_CHANGES = 0.7
"""Correlation with the map of a randomised model from which the report warns."""

Infos = Mapping[str, MapInfo]


def map_rows(infos: Infos) -> list[dict[str, str]]:
    """Return one row per site that has a map."""
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
    """Return one row per site and region, in the configured order; none if the maps are no finer than a token."""
    return [
        {
            "site": site,
            "region": region,
            "volume": f"{100 * info.volumes[region]:.1f}%",
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
    return f"{100 * mean:.1f}% ± {100 * deviation:.1f}%"


def warnings(infos: Infos) -> list[str]:
    """Warn of maps that hardly change when the trained weights are randomised: they do not show what was learned."""
    return [
        f"{site}: this map hardly changes when the trained weights are randomised (correlation "
        f"{info.similarity:.2f}), so it reflects the scans rather than what the model has learned."
        for site, info in infos.items()
        if info.similarity is not None and info.similarity >= HARDLY_CHANGES
    ]


def notes(infos: Infos) -> list[str]:
    """Return sentences on scans outside MNI152, on sites without a map and on missing shares of regions."""
    mapped = {site: info for site, info in infos.items() if info.why is None}
    sentences = []
    centred = [site for site, info in mapped.items() if info.in_template < info.scans]
    if centred:
        sentences.append(
            f"Scans of {', '.join(centred)} that were not registered to MNI152 are centred on its brain, so "
            "positions are approximate."
        )
    if mapped and not any(info.volumes for info in mapped.values()):
        sentences.append(_why_no_shares(next(iter(mapped.values()))))
    reasons: dict[str, list[str]] = {}
    for site, info in infos.items():
        if info.why is not None:
            reasons.setdefault(info.why, []).append(site)
    return sentences + [f"No map of {', '.join(sites)}: {why}." for why, sites in reasons.items()]


def _why_no_shares(info: MapInfo) -> str:
    if info.method != "integrated_gradients":
        return f"At {info.place_mm:g} mm a map is too coarse for a hippocampus, so no shares of regions are given."
    return (
        "No shares of regions: there was no atlas; install fedtune3d[atlas] or name a label map in MNI152 under "
        "explain.atlas."
    )
