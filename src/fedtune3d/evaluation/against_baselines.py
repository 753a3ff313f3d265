"""The federated model against each baseline on the same test scans, per site and on average."""

from collections.abc import Mapping
from dataclasses import dataclass

from fedtune3d.evaluation.multiclass.summary import ClassSummary
from fedtune3d.evaluation.multiplicity import holm
from fedtune3d.evaluation.paired import Comparison, combine_comparisons
from fedtune3d.evaluation.regression.paired import ErrorComparison, combine_error_comparisons
from fedtune3d.evaluation.regression.summary import NumberSummary
from fedtune3d.evaluation.summary import Summary

AnyComparison = Comparison | ErrorComparison
"""A comparison of two AUCs or macro AUCs, or of two mean absolute errors, which are better if lower."""


@dataclass(frozen=True)
class Tested:
    """A comparison, with its p-value adjusted by Holm within its family."""

    comparison: AnyComparison
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
    """Baseline → the federated model's measure minus its own, for every method whose summaries hold a comparison.

    The measure is the AUC, the macro AUC of three or more classes, or the mean absolute error of a number.

    Args:
        summaries: Method → site → its checked summary.
    """
    sites: dict[str, dict[str, AnyComparison]] = {}
    for method, by_site in summaries.items():
        made = {site: _comparison(part) for site, part in sorted(by_site.items())}
        if any(comparison is not None for comparison in made.values()):
            sites[method] = {site: comparison for site, comparison in made.items() if comparison is not None}
    means = {method: _mean(made) for method, made in sites.items()}
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


def _comparison(summary: Summary | ClassSummary | NumberSummary) -> AnyComparison | None:
    return summary.test.against_federated if isinstance(summary, Summary) else summary.against_federated


def _mean(by_site: Mapping[str, AnyComparison]) -> AnyComparison:
    """Average the comparisons of sites, all of one measure."""
    errors = {site: made for site, made in by_site.items() if isinstance(made, ErrorComparison)}
    if errors:
        return combine_error_comparisons(errors)
    return combine_comparisons({site: made for site, made in by_site.items() if isinstance(made, Comparison)})
