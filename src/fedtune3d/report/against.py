"""The federated model against the baselines, for the terminal and for the page."""

from dataclasses import dataclass

from rich import box
from rich.table import Table
from rich.text import Text

from fedtune3d.evaluation.against_baselines import Tested
from fedtune3d.evaluation.metrics import RunMetrics
from fedtune3d.report.number_formatting import METHODS, difference, p_value, plural
from fedtune3d.report.run_contents import RunContents

MEAN = "Mean over sites"


@dataclass(frozen=True)
class AgainstRow:
    """Federated minus a baseline at one site, or on average.

    Attributes:
        baseline: Its title.
        place: The site, or `MEAN`.
        people: `25 + 30`, people with a positive and with a negative test scan, or how many sites are behind a mean.
        tested: The comparison, with its adjusted p-value.
    """

    baseline: str
    place: str
    people: str
    tested: Tested


def against_rows(metrics: RunMetrics) -> list[AgainstRow]:
    """For each baseline the mean over sites, then each site."""
    rows = []
    for name in METHODS:
        if (found := metrics.against.get(name)) is None:
            continue
        sites = plural(len(found.mean.comparison.sites), "site")
        rows.append(AgainstRow(METHODS[name], MEAN, sites, found.mean))
        for site, tested in found.sites.items():
            negatives, positives = metrics.federated.sites[site].participants_by_class
            rows.append(AgainstRow(METHODS[name], site, f"{positives} + {negatives}", tested))
    return rows


def against_table(metrics: RunMetrics) -> Table | None:
    """Federated minus each baseline, mean over sites; None where there is no baseline."""
    rows = [row for row in against_rows(metrics) if row.place == MEAN]
    if not rows:
        return None
    table = Table(
        title="Federated minus baseline, paired difference of test AUC [95% CI]",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        title_justify="left",
    )
    for name in ("Baseline", "Mean over sites", "p", "p, Holm"):
        table.add_column(name)
    for row in rows:
        found = row.tested.comparison
        cells = (row.baseline, difference(found.difference), p_value(found.p_value), p_value(row.tested.p_holm))
        table.add_row(*map(Text, cells))
    return table


def budget_note(contents: RunContents) -> str:
    """What the methods that are compared had in common, and what differs."""
    training, rule = contents.config.get("training", {}), contents.config.get("aggregation", {}).get("rule", "fedavg")
    rounds, epochs = training.get("rounds", "–"), training.get("local_epochs", 1)
    passes = "1 pass" if epochs == 1 else f"{epochs} passes"
    sentences = [
        f"Every method trained for {rounds} rounds of {passes} over its training scans; its round was chosen likewise."
    ]
    methods = contents.metrics.methods if contents.metrics else {}
    if "local" in methods:
        sentences.append("Local: as many steps as the site makes in the federation, on its own scans.")
    if "centralized" in methods:
        sentences.append(
            "Centralized: the scans of all sites in one place, so a round has as many steps as all sites together."
        )
    if "leave_one_site_out" in methods:
        sentences.append(f"Leave one site out: the same rule ({rule}) without the scans of one site.")
    return " ".join(sentences)
