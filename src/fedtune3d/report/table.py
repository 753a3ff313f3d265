"""The AUC table: per site and method, for the terminal and for the page."""

from collections.abc import Sequence
from typing import NamedTuple

from rich import box
from rich.table import Table
from rich.text import Text

from fedtune3d.config.class_names import UNNAMED, ClassNames
from fedtune3d.evaluation.estimate import Estimate
from fedtune3d.evaluation.metrics import RunMetrics, TestMetrics
from fedtune3d.report.few import few_note
from fedtune3d.report.number_formatting import METHODS, interval
from fedtune3d.report.site_name import SiteName


class AucRow(NamedTuple):
    """A site, the mean over sites, or all sites pooled.

    Attributes:
        name: Name of the site, or ``Mean`` or ``Pooled``.
        kind: ``site``, ``mean`` or ``pooled``.
        test: The metrics that hold the numbers of people and scans; None if there are none to show.
        estimates: One per method, in the order of the methods; None if a method has no such number.
        by_seed: The values of single seeds or folds behind each estimate; empty if there is one test set.
    """

    name: str
    kind: str
    test: TestMetrics | None
    estimates: Sequence[Estimate | None]
    by_seed: Sequence[Sequence[float]] = ()


def shown_methods(metrics: RunMetrics) -> list[str]:
    """Return the evaluated methods in the order in which they are shown; none unless of two classes."""
    return [name for name in METHODS if name in metrics.methods]


def auc_rows(metrics: RunMetrics) -> list[AucRow]:
    """Return one row per site, then the mean over sites, then all test scans pooled; none unless of two classes."""
    methods = [metrics.methods[name] for name in shown_methods(metrics)]
    if not methods:
        return []
    rows = [
        AucRow(site, "site", test, [method.sites[site].auc if site in method.sites else None for method in methods])
        for site, test in methods[0].sites.items()
    ]
    rows.append(AucRow("Mean", "mean", None, [method.mean_auc for method in methods]))
    pooled = [method.pooled for method in methods]
    if (first := next((part for part in pooled if part is not None), None)) is not None:
        rows.append(AucRow("Pooled", "pooled", first, [None if part is None else part.auc for part in pooled]))
    return rows


def auc_table(metrics: RunMetrics, names: ClassNames = UNNAMED) -> Table:
    """Tabulate test AUC and 95% CI per site, federated next to the baselines, with a note on few people."""
    table = Table(title="Test AUC [95% CI]", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left")
    table.add_column("Site")
    table.add_column(Text("Scans\n(pos.)"), justify="right")
    for name in shown_methods(metrics):
        table.add_column(METHODS[name])
    rows = auc_rows(metrics)
    for index, row in enumerate(rows):
        cells = [Text(_cell(estimate)) for estimate in row.estimates]
        last_site = row.kind == "site" and rows[index + 1].kind != "site"
        table.add_row(SiteName(row.name), _scans(row.test), *cells, end_section=last_site)
    notes = [few_note((row.name, row.estimates) for row in rows)]
    if names != UNNAMED:
        notes.append(f"pos.: scans of {names.positive}.")
    table.caption, table.caption_justify = Text("\n".join(filter(None, notes))) or None, "left"
    return table


def _scans(test: TestMetrics | None) -> str:
    return "" if test is None else f"{test.scans} ({test.positives})"


def _cell(estimate: Estimate | None) -> str:
    """Format an estimate with its CI, or the reason why there is none without its part in brackets."""
    if estimate is None:
        return "–"
    if estimate.value is None:
        return interval(estimate).split(" (")[0]
    return interval(estimate)
