"""Cross-validation: nothing of a test fold reaches its model, folds resume, and results come from the folds alone."""

import csv
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import yaml
from command_line import call
from unrendered import unrendered_figures
from waiting import wait_while_running

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.folders import CrossValidationFolder, RunFolder
from fedtune3d._utils.progress import Silent
from fedtune3d._utils.run_config import read_run_config, write_run_config
from fedtune3d._utils.sealed import read_sealed_text, write_sealed_text
from fedtune3d._utils.state_dicts import load_state, state_sha256
from fedtune3d.cohorts.splits import read_splits
from fedtune3d.config.experiment import Experiment
from fedtune3d.evaluation.cross_validation import CrossValidationResults
from fedtune3d.federation.ledger import read_ledger
from fedtune3d.workflows.check import check_experiment
from fedtune3d.workflows.cross_validate import cross_validate, first_fold, fold_experiments, write_results
from fedtune3d.workflows.plan import SiteScans
from fedtune3d.workflows.prepare import prepare_sites
from fedtune3d.workflows.run import run_across, run_experiment
from fedtune3d.workflows.run_folder import read_metrics


def experiment_of(small_experiment: Any, output: Path, **changes: object) -> Experiment:
    values = {"validation": {"folds": 3}} | changes
    return Experiment.from_yaml(small_experiment.write(output, **values))


def spoil(site: Path, people: list[str]) -> None:
    """Give people the other diagnosis, another age and another scan."""
    table = site / "participants.tsv"
    other = {"AD": "CN", "CN": "AD"}
    rows = [line.split("\t") for line in table.read_text().splitlines()]
    rows = [[row[0], other[row[1]], str(150 - int(row[2])), *row[3:]] if row[0] in people else row for row in rows]
    table.write_text("".join("\t".join(row) + "\n" for row in rows))
    rng = np.random.default_rng(7)
    for person in people:
        (path,) = (site / person).rglob("*.nii.gz")
        image = nib.load(path)
        values = image.get_fdata()
        nib.save(nib.Nifti1Image((values * rng.uniform(0.4, 1.6, values.shape)).astype(np.float32), image.affine), path)


AGE = {"labels": None, "target": {"column": "age", "range": [40, 100], "missing": "error"}}


@pytest.mark.ci
@pytest.mark.parametrize("outcome", [{"evaluation": {"recalibration": "platt"}}, AGE], ids=["two", "number"])
def test_no_label_or_scan_of_a_test_fold_reaches_its_model(
    small_experiment: Any, tmp_path: Path, outcome: dict[str, Any]
) -> None:
    """The attack: the test people's diagnoses, ages and scans are replaced, and the fold is trained again."""
    for name in "AB":
        shutil.copytree(small_experiment.folder / name, tmp_path / name)
    sites = [{"name": name, "root": str(tmp_path / name)} for name in "AB"]
    changes = {"sites": sites, **outcome}
    runs = {}
    for attempt in ("before", "after"):
        whole = experiment_of(small_experiment, tmp_path / attempt, **changes)
        fold = fold_experiments(whole)["repeat1-fold2"]
        folder = RunFolder(fold.output)
        if attempt == "after":  # the same people in the same fold, although classes have changed
            write_run_config(folder.config, fold.public())
            for name in "AB":
                own = runs["before"].site(name).splits
                tested = [person for person, split in read_splits(own).items() if split == "test"]
                assert tested
                spoil(tmp_path / name, tested)
                write_sealed_text(folder.site(name).splits, read_sealed_text(own))
        runs[attempt] = run_experiment(fold, resume=True, report=False)
    before, after = runs["before"], runs["after"]
    assert state_sha256(load_state(before.best_checkpoint)) == state_sha256(load_state(after.best_checkpoint))
    chosen = [[line.validation for line in read_ledger(run.rounds.ledger)] for run in (before, after)]
    assert chosen[0] == chosen[1]
    fitted, tested_on = zip(*(fitted_and_tested(run) for run in (before, after)), strict=True)
    assert fitted[0] == fitted[1]
    assert None not in fitted[0]
    assert tested_on[0] != tested_on[1]  # the attack has changed what is tested


