"""How many sites have few test people, of two classes and of a number."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from outcome_metrics import number_metrics

from fedtune3d._utils.folders import RunFolder
from fedtune3d.evaluation.metrics import read_metrics
from fedtune3d.evaluation.outcome import NumberOutcome
from fedtune3d.report.few_sites import few_sites_text, most_are_few


def test_sites_are_few_by_their_smallest_class_or_by_all_people_of_a_number(make_run: Callable[..., Path]) -> None:
    metrics = read_metrics(RunFolder(make_run()).metrics)
    assert few_sites_text(metrics) == "2 sites have fewer than 10 people in a class"
    assert not most_are_few(metrics)  # 2 of 4
    boston = replace(metrics.federated, sites={"Boston": metrics.federated.sites["Boston"]})
    assert few_sites_text(replace(metrics, methods={"federated": boston})) == ""
    age = NumberOutcome("age", 40.0, 100.0, "years", "error", "mse")
    found = number_metrics()
    sites = {name: replace(test, participants=9) for name, test in found.sites.items()}
    of_number = replace(metrics, outcome=age, methods={}, number_methods={"federated": replace(found, sites=sites)})
    assert few_sites_text(of_number).endswith(" fewer than 10 people")
    assert most_are_few(of_number)
