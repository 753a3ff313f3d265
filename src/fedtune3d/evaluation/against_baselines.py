"""The federated model against each baseline on the same test scans, per site and on average."""

from collections.abc import Mapping
from dataclasses import dataclass

from fedtune3d.evaluation.multiclass.summary import ClassSummary
from fedtune3d.evaluation.multiplicity import holm
from fedtune3d.evaluation.paired import Comparison, combine_comparisons
from fedtune3d.evaluation.regression.summary import NumberSummary
from fedtune3d.evaluation.summary import Summary


@dataclass(frozen=True)
class Tested:
    """A comparison, with its p-value adjusted by Holm within its family."""

    comparison: Comparison
    p_holm: float | None


@dataclass(frozen=True)
class AgainstBaseline:
    """Federated minus one baseline.

    Attributes:
        mean: The mean over sites. The means of all baselines are one family of tests.
        sites: Site → its difference. Those of all sites and baselines are another.
    """

    mean: Tested
    sites: Mapping[str, Tested]


def against_baselines(
    summaries: Mapping[str, Mapping[str, Summary | ClassSummary | NumberSummary]],
) -> dict[str, AgainstBaseline]:
    """Baseline → the federated model's AUC minus its own, for every method whose summaries hold a comparison.

    Of three or more classes, the AUC is the mean over classes; of a number there is none.

    Args:
        summaries: Method → site → its checked summary.
    """
    sites: dict[str, dict[str, Comparison]] = {}
    for method, by_site in summaries.items():
        made = {site: _comparison(part) for site, part in sorted(by_site.items())}
        if any(comparison is not None for comparison in made.values()):
            sites[method] = {site: comparison for site, comparison in made.items() if comparison is not None}
    means = {method: combine_comparisons(made) for method, made in sites.items()}
    of_means = dict(zip(means, holm([mean.p_value for mean in means.values()]), strict=True))
    keys = [(method, site) for method, made in sites.items() for site in made]
    of_sites = dict(zip(keys, holm([sites[method][site].p_value for method, site in keys]), strict=True))
    return {
        method: AgainstBaseline(
            mean=Tested(means[method], of_means[method]),
            sites={site: Tested(comparison, of_sites[method, site]) for site, comparison in made.items()},
        )
        for method, made in sites.items()
    }


def _comparison(summary: Summary | ClassSummary | NumberSummary) -> Comparison | None:
    if isinstance(summary, Summary):
        return summary.test.against_federated
    return summary.against_federated if isinstance(summary, ClassSummary) else None