def fitted_and_tested(run: RunFolder) -> tuple[list[Any], Any]:
    """What is fitted to validation scans, and the metrics of test scans."""
    metrics = read_metrics(run)
    if (two := metrics.of_two_classes) is not None:
        return [two.threshold, two.scaling], two.sites
    numbers = metrics.number_methods["federated"]
    return [numbers.corrections], numbers.sites


def test_more_folds_than_people_of_a_class_are_refused_in_one_line(small_experiment: Any, tmp_path: Path) -> None:
    """B has five people of each class."""
    whole = experiment_of(small_experiment, tmp_path / "run", validation={"folds": 6})
    said = r"validation.folds: expected at most 5, the number of people of class negative at site B, got 6"
    for attempt in (
        lambda: SiteScans(first_fold(whole)),
        lambda: check_experiment(whole, Silent(), near=False),
        lambda: cross_validate(whole),
        lambda: prepare_sites(whole, Silent()),
    ):
        with pytest.raises(InputError, match=said) as caught:
            attempt()
        assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_a_cross_validation_is_no_single_run(
    capsys: pytest.CaptureFixture[str], small_experiment: Any, tmp_path: Path
) -> None:
    whole = experiment_of(small_experiment, tmp_path / "run")
    code, _, err = call(capsys, "run", tmp_path / "run.yaml", "--watch")
    assert (code, "--watch follows one run, not the folds of a cross-validation" in err) == (2, True)
    asked: list[object] = []
    for attempt in (
        lambda: run_experiment(whole),
        lambda: run_across(whole, asked.append, resume=False, progress=None),  # type: ignore[arg-type]
    ):
        with pytest.raises(
            InputError, match=r"every fold is a run of its own.* across hospitals each is an experiment"
        ):
            attempt()
    assert asked == []  # no site was reached
    plain = Experiment.from_yaml(small_experiment.write(tmp_path / "plain"))
    with pytest.raises(InputError, match="validation: missing"):
        cross_validate(plain)
    assert first_fold(plain) == plain
    assert first_fold(whole).name == "small-repeat1-fold1"


def as_folds(run: RunFolder, folder: CrossValidationFolder, folds: int = 2) -> None:
    """Copies of a finished run in the places of folds."""
    for number in range(1, folds + 1):
        fold = folder.fold(f"repeat1-fold{number}")
        shutil.copytree(run.path, fold.path)
        config = read_run_config(fold.config)
        write_run_config(fold.config, config | {"validation": {"folds": folds, "only": {"repeat": 1, "fold": number}}})


def test_results_and_report_come_from_the_folds_alone(
    capsys: pytest.CaptureFixture[str], small_run: RunFolder, tmp_path: Path
) -> None:
    """As from folds that ran across hospitals: each has the same AUCs here, which are then their means."""
    folder = CrossValidationFolder(tmp_path / "cv")
    as_folds(small_run, folder)
    with unrendered_figures():
        code, printed, _ = call(capsys, "report", folder.path)
    assert code == 0
    assert str(folder.report) in printed
    results, metrics = CrossValidationResults.read(folder), read_metrics(small_run)
    assert (results.folds, results.repeats, results.sites) == (2, 1, ("A", "B"))
    assert results.methods.keys() == {"federated", "local", "centralized"}
    for name, method in results.methods.items():
        for site in "AB":
            expected = metrics.methods[name].sites[site].auc.value
            assert method.sites[site].estimate.value == pytest.approx(expected)
            assert [fold.value for fold in method.sites[site].folds] == [expected, expected]
            assert method.sites[site].sd_folds == 0
        assert method.mean.estimate.value == pytest.approx(metrics.methods[name].mean_auc.value)
    rows = list(csv.DictReader(folder.table.open(), delimiter="\t"))
    assert len(rows) == 3 * 2 * 3  # methods, folds, sites and their mean
    folder.fold("repeat1-fold2").metrics.unlink()
    write_results(folder)
    assert (
        CrossValidationResults.read(folder).methods["federated"].mean.estimate.undefined == "1 of 2 folds are finished"
    )


