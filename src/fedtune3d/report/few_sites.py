"""How many sites have few people in the test set."""

from fedtune3d.evaluation.estimate import FEW
from fedtune3d.evaluation.metrics import RunMetrics
from fedtune3d.evaluation.outcome import NumberOutcome
from fedtune3d.report.number_formatting import sites_have


def few_sites_text(metrics: RunMetrics) -> str:
    """Say how many sites have few test people: `2 sites have fewer than 10 people in a class`; empty if none has."""
    few = sum(_few(metrics))
    in_a_class = "" if isinstance(metrics.outcome, NumberOutcome) else " in a class"
    return f"{sites_have(few)} fewer than {FEW} people{in_a_class}" if few else ""


def most_are_few(metrics: RunMetrics) -> bool:
    """Return whether more than half of the sites with test scans have few people."""
    few = _few(metrics)
    return sum(few) * 2 > len(few)


def _few(metrics: RunMetrics) -> list[bool]:
    """Return whether each site whose number of test scans is known, and not 0, has few people."""
    if (classes := metrics.class_methods.get("federated")) is not None:
        return [min(part.people for part in test.of_class) < FEW for test in classes.sites.values() if test.scans]
    if isinstance(metrics.outcome, NumberOutcome):
        numbers = metrics.number_methods["federated"].sites.values()
        return [test.participants < FEW for test in numbers if test.participants]
    return [min(test.participants_by_class) < FEW for test in metrics.federated.sites.values() if test.scans]
