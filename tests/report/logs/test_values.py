"""What of the ledger and the evaluation stands in a log."""

from dataclasses import replace
from pathlib import Path

from fedtune3d._utils.folders import RunFolder
from fedtune3d.evaluation.estimate import defined, undefined
from fedtune3d.evaluation.mean_over_sites import SiteMean
from fedtune3d.evaluation.metrics import read_metrics
from fedtune3d.federation.ledger import LedgerLine, SiteEntry, Validation
from fedtune3d.report.logs.values import evaluation_values, round_values
from fedtune3d.training.scores import Scores

ENTRY = SiteEntry(
    participated=True,
    weight=0.75,
    bytes_down=200,
    bytes_up=100,
    received=Scores(auc=0.6, balanced_accuracy=None, loss=0.7, examples=8, why=None),
    examples=30,
    loss=0.5,
    seconds=2.5,
    peak_memory_bytes=9,
)
LINE = LedgerLine(
    round=3,
    kind="train",
    seconds=4.0,
    sites={"A": ENTRY, "B": SiteEntry(bytes_down=200, fault="no answer")},
    validation=Validation(state_round=2, mean_auc=0.6, pooled_loss=0.7),
    rule="fedavg",
)


def test_a_training_round() -> None:
    assert {(name, step): value for name, step, value in round_values(LINE)} == {
        ("round/validation_auc_mean", 2): 0.6,  # of the state that the sites received
        ("round/validation_loss_pooled", 2): 0.7,
        ("validation_auc/A", 2): 0.6,
        ("validation_loss/A", 2): 0.7,
        ("round/seconds", 3): 4.0,
        ("round/sites", 3): 1.0,
        ("training_loss/A", 3): 0.5,
        ("weight/A", 3): 0.75,
        ("bytes_down/A", 3): 200.0,
        ("bytes_up/A", 3): 100.0,
        ("seconds/A", 3): 2.5,
        ("bytes_down/B", 3): 200.0,
        ("bytes_up/B", 3): 0.0,
    }


def test_the_last_scoring_adds_to_no_training_round() -> None:
    entry = replace(ENTRY, participated=False, weight=None)
    validation = replace(LINE.validation, state_round=3)
    line = replace(LINE, rule=None, kind="score", sites={"A": entry}, validation=validation)
    assert {(name, step) for name, step, _ in round_values(line)} == {
        ("round/validation_auc_mean", 3),
        ("round/validation_loss_pooled", 3),
        ("validation_auc/A", 3),
        ("validation_loss/A", 3),
    }


def test_the_evaluation_stands_at_the_round_evaluated(finished_run: Path) -> None:
    auc, none = defined(0.8, (0.7, 0.9), "m", few=False), undefined("one class only")
    metrics = read_metrics(RunFolder(finished_run).metrics)
    federated = metrics.federated
    assert federated.pooled is not None
    tests = {"A": replace(federated.sites["Boston"], auc=auc), "B": replace(federated.sites["Graz"], auc=none)}
    mean, no_mean = (SiteMean(**vars(estimate), sites=("A",)) for estimate in (auc, none))
    methods = {
        "federated": replace(federated, mean_auc=mean, pooled=replace(federated.pooled, auc=auc), sites=tests),
        "local": replace(federated, mean_auc=no_mean, pooled=None, sites={"A": tests["B"]}),
    }
    found = evaluation_values(replace(metrics, best_round=2, methods=methods))
    kinds = {"auc": 0.8, "auc_low": 0.7, "auc_high": 0.9}
    expected = {f"test/{kind}/federated/A": value for kind, value in kinds.items()}
    for place in ("auc_mean", "auc_pooled"):
        expected |= {f"test/{kind.replace('auc', place)}/federated": value for kind, value in kinds.items()}
    assert {name: value for name, _, value in found} == expected
    assert {step for _, step, _ in found} == {2}
