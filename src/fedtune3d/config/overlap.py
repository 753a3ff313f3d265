"""Warnings of sites whose people an encoder may have seen when it was pre-trained."""

from collections.abc import Iterable, Mapping, Sequence

from fedtune3d.cohorts.public_cohorts import same_cohort
from fedtune3d.config.site import SiteSection
from fedtune3d.models.encoders.contract import EncoderSpec


def declared_overlaps(spec: EncoderSpec, sites: Iterable[SiteSection]) -> list[str]:
    """Return a warning per site whose `cohort` a pre-trained encoder has seen, or may have."""
    cohorts = {site.name: (site.cohort,) for site in sites if site.cohort is not None}
    return _overlaps(spec, cohorts, "scans of {}")


def recognised_overlaps(
    spec: EncoderSpec, sites: Iterable[SiteSection], recognised: Mapping[str, Sequence[str]]
) -> list[str]:
    """Return a warning per site whose ids look like those of a cohort that a pre-trained encoder has seen, or may have.

    Args:
        spec: The encoder.
        sites: The sites, whose `cohort` is not named again.
        recognised: Site → the cohorts that its ids look like.
    """
    declared = {site.name: site.cohort for site in sites if site.cohort is not None}
    new = {
        site: tuple(cohort for cohort in cohorts if not same_cohort(cohort, declared.get(site, "")))
        for site, cohorts in recognised.items()
    }
    return _overlaps(spec, new, "scans of {}, whose ids the site's look like")


def _overlaps(spec: EncoderSpec, cohorts: Mapping[str, Sequence[str]], scans: str) -> list[str]:
    warnings = []
    for site, cohort in ((site, cohort) for site, listed in cohorts.items() for cohort in listed):
        if spec.cohorts is None:
            warnings.append(
                f"site {site}: it is not known whether encoder {spec.name} was pre-trained on {scans.format(cohort)}; "
                "if so, scores on its test people may be too good"
            )
        elif any(same_cohort(cohort, seen) for seen in spec.cohorts):
            warnings.append(
                f"site {site}: encoder {spec.name} was pre-trained on {scans.format(cohort)}, and may have seen its "
                "test people; scores there may be too good"
            )
    return warnings
