"""The sentence and the table on how much the models give away."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fedtune3d._utils.folders import RunFolder
from fedtune3d.evaluation.membership import MembershipAttack, membership_metrics
from fedtune3d.evaluation.metrics import RunMetrics, read_metrics
from fedtune3d.report.membership import attacked_methods, membership_rows, membership_sentence

ATTACKS = {"federated": (0.6, 14), "local": (0.7, 25), "centralized": (0.85, None)}


@pytest.fixture
def metrics(make_run: Callable[..., Path]) -> RunMetrics:
    """A run in which each method was attacked at one site of 100 training and 60 test people."""
    found = read_metrics(RunFolder(make_run()).metrics)
    methods = {}
    for name, (auc, recognised) in ATTACKS.items():
        attack = membership_metrics({"Graz": (MembershipAttack(100, auc, 1.0, recognised), 60)})
        methods[name] = replace(found.methods[name], membership=attack)
    return replace(found, methods=methods)


def test_the_sentence_names_people_chance_and_auc(metrics: RunMetrics) -> None:
    assert membership_sentence(metrics) == (
        "Anyone with a person's scan and diagnosis can use a trained model to guess whether this person was in its "
        "training set. With at most 1 false alarm in 20 other people, this attack recognises "
        "14 of 100 training people with the federated model (by chance 7; AUC 0.60 [0.51, 0.68]), "
        "25 of 100 training people with the sites' own models (by chance 7; AUC 0.70 [0.61, 0.77]) and "
        "an undisclosed number of 100 training people with the centralized model (by chance 7; AUC 0.85 [0.78, 0.90]); "
        "an AUC of 0.5 is a coin toss, 1 is certainty. The federated model memorises: use fewer rounds or differential "
        "privacy, or do not share the weights."
    )


def test_advice_is_given_only_where_the_attack_is_shown_to_do_better_than_chance(metrics: RunMetrics) -> None:
    attack = metrics.federated.membership
    assert attack is not None
    harmless = replace(attack, mean_auc=replace(attack.mean_auc, value=0.55, low=0.47, high=0.63))
    methods = metrics.methods | {"federated": replace(metrics.federated, membership=harmless)}
    assert membership_sentence(replace(metrics, methods=methods)).endswith("1 is certainty.")


def test_the_table_has_a_row_per_site_and_one_of_all(metrics: RunMetrics) -> None:
    assert list(attacked_methods(metrics).values()) == ["Federated", "Local", "Centralized"]
    site, summary = membership_rows(metrics)
    assert (site.name, site.summary, summary.name, summary.summary) == ("Graz", False, "All", True)
    assert (summary.members, summary.others) == (site.members, site.others) == (100, 60)
    assert [cell.recognised for cell in site.cells] == ["14 of 100 [9%, 22%]", "25 of 100 [18%, 34%]", "held back"]
    assert [cell.recognised for cell in summary.cells] == [cell.recognised for cell in site.cells]
    assert site.by_chance == summary.by_chance == "6.6"


def test_nothing_is_said_where_nothing_was_measured(metrics: RunMetrics) -> None:
    methods = {name: replace(method, membership=None) for name, method in metrics.methods.items()}
    without = replace(metrics, methods=methods)
    assert membership_sentence(without) == ""
    assert membership_rows(without) == []


def test_the_page_shows_the_sentence_and_what_it_does_not_cover(finished_page: Path) -> None:
    page = finished_page.read_text(encoding="utf-8")
    assert "How much the models give away" in page
    assert "can use a trained model to guess whether this person was in its training" in page
    assert "These numbers are a lower bound" in page