def test_folds_of_different_cross_validations_are_not_combined(small_run: RunFolder, tmp_path: Path) -> None:
    folder = CrossValidationFolder(tmp_path / "cv")
    as_folds(small_run, folder)
    config = folder.fold("repeat1-fold2").config
    values = read_run_config(config)
    write_run_config(config, values | {"seed": 4})
    with pytest.raises(InputError, match="expected folds of one cross-validation, with the same seed"):
        write_results(folder)
    write_run_config(config, {key: value for key, value in values.items() if key != "validation"})
    with pytest.raises(InputError, match="expected the run of one fold of a cross-validation"):
        write_results(folder)


def test_another_folder_is_not_written_to(small_experiment: Any, small_run: RunFolder, tmp_path: Path) -> None:
    shutil.copytree(small_run.path, tmp_path / "run")
    with pytest.raises(InputError, match="contains files but no cross-validation; change `output`"):
        cross_validate(experiment_of(small_experiment, tmp_path / "run"))
    as_folds(small_run, CrossValidationFolder(tmp_path / "cv"))
    whole = experiment_of(small_experiment, tmp_path / "cv", validation={"folds": 2})
    with pytest.raises(InputError, match="already contains a cross-validation; add --resume"):
        cross_validate(whole)
    with pytest.raises(InputError, match="contains a run with another configuration"):
        cross_validate(whole.model_copy(update={"seed": 9}), resume=True)


@pytest.mark.slow
def test_a_killed_cross_validation_goes_on_to_the_same_bits(small_experiment: Any, tmp_path: Path) -> None:
    """Killed in its second fold; with another number of workers, and against folds run one by one in this process."""
    path = small_experiment.write(tmp_path / "cv", validation={"folds": 2}, baselines=["leave_one_site_out"])
    folder = CrossValidationFolder(tmp_path / "cv")
    command = [sys.executable, "-m", "fedtune3d", "run", str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    wait_while_running(process, folder.fold("repeat1-fold2").environment.exists, "the second fold to begin")
    process.send_signal(signal.SIGKILL)
    process.wait()
    finished = folder.fold("repeat1-fold1").metrics.stat().st_mtime_ns
    again = subprocess.run([*command, "--resume", "--workers", "2"], capture_output=True, text=True, check=True)
    assert folder.fold("repeat1-fold1").metrics.stat().st_mtime_ns == finished
    assert "Cross-validated AUC, mean over 2 sites" in again.stdout
    results = CrossValidationResults.read(folder)
    assert results.methods.keys() == {"federated", "leave_one_site_out"}
    assert results.faults == {}
    alone = yaml.safe_load(path.read_text()) | {"output": str(tmp_path / "alone")}
    alone["validation"] = {"folds": 2, "only": {"repeat": 1, "fold": 2}}
    path.write_text(yaml.safe_dump(alone))
    run = run_experiment(Experiment.from_yaml(path), report=False)
    checkpoints = [run.best_checkpoint, folder.fold("repeat1-fold2").best_checkpoint]
    assert len({state_sha256(load_state(checkpoint)) for checkpoint in checkpoints}) == 1


@pytest.mark.slow
def test_a_study_cross_validates_each_combination(small_experiment: Any, tmp_path: Path) -> None:
    values = {key: value for key, value in small_experiment.values.items() if key != "seed"}
    path = tmp_path / "study.yaml"
    grid = {"heads": ["linear", "conv_s"], "validation": {"folds": 2}, "output": str(tmp_path / "study")}
    path.write_text(yaml.safe_dump(values | grid))
    command = [sys.executable, "-m", "fedtune3d", "benchmark", str(path), "--no-plan", "--workers", "2"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "(mean of 2 folds)" in done.stdout
    names = {f"{head}-frozen-fedavg-seed0-repeat1-fold{fold}" for head in ("linear", "conv_s") for fold in (1, 2)}
    assert {run.name for run in (tmp_path / "study" / "trials").iterdir()} == names
    page = (tmp_path / "study" / "report.html").read_text()
    assert "0, repeat 1, fold 2" in page
    assert "2 folds in 1 repeat per seed" in page
