"""The AUC of a study's combinations over seeds and over folds."""

import shutil
from pathlib import Path

import pytest

from fedtune3d._utils.folders import RunFolder, StudyFolder
from fedtune3d.cohorts.folds import Fold
from fedtune3d.config.study_axes import Draw
from fedtune3d.config.study_results import CombinationRecord, StudyResults, VariantRecord
from fedtune3d.evaluation.estimate import defined, undefined
from fedtune3d.evaluation.metrics import read_metrics
from fedtune3d.report import write_study_report
from fedtune3d.report.study_contents import read_study
from fedtune3d.report.study_estimates import over_folds, over_seeds


def test_seeds_are_averaged_and_their_spread_is_given() -> None:
    found = over_seeds({1: defined(0.7, (0.6, 0.8), "a", few=False), 2: defined(0.9, (0.8, 1.0), "a", few=True)}, "")
    assert found.estimate.limits == pytest.approx((0.8, 0.7, 0.9))
    assert (found.sd, found.estimate.mark, found.values) == (pytest.approx(0.02**0.5), "few", {1: 0.7, 2: 0.9})
    assert over_seeds({}, "the run failed").estimate.undefined == "the run failed"
    assert over_seeds({1: undefined("one class only")}, "x").estimate.undefined == "one class only"


@pytest.fixture
def study(small_run: RunFolder, tmp_path: Path) -> StudyFolder:
    """A cross-validated study of one combination with two seeds of two folds, all copies of one run."""
    draws = dict(enumerate(Draw(seed, Fold(1, number, 2)) for seed in (0, 1) for number in (1, 2)))
    parts = [VariantRecord(part, part, "") for part in ("linear", "frozen", "fedavg")]
    trials = {number: f"linear-seed{draw.seed}-{draw.fold.name}" for number, draw in draws.items() if draw.fold}
    record = CombinationRecord("linear", False, *parts, trials, 0.7)
    results = StudyResults(
        name="folds",
        design="stages",
        seeds=(0, 1),
        sites=("A", "B"),
        baselines=(),
        chosen={"head": "linear", "tuning": "frozen", "rule": "fedavg"},
        stages=dict.fromkeys(("heads", "tunings", "rules"), (record,)),
        faults={},
        folds=draws,
    )
    folder = StudyFolder(tmp_path / "study")
    for trial in trials.values():
        shutil.copytree(small_run.path, folder.trial(trial).path)
    results.write(folder)
    return folder


def test_the_folds_of_a_seed_are_combined_before_the_seeds(study: StudyFolder, small_run: RunFolder) -> None:
    results, auc = StudyResults.read(study), read_metrics(small_run.metrics).federated
    runs = {number: study.trial(name).path for number, name in results.stages["heads"][0].trials.items()}
    sites, mean = over_folds(runs, results, "federated", "")
    assert mean.values == dict.fromkeys(range(4), auc.mean_auc.value)
    assert mean.estimate.value == pytest.approx(auc.mean_auc.value)
    assert sites["A"].estimate.low is not None
    assert auc.sites["A"].auc.low is not None
    assert sites["A"].estimate.low < auc.sites["A"].auc.low  # twice the people, but folds share training people
    del runs[3]
    assert over_folds(runs, results, "federated", "")[1].values.keys() == {0, 1, 2}
    assert over_folds({}, results, "federated", "not complete")[1].estimate.undefined == "not complete"


@pytest.mark.usefixtures("_unrendered")
def test_the_page_of_a_cross_validated_study_shows_its_folds(study: StudyFolder) -> None:
    contents = read_study(study.path)
    assert (contents.unit, contents.numbers, contents.label(3)) == ("fold", [0, 1, 2, 3], "1, repeat 1, fold 2")
    page = write_study_report(study.path).read_text()
    assert ", 4 folds" in page
    assert "mean ± standard deviation over folds" in page
    assert "2 folds in 1 repeat per seed" in page
    assert "1, repeat 1, fold 2" in page
    header = (study.figures / "auc_by_rule.tsv").read_text().splitlines()[0].split("\t")
    assert {"sd_over_folds", "folds"} <= set(header)
