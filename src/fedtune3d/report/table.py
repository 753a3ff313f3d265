"""The AUC table: per site and method, for the terminal and for the page."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from rich import box
from rich.table import Table
from rich.text import Text

from fedtune3d.report.number_formatting import METHODS, interval


class AucRow(NamedTuple):
    """A site, the mean over sites, or all sites pooled; the estimates in the order of the methods."""

    name: str
    kind: str
    people: Mapping[str, Any] | None
    estimates: list[Mapping[str, Any] | None]


def shown_methods(metrics: Mapping[str, Any]) -> list[str]:
    """The methods that were evaluated, in the order in which they are shown."""
    return [name for name in METHODS if name in metrics["methods"]]


def auc_rows(metrics: Mapping[str, Any]) -> list[AucRow]:
    """One row a site, then the mean over sites, then all test scans pooled (None where a method has no such number)."""
    methods = [metrics["methods"][name] for name in shown_methods(metrics)]
    sites = methods[0]["sites"]
    rows = [
        AucRow(site, "site", sites[site], [method["sites"].get(site, {}).get("auc") for method in methods])
        for site in sites
    ]
    rows.append(AucRow("Mean", "mean", None, [method["mean_auc"] for method in methods]))
    pooled = [method["pooled"] for method in methods]
    if any(pooled):
        people = next(part for part in pooled if part)
        rows.append(AucRow("Pooled", "pooled", people, [part["auc"] if part else None for part in pooled]))
    return rows


def auc_table(metrics: Mapping[str, Any]) -> Table:
    """Test AUC with 95 % intervals per site, federated beside the baselines; 'few' and 'not defined' where so."""
    table = Table(title="Test AUC [95 % interval]", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left")
    table.add_column("Site", no_wrap=True)
    table.add_column("Scans (pos.)", justify="right", max_width=9)
    for name in shown_methods(metrics):
        table.add_column(METHODS[name])
    rows = auc_rows(metrics)
    for index, row in enumerate(rows):
        cells = [Text(_cell(estimate)) for estimate in row.estimates]
        last_site = row.kind == "site" and rows[index + 1].kind != "site"
        table.add_row(Text(row.name), _people(row.people), *cells, end_section=last_site)
    return table


def _people(people: Mapping[str, Any] | None) -> str:
    return f"{people['scans']} ({people['positives']})" if people else ""


def _cell(estimate: Mapping[str, Any] | None) -> str:
    """Of a reason, what stands in brackets is left to the page."""
    if estimate is None:
        return "–"
    if estimate["value"] is None:
        return interval(estimate).split(" (")[0]
    return interval(estimate) + (f" {estimate['mark']}" if estimate["mark"] else "")
