"""The main result of a run in one sentence."""

from dataclasses import replace
from pathlib import Path

import pytest

from fedtune3d._utils.folders import RunFolder
from fedtune3d.evaluation.estimate import Estimate, defined, undefined
from fedtune3d.evaluation.mean_over_sites import SiteMean
from fedtune3d.evaluation.metrics import RunMetrics, read_metrics
from fedtune3d.report import headline as words


@pytest.fixture
def metrics(finished_run: Path) -> RunMetrics:
    return read_metrics(RunFolder(finished_run).metrics)


def with_mean(metrics: RunMetrics, mean: Estimate, sites: tuple[str, ...]) -> RunMetrics:
    federated = replace(metrics.federated, mean_auc=SiteMean(**vars(mean), sites=sites))
    return replace(metrics, methods={"federated": federated})


def test_the_answer_is_one_sentence(metrics: RunMetrics) -> None:
    mean = defined(0.8149, (0.7351, 0.881), "m", few=False)
    expected = "CONV S head, frozen encoder, FedAvg: mean test AUC over 2 sites 0.81 [0.74, 0.88], 41.0 MB of traffic."
    assert words.answer(with_mean(metrics, mean, ("A", "B")), 41_000_000) == expected
    few = words.answer(with_mean(metrics, replace(mean, mark="few"), ("A",)), 5_000)
    assert "over 1 site 0.81 [0.74, 0.88] (few people), 5.0 kB" in few


def test_the_answer_says_why_there_is_none(metrics: RunMetrics) -> None:
    text = words.answer(with_mean(metrics, undefined("no site has an AUC"), ()), 0)
    assert text.endswith("the mean test AUC is not defined: no site has an AUC.")
