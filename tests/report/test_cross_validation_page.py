"""The report of a cross-validation: the numbers of its results, every fold, and what is missing."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from cross_validation_results import results_of, results_of_numbers
from html_tables import tables_in

from fedtune3d._utils.folders import CrossValidationFolder
from fedtune3d._utils.typed_json import write_typed
from fedtune3d.evaluation.cross_validation import CrossValidationResults
from fedtune3d.report import write_cross_validation_report


@pytest.fixture
def folder(tmp_path: Path) -> CrossValidationFolder:
    folder = CrossValidationFolder(tmp_path)
    write_typed(folder.results, results_of(3, 2))
    write_cross_validation_report(folder.path)
    return folder


def test_the_page_has_every_number_of_the_results(folder: CrossValidationFolder) -> None:
    page, results = folder.report.read_text(), CrossValidationResults.read(folder)
    text = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    mean = results.methods["federated"].mean
    assert mean.estimate.value is not None
    assert f"Cross-validated AUC, mean over 2 sites: {mean.estimate.value:.2f} (95% CI " in text
    assert "3 folds, 2 repeats" in text
    for method in results.methods.values():
        for auc in (*method.sites.values(), method.mean):
            assert f"{auc.estimate.value:.2f} [{auc.estimate.low:.2f}, {auc.estimate.high:.2f}]" in text
            assert f"{auc.sd_folds:.2f} over folds, {auc.sd_repeats:.2f} over repeats" in text
        for fold in method.mean.folds:
            assert f"{fold.value:.2f}" in text
    assert "is not a standard error" in text
    assert len(tables_in(folder.report)) == 4


def test_the_figure_has_a_dot_for_every_fold(folder: CrossValidationFolder) -> None:
    lines = (folder.figures / "fold_aucs.tsv").read_text().splitlines()
    assert len(lines) == 1 + 2 * 6 * 3  # methods, folds, two sites and the mean
    assert (folder.figures / "fold_aucs.svg").exists()


def test_failed_and_missing_folds_are_listed(tmp_path: Path) -> None:
    folder = CrossValidationFolder(tmp_path)
    nothing = replace(results_of(3, 1), methods={}, faults={"repeat1-fold2": "no disk space"})
    write_typed(folder.results, nothing)
    page = write_cross_validation_report(folder.path).read_text()
    assert "No fold of 3 is finished yet." in page
    assert "failed: no disk space" in page
    assert "1 fold failed" in page
    assert not folder.figures.exists()


def test_the_page_of_numbers_has_both_measures_and_errors_out_of_fold(tmp_path: Path) -> None:
    folder = CrossValidationFolder(tmp_path)
    results = results_of_numbers(3, 2)
    write_typed(folder.results, results)
    page = write_cross_validation_report(folder.path).read_text()
    text = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    for measure in results.methods["federated"].measures.values():
        for found in (*measure.sites.values(), measure.mean):
            assert f"{found.estimate.value:.2f} [{found.estimate.low:.2f}, {found.estimate.high:.2f}]" in text
    assert "5 of 6" in text  # folds with an R² at B
    assert "Errors out of fold" in text
    assert "Calibration out of fold" not in text
    assert "AUC" not in text
    assert len(tables_in(folder.report)) == 6  # two of sites, two of folds, errors, runs
    assert {path.stem for path in folder.figures.glob("*.svg")} == {
        "fold_errors",
        "fold_r_squared",
        "errors_out_of_fold",
    }
