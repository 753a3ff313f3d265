"""The main result of a run in one number: what it is called, its mean over sites, and its unit."""

from dataclasses import dataclass

from fedtune3d.evaluation.estimate import Estimate
from fedtune3d.evaluation.mean_over_sites import SiteMean
from fedtune3d.evaluation.metrics import RunMetrics
from fedtune3d.evaluation.outcome import NumberOutcome
from fedtune3d.report.number_formatting import interval, plural, setup, size
from fedtune3d.report.statements import ci


@dataclass(frozen=True)
class Headline:
    """A measure of the test scans.

    Attributes:
        name: Its name in a sentence, such as ``mean test AUC``.
        short: Its shortest name, such as ``AUC``.
        mean: Its mean over sites.
        unit: Its unit; empty if it has none.
        lower_is_better: Whether it is an error.
    """

    name: str
    short: str
    mean: SiteMean
    unit: str = ""
    lower_is_better: bool = False

    @property
    def text(self) -> str:
        """Name, number of sites and value: `mean test AUC over 2 sites 0.81 [0.70, 0.90]`."""
        return self._with(f"{interval(self.mean)} {self.unit}".rstrip(), few=" (few people)")

    @property
    def sentence(self) -> str:
        """The same for a sentence: `mean test AUC over 2 sites 0.81 (95% CI 0.70–0.90)`."""
        return self._with(ci(self.mean, unit=self.unit), few=", few people")

    def _with(self, value: str, few: str) -> str:
        if self.mean.value is None:
            return f"the {self.name} is {value}"
        return f"{self.name} over {plural(len(self.mean.sites), 'site')} {value}{few if self.mean.mark else ''}"


def headline(metrics: RunMetrics, method: str = "federated") -> Headline:
    """Return the main result of a method: AUC, macro AUC or mean absolute error, by what the model predicts."""
    if (two := metrics.methods.get(method)) is not None:
        return Headline("mean test AUC", "AUC", two.mean_auc)
    if (classes := metrics.class_methods.get(method)) is not None:
        return Headline("mean macro-averaged test AUC", "macro AUC", classes.mean.macro_auc)
    outcome = metrics.outcome
    assert isinstance(outcome, NumberOutcome)
    mean = metrics.number_methods[method].mean.mae
    return Headline("mean absolute test error", "mean absolute error", mean, outcome.unit, lower_is_better=True)


def by_place(metrics: RunMetrics, method: str) -> dict[str, Estimate]:
    """Return site, and ``Pooled`` if the sites share a model, → the main measure of a method."""
    if (two := metrics.methods.get(method)) is not None:
        return {name: test.auc for name, test in two.parts.items()}
    if (classes := metrics.class_methods.get(method)) is not None:
        return {name: test.macro_auc for name, test in classes.parts.items()}
    return {name: test.measures.mae for name, test in metrics.number_methods[method].parts.items()}


def brief(metrics: RunMetrics) -> str:
    """State the main result for a line of progress: `test AUC 0.81`, or `no test AUC`."""
    found = headline(metrics)
    if found.mean.value is None:
        return f"no test {found.short}"
    return f"test {found.short} {found.mean.value:.2f} {found.unit}".rstrip()


def answer(metrics: RunMetrics, total_bytes: int) -> str:
    """State the run's main result and its traffic in one sentence."""
    found = headline(metrics)
    traffic = "" if found.mean.value is None else f", {size(total_bytes)} of traffic"
    return f"{setup(metrics)}: {found.text}{traffic}."
