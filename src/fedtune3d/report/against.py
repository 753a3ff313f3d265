"""The federated model against the baselines, for the terminal and for the page."""

from dataclasses import dataclass

from rich import box
from rich.table import Table
from rich.text import Text

from fedtune3d.evaluation.against_baselines import Tested
from fedtune3d.evaluation.metrics import RunMetrics
from fedtune3d.evaluation.outcome import ClassOutcome, in_shown_order
from fedtune3d.report.budget import budgets_of
from fedtune3d.report.headline import headline
from fedtune3d.report.number_formatting import METHODS, difference, p_value, plural
from fedtune3d.report.run_contents import RunContents

MEAN = "Mean over sites"


@dataclass(frozen=True)
class AgainstRow:
    """Federated minus a baseline at one site, or on average.

    Attributes:
        baseline: Title of the baseline.
        place: The site, or `MEAN`.
        people: People of each class with test scans, such as `25 + 30`, or all of them where a number is predicted; of
            a mean, the number of sites.
        tested: The comparison, with its adjusted p-value.
    """

    baseline: str
    place: str
    people: str
    tested: Tested


def against_rows(metrics: RunMetrics) -> list[AgainstRow]:
    """Return, for each baseline, each site and then the mean over sites."""
    rows = []
    for name in METHODS:
        if (differences := metrics.against.get(name)) is None:
            continue
        sites = plural(len(differences.mean.comparison.sites), "site")
        for site, tested in differences.sites.items():
            rows.append(AgainstRow(METHODS[name], site, _people(metrics, site), tested))
        rows.append(AgainstRow(METHODS[name], MEAN, sites, differences.mean))
    return rows


def compared_measure(metrics: RunMetrics) -> str:
    """Return what is compared: `test AUC`, `macro-averaged test AUC`, or `mean absolute test error (years)`."""
    found = headline(metrics)
    name = found.name.removeprefix("mean ") if isinstance(metrics.outcome, ClassOutcome) else found.name
    return name + (f" ({found.unit})" if found.unit else "")


def direction(metrics: RunMetrics) -> str:
    """Say which sign of a difference is in favour of the federated model, where that is not obvious: of errors."""
    return "; below 0 the federated model is better" if headline(metrics).lower_is_better else ""


def _people(metrics: RunMetrics, site: str) -> str:
    """Return the people with test scans of each class, in shown order; of a number, all of them."""
    if (numbers := metrics.number_methods.get("federated")) is not None:
        return str(numbers.sites[site].participants)
    if (two := metrics.of_two_classes) is not None:
        return " + ".join(map(str, in_shown_order(two.sites[site].participants_by_class)))
    of_class = metrics.class_methods["federated"].sites[site].of_class
    return " + ".join(str(part.people) for part in in_shown_order(of_class))


def against_table(metrics: RunMetrics) -> Table | None:
    """Tabulate federated minus each baseline, averaged over sites; None without baselines."""
    rows = [row for row in against_rows(metrics) if row.place == MEAN]
    if not rows:
        return None
    table = Table(
        title=f"Federated minus baseline, {compared_measure(metrics)} [95% CI]{direction(metrics)}",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        title_justify="left",
    )
    for name in ("Baseline", "Mean over sites", "p", "p, Holm"):
        table.add_column(name)
    for row in rows:
        comparison, p_holm = row.tested.comparison, p_value(row.tested.p_holm)
        table.add_row(
            *map(Text, (row.baseline, difference(comparison.difference), p_value(comparison.p_value), p_holm))
        )
    return table


def budget_note(contents: RunContents) -> str:
    """Describe the training budget that the compared methods share, and their differences."""
    training, rule = contents.config.get("training", {}), contents.config.get("aggregation", {}).get("rule", "fedavg")
    rounds, epochs = training.get("rounds", "–"), training.get("local_epochs", 1)
    passes = "1 pass" if epochs == 1 else f"{epochs} passes"
    sentences = [
        f"Every method trained for {rounds} rounds of {passes} over its training scans, and its round was chosen "
        "in the same way."
    ]
    if steps := training.get("min_steps", 0):
        sentences.append(
            f"With fewer than {steps} steps per round, whole passes were repeated until there were at least {steps}."
        )
    methods = contents.metrics.evaluated if contents.metrics else {}
    if "local" in methods:
        sentences.append("Local: as many steps as the site takes in the federation, on its own scans.")
    if "centralized" in methods:
        sentences.append(
            "Centralized: the scans of all sites in one place, trained with the same settings as one large site."
        )
    if "leave_one_site_out" in methods:
        sentences.append(f"Leave one site out: the same rule ({rule}) without the scans of one site.")
    if methods and (budgets := budgets_of(contents)):
        counted = "; ".join(f"{METHODS[name].lower()} {budget}" for name, budget in budgets.items() if name in methods)
        sentences.append(f"Over all sites: {counted}.")
    return " ".join(sentences)
