"""Runs over three classes and over a number, from the tables over the sites (`outcome_summary`) to the export.

Also `card_outcome`, `first_outcome` and `outcome_tables`, by what they show of these runs.
"""

import csv
import json
import pickle
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from sklearn.metrics import mean_absolute_error, roc_auc_score
from unrendered import unrendered_figures

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.folders import CrossValidationFolder, RunFolder, StudyFolder
from fedtune3d._utils.folders.export import MODEL
from fedtune3d._utils.state_dicts import load_state
from fedtune3d.cohorts.labels import ClassMapping
from fedtune3d.cohorts.number_column import NumberColumn
from fedtune3d.config.class_names import UNNAMED
from fedtune3d.config.experiment import Experiment
from fedtune3d.config.study import Study
from fedtune3d.evaluation.cross_validation import CrossValidationResults
from fedtune3d.evaluation.metrics import read_metrics
from fedtune3d.evaluation.multiclass.confusion_matrix import ConfusionMatrix
from fedtune3d.evaluation.outcome import ClassOutcome, NumberOutcome
from fedtune3d.federation.in_process import InProcess
from fedtune3d.federation.ledger import read_ledger
from fedtune3d.federation.messages import Answer, Answering, Fault, Task
from fedtune3d.federation.privacy.screen import _what_is_predicted
from fedtune3d.federation.site.predictions_table import read_class_predictions, read_number_predictions
from fedtune3d.federation.workers.spool import AnyMessage, Packed, Spool
from fedtune3d.report import card_outcome, write_cross_validation_report
from fedtune3d.report.first_outcome import _only_class, new_scan
from fedtune3d.report.study_contents import read_study
from fedtune3d.report.study_ranking import ranked_rows
from fedtune3d.workflows.cross_validate import fold_experiments, write_results
from fedtune3d.workflows.explain import explainer
from fedtune3d.workflows.export import export_run, load_exported
from fedtune3d.workflows.predict import Predictor, predict_scans
from fedtune3d.workflows.run import run_experiment
from fedtune3d.workflows.scan_predictions import ClassPrediction, NumberPrediction, write_predictions_of
from fedtune3d.workflows.study import run_study

pytestmark = pytest.mark.ci

CLASSES = ("CN", "MCI", "AD")
THREE = [{"CN": ["CN"]}, {"MCI": "stage == 0.5"}, {"AD": ["AD", "Dementia"]}]
AGE = {"column": "age", "range": [40, 100], "unit": "years", "missing": "leave_out"}
STAGES = {"CN": "0", "MCI": "0.5", "AD": "1"}


def outcome_of(kind: str) -> dict[str, Any]:
    return {"labels": THREE} if kind == "classes" else {"labels": None, "target": AGE}


@pytest.fixture(scope="module")
def sites(small_experiment: Any, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    """The small experiment's scans, with tables of their own: three diagnoses in turn, and ages."""
    folder = tmp_path_factory.mktemp("tables")
    return [with_table(name, small_experiment.folder / name, folder) for name in "AB"]


@pytest.fixture(scope="module")
def three_sites(
    sites: list[dict[str, str]], write_small_site: Callable[..., None], tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, str]]:
    """The two sites and a third."""
    folder = tmp_path_factory.mktemp("third")
    write_small_site(folder / "C", 12, 9)
    return [*sites, with_table("C", folder / "C", folder)]


def with_table(name: str, root: Path, folder: Path) -> dict[str, str]:
    people = sorted(path.name for path in root.glob("sub-*"))
    rows = ["participant_id\tdiagnosis\tstage\tage\tsex"]
    for number, person in enumerate(people):
        diagnosis = CLASSES[number % 3]
        age = "n/a" if number == 0 else str(55 + 2 * number)
        rows.append(f"{person}\t{diagnosis}\t{STAGES[diagnosis]}\t{age}\t{'FM'[number // 2 % 2]}")
    table = folder / f"{name}.tsv"
    table.write_text("\n".join(rows) + "\n")
    return {"name": name, "root": str(root), "participants": str(table)}


@pytest.fixture(scope="module", params=["classes", "number"])
def finished(
    request: pytest.FixtureRequest,
    small_experiment: Any,
    sites: list[dict[str, str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[str, RunFolder]:
    """A run of two rounds with baselines, and whether it is of classes or of a number."""
    output = tmp_path_factory.mktemp(request.param) / "run"
    own = [site | {"policy": {"min_per_class": 1}} for site in sites]
    changes = outcome_of(request.param) | {"sites": own, "baselines": ["local", "leave_one_site_out"]}
    path = small_experiment.write(output, **changes, explain={"method": "gradcam"})
    return request.param, run_experiment(Experiment.from_yaml(path))


def test_a_model_that_calls_everybody_the_same_is_named() -> None:
    assert _only_class(ConfusionMatrix(((0, 8, 0), (0, 8, 0), (0, 8, 0)), (8, 8, 8))) == 1
    assert _only_class(ConfusionMatrix(((0, 8, 0), (1, 7, 0), (0, 8, 0)), (8, 8, 8))) is None
    assert _only_class(ConfusionMatrix(((0, 8, 0), (None, 8, None), (0, 8, 0)), (8, 8, 8))) is None


def test_numeric_classes_are_called_classes_where_a_model_is_described() -> None:
    outcome = ClassOutcome(("0", "1", "2"))
    assert card_outcome.output(outcome, UNNAMED) == (
        "3 logits; their softmax gives the probabilities of class 0, class 1, class 2"
    )
    assert new_scan(outcome) == (
        "the model gives the probability of class 0, class 1 and class 2; the class with the highest is predicted"
    )


def test_a_run_ends_in_metrics_and_a_report(finished: tuple[str, RunFolder]) -> None:
    kind, run = finished
    metrics = read_metrics(run.metrics)
    assert list(metrics.evaluated) == ["federated", "local", "leave_one_site_out"]
    assert metrics.methods == {}
    assert set(metrics.against) == {"local", "leave_one_site_out"}
    page = run.report.read_text()
    flow = json.loads(run.flow.read_text())
    if kind == "classes":
        assert metrics.outcome == ClassOutcome(CLASSES)
        federated = metrics.class_methods["federated"]
        assert federated.classes == CLASSES
        assert federated.pooled is not None
        assert metrics.class_methods["local"].pooled is None
        assert "CN vs MCI vs AD from T1-weighted MRI" in page
        assert "Macro-averaged test AUC [95% CI]" in page
        assert "Each class against the others" in page
        assert "all sites; guessing gives 0.33" in page
        limits = federated.pooled.macro_auc.limits
        assert ("chance gives 0.50" in page) == (limits is not None and limits[1] <= 0.5)
        assert page.count("<caption>Confusion matrix") == 1
        assert {path.stem for path in run.figures.glob("*.svg")} >= {"class_auc", "class_roc", "confusion_matrix"}
        assert len(flow["A"]["splits"]["train"]["classes"]) == 3
    else:
        assert metrics.outcome == NumberOutcome("age", 40, 100, "years", "leave_out")
        assert metrics.number_methods["federated"].pooled is not None
        assert "Age from T1-weighted MRI" in page
        limits = metrics.number_methods["federated"].pooled.measures.r_squared.limits
        assert ("not shown to be better than predicting the mean" in page) == (limits is not None and limits[1] <= 0)
        assert "Validation RMSE (years)" in page
        assert "Validation loss" not in page
        assert "MAE (years)" in page
        assert "Federated mean absolute error (lower is better)" in page
        assert "A difference below 0 means a smaller error of the federated model." in page
        flat = metrics.number_methods["federated"].corrections["A"].is_flat
        assert ("is not corrected for regression to the mean" in page) == flat
        checklist = page[page.index("TRIPOD") :]
        assert "choice of round:" in checklist
        assert "threshold" not in checklist[checklist.index("choice of round:") :].split("</table>")[0]
        methods, compared = metrics.number_methods, metrics.against["local"].mean.comparison
        apart = methods["federated"].mean.mae.value - methods["local"].mean.mae.value
        assert compared.difference.value == pytest.approx(apart)
        shown = f"{apart:+.2f}".replace("-", "−")
        assert f'<span>vs local</span> <b>{shown} years <span class="interval">(95% CI ' in page
        assert "Mean absolute test error (years) of the federated model minus that of the baseline" in page
        assert "tested by Student's t" in run.methods.read_text()
        assert set(methods["federated"].groups["sex"].groups) == {"F", "M"}
        assert methods["local"].groups == {}
        assert "Groups of people: test scans of all sites" in page
        assert {path.stem for path in run.figures.glob("*.svg")} >= {"predicted_numbers", "residuals"}
        assert [part["reason"] for part in flow["A"]["left_out"]] == ["number not known"]
    assert run.methods.read_text().count("95% confidence intervals") == 1


def test_the_numbers_are_those_of_the_predictions(finished: tuple[str, RunFolder]) -> None:
    kind, run = finished
    metrics = read_metrics(run.metrics)
    for site in "AB":
        if kind == "classes":
            assert isinstance(metrics.outcome, ClassOutcome)
            classes = read_class_predictions(run.site(site).path, metrics.outcome)
            found = metrics.class_methods["federated"].sites[site]
            assert (found.scans, found.participants) == (len(classes), len(set(classes.participants)))
            right = int((classes.predicted == classes.truth).sum())
            assert found.accuracy.value == pytest.approx(right / len(classes))
        else:
            assert isinstance(metrics.outcome, NumberOutcome)
            numbers = read_number_predictions(run.site(site).path, metrics.outcome)
            mae = metrics.number_methods["federated"].sites[site].measures.mae.value
            assert mae == pytest.approx(np.abs(numbers.errors).mean())


def test_the_head_has_an_output_for_each_class_or_one(finished: tuple[str, RunFolder]) -> None:
    kind, run = finished
    state = load_state(run.best_checkpoint)
    assert {tensor.shape[0] for tensor in state.values()} == {3 if kind == "classes" else 1}


def test_the_exported_model_predicts_what_predict_does(
    finished: tuple[str, RunFolder], sites: list[dict[str, str]], tmp_path: Path
) -> None:
    kind, run = finished
    files = export_run(run.path, tmp_path / "export", merged=True)
    card = files[-1].read_text()
    exported = load_exported(tmp_path / "export" / MODEL)
    scan = next(Path(sites[0]["root"]).glob("sub-*/anat/*.nii.gz"))
    predictor = Predictor(run.path)
    (prediction,) = predict_scans(predictor, [scan])
    alone = exported.predict(scan)
    write_predictions_of([prediction], tmp_path / "table.tsv", predictor.outcome)
    with (tmp_path / "table.tsv").open() as file:
        (row,) = csv.DictReader(file, delimiter="\t")
    predictor.statistics.clear()
    assert "at least 8 training scans" in predictor.why_unlike_unknown
    assert ("of each class" in predictor.why_unlike_unknown) == (kind == "classes")
    if kind == "classes":
        assert isinstance(prediction, ClassPrediction)
        assert list(prediction.probabilities) == list(CLASSES)
        assert alone.probabilities == pytest.approx(dict(prediction.probabilities), abs=1e-6)
        assert alone.predicted == prediction.predicted
        assert sum(alone.probabilities.values()) == pytest.approx(1)
        assert row["predicted"] == prediction.predicted
        assert float(row["probability_MCI"]) == prediction.probabilities["MCI"]
        assert "A 3-class classifier" in card
        assert "| all | CN | stage == 0.5 | AD, Dementia |" in card
    else:
        assert isinstance(prediction, NumberPrediction)
        assert alone.number == pytest.approx(prediction.number, abs=1e-4)
        assert 40 <= prediction.number <= 100
        assert float(row["age"]) == prediction.number
        assert "A model that predicts age" in card
        assert "| all |" not in card
        assert "MAE" in card


@pytest.mark.slow
def test_a_scan_is_explained(finished: tuple[str, RunFolder], sites: list[dict[str, str]], tmp_path: Path) -> None:
    from fedtune3d._utils.progress import Silent

    _, run = finished
    scan = next(Path(sites[0]["root"]).glob("sub-*/anat/*.nii.gz"))
    written: list[Path] = []
    predictor = Predictor(run.path)
    predict_scans(predictor, [scan], explain=explainer(predictor, tmp_path, Silent(), written.append, True))
    assert len(written) == 3


class Carried(InProcess):
    """Sites of this process whose messages travel as those of workers do: pickled, with state dicts in files."""

    def __init__(self, sites: Mapping[str, Answering], spool: Spool) -> None:
        super().__init__(sites)
        self.spool = spool

    def ask(self, tasks: Mapping[str, Task]) -> Iterator[Answer | Fault]:
        for reply in super().ask({site: self.carry(task) for site, task in tasks.items()}):
            yield reply if isinstance(reply, Fault) else self.carry(reply)

    def carry(self, message: AnyMessage) -> AnyMessage:
        packed: Packed[AnyMessage] = pickle.loads(pickle.dumps(self.spool.pack(message)))
        return packed.open()


@pytest.mark.parametrize("kind", ["classes", "number"])
def test_messages_between_processes_end_in_the_same_bits(
    kind: str, small_experiment: Any, sites: list[dict[str, str]], tmp_path: Path
) -> None:
    def run(name: str, reach: Callable[[Mapping[str, Answering]], InProcess]) -> list[bytes]:
        path = small_experiment.write(tmp_path / name, **outcome_of(kind), sites=sites, training={"rounds": 1})
        return results_of(run_experiment(Experiment.from_yaml(path), report=False, reach=reach))

    spool = Spool(tmp_path / "spool")
    assert run("carried", lambda sites: Carried(sites, spool)) == run("called", InProcess)
    assert any((tmp_path / "spool").iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["classes", "number"])
def test_workers_end_in_the_same_bits(
    kind: str, small_experiment: Any, sites: list[dict[str, str]], tmp_path: Path
) -> None:
    results = []
    for workers in (1, 2):
        path = small_experiment.write(
            tmp_path / str(workers), **outcome_of(kind), sites=sites, workers=workers, training={"rounds": 1}
        )
        results.append(results_of(run_experiment(Experiment.from_yaml(path), report=False)))
    assert results[0] == results[1]


def results_of(run: RunFolder) -> list[bytes]:
    return [run.best_checkpoint.read_bytes(), run.metrics.read_bytes()]


@pytest.mark.parametrize("kind", ["classes", "number"])
def test_folds_are_combined_into_a_cross_validation(
    kind: str, small_experiment: Any, sites: list[dict[str, str]], tmp_path: Path
) -> None:
    """Against scikit-learn, from the tables that the folds leave at the sites; everybody is tested once."""
    changes = outcome_of(kind) | {"sites": sites, "validation": {"folds": 2}, "training": {"rounds": 1}}
    whole = Experiment.from_yaml(small_experiment.write(tmp_path / "cv", **changes))
    folds = {name: run_experiment(fold, report=False) for name, fold in fold_experiments(whole).items()}
    folder = CrossValidationFolder(tmp_path / "cv")
    write_results(folder)
    results = CrossValidationResults.read(folder)
    assert results.outcome == whole.outcome
    federated = results.methods["federated"]
    for site in "AB":
        expected: list[float] = []
        tested: list[str] = []
        for run in folds.values():
            if isinstance(whole.outcome, ClassOutcome):
                classes = read_class_predictions(run.site(site).path, whole.outcome)
                tested += classes.participants
                expected.append(roc_auc_score(classes.truth, classes.probabilities, multi_class="ovr"))
            else:
                assert isinstance(whole.outcome, NumberOutcome)
                numbers = read_number_predictions(run.site(site).path, whole.outcome)
                tested += numbers.participants
                expected.append(mean_absolute_error(numbers.truth, numbers.predicted))
        assert len(tested) == len(set(tested)) >= 9
        assert federated.sites[site].values == pytest.approx(expected, abs=1e-9)
        assert federated.sites[site].estimate.value == pytest.approx(np.mean(expected), abs=1e-9)
    with unrendered_figures():
        page = write_cross_validation_report(folder.path).read_text()
    if kind == "classes":
        assert "Cross-validated macro AUC, mean over 2 sites" in page
    else:
        assert "Cross-validated mean absolute error, mean over 2 sites" in page
        assert sum(part.people for part in federated.residuals["Pooled"]) == 22  # one of each site has no age
        assert "Errors out of fold" in page


def write_study(small_experiment: Any, sites: list[dict[str, str]], output: Path, kind: str, **changes: Any) -> Path:
    """A study of two heads, with a baseline."""
    path = small_experiment.write(
        output,
        **outcome_of(kind)
        | {"sites": sites, "heads": ["linear", "conv_s"], "baselines": ["leave_one_site_out"]}
        | {"training": {"rounds": 1, "batch_size": 4}}
        | changes,
    )
    values = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({key: value for key, value in values.items() if key != "seed"}))
    return path


@pytest.mark.parametrize("kind", ["classes", "number"])
def test_a_study_selects_by_the_validation_score_of_the_outcome(
    kind: str, small_experiment: Any, sites: list[dict[str, str]], tmp_path: Path
) -> None:
    """Its trials are run here, so that it finds all of them finished; each number is made again from their tables."""
    splits = {"train": 0.3, "validation": 0.2, "test": 0.5}
    study = Study.from_yaml(write_study(small_experiment, sites, tmp_path / "study", kind, splits=splits))
    (draw,) = study.draws
    runs = {
        combination: run_experiment(study.experiment(combination, draw, study.baselines), report=False)
        for combination in study.heads_stage()
    }
    told: list[str] = []
    with unrendered_figures():
        contents = read_study(run_study(study, on_message=told.append).path)
    assert [line.split()[1] for line in told if line.startswith("best ")] == ["head", "tuning", "rule"]
    assert len(told) == 3  # no trial ran
    last = {it.head.label: read_ledger(run.rounds.ledger)[-1].validation for it, run in runs.items()}
    if kind == "classes":
        scores = {head: validation.mean_auc or 0.0 for head, validation in last.items()}
        best = max(scores, key=lambda head: scores[head])
    else:
        scores = {head: (validation.pooled_loss or 0.0) * 60 for head, validation in last.items()}
        best = min(scores, key=lambda head: scores[head])
    assert contents.results.chosen["head"] == best
    ranked = ranked_rows(contents)
    federated = [entry for entry in ranked if entry.row.kind == "variant"]
    assert [entry.row.validation for entry in federated] == pytest.approx(
        sorted(scores.values(), reverse=kind == "classes")
    )
    assert [entry.row.title for entry in ranked if entry.row.kind == "baseline"] == ["Leave one site out"]
    folders = {it.head.label: run for it, run in runs.items()}
    other = next(head for head in scores if head != best)
    differences = []
    for site in "AB":
        halves = [folders[head].site(site).path for head in (other, best)]
        if isinstance(study.outcome, ClassOutcome):
            pair = [read_class_predictions(half, study.outcome) for half in halves]
            if np.bincount(pair[0].truth, minlength=3).min() < 2:
                continue  # as the difference has no variance there
            aucs = [roc_auc_score(part.truth, part.probabilities, multi_class="ovr") for part in pair]
            differences.append(aucs[0] - aucs[1])
        else:
            assert isinstance(study.outcome, NumberOutcome)
            numbers = [read_number_predictions(half, study.outcome) for half in halves]
            errors = [mean_absolute_error(part.truth, part.predicted) for part in numbers]
            differences.append(errors[0] - errors[1])
    behind = federated[1].minus_selected
    assert behind is not None
    assert len(differences) == len(behind.sites) > 0
    assert (behind.first or 0.0) - (behind.second or 0.0) == pytest.approx(np.mean(differences), abs=1e-9)
    page = StudyFolder(study.output).report.read_text()
    assert "At the threshold" not in page
    if kind == "classes":
        assert "CN vs MCI vs AD from T1-weighted MRI" in page
        assert "by validation macro AUC" in page
    else:
        assert "Age from T1-weighted MRI" in page
        assert "by validation root mean squared error" in page
        assert "AUC" not in re.sub(r"<(style|script).*?</\1>|data:image[^\"]*", "", page, flags=re.DOTALL)
    key = "macro_auc" if kind == "classes" else "mae"
    assert {f"{key}_by_head", f"{key}_by_rule", "trade_off", "paired_differences"} <= {
        path.stem for path in StudyFolder(study.output).figures.glob("*.tsv")
    }


SEEDS = {"seeds": [0, 1], "rules": ["fedavg", "fedce"]}
FOLDS = {
    "heads": ["linear"],
    "tunings": ["frozen", {"method": "lora", "rank": 2, "blocks": "last:1"}],
    "validation": {"folds": 2},
    "seeds": [0, 1],
}


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "axes", "unit"), [("classes", SEEDS, "2 seeds"), ("number", FOLDS, "4 folds")])
def test_a_crossed_study_runs_from_the_command_line(
    kind: str, axes: dict[str, Any], unit: str, small_experiment: Any, sites: list[dict[str, str]], tmp_path: Path
) -> None:
    splits = {"train": 0.3, "validation": 0.2, "test": 0.5}
    path = write_study(small_experiment, sites, tmp_path / "study", kind, **axes, design="crossed", splits=splits)
    command = [sys.executable, "-m", "fedtune3d", "benchmark", str(path), "--no-plan", "--workers", "2"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    name = "macro AUC" if kind == "classes" else "mean absolute error"
    assert f"mean test {name} over 2 sites (mean of {unit})" in " ".join(done.stdout.split())
    ranked = ranked_rows(read_study(tmp_path / "study"))
    behind = [entry.minus_selected for entry in ranked if entry.row.kind == "variant"][1:]
    assert len(behind) == (3 if kind == "classes" else 1)
    assert all(comparison is not None and comparison.sites for comparison in behind)


def test_what_makes_no_sense_in_a_study_of_a_number_is_refused_in_one_line(
    small_experiment: Any, sites: list[dict[str, str]], tmp_path: Path
) -> None:
    path = write_study(small_experiment, sites, tmp_path / "study", "number", references=["ncc"])
    with pytest.raises(InputError, match="head ncc finds the nearest class centre, but target is a number") as caught:
        Study.from_yaml(path)
    assert len(str(caught.value).splitlines()) == 1
    platt = write_study(small_experiment, sites, tmp_path / "platt", "classes", evaluation={"recalibration": "platt"})
    with pytest.raises(InputError, match=r"evaluation\.recalibration is for two classes") as caught:
        Study.from_yaml(platt)
    assert len(str(caught.value).splitlines()) == 1


def pairwise(*axes: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Rows in which every pair of choices of two axes stands together at least once, chosen greedily."""
    pairs = {
        ((i, a), (j, b))
        for i, first in enumerate(axes)
        for j, second in enumerate(axes)
        if i < j
        for a, b in product(first, second)
    }
    rows = []
    while pairs:
        covered = {
            row: {pair for pair in pairs if all(row[axis] == choice for axis, choice in pair)} for row in product(*axes)
        }
        best = max(covered, key=lambda row: len(covered[row]))
        rows.append(best)
        pairs -= covered[best]
    return rows


OUTCOMES = ("two", "classes", "number")
HEADS = ("linear", "conv_s", "conv_l")
TUNINGS = ("frozen", "lora", "full")
RULES = ("fedavg", "fedprox", "fedce", "qfedavg", "rate_my_lora", "scaffold", "median", "krum", "fedbn", "fedadam")


def test_the_covering_holds_every_pair() -> None:
    rows = pairwise(OUTCOMES, HEADS, TUNINGS, RULES)
    assert len(rows) < 40
    assert {(row[0], row[3]) for row in rows} == set(product(OUTCOMES, RULES))


@pytest.mark.slow
@pytest.mark.parametrize(("outcome", "head", "tuning", "rule"), pairwise(OUTCOMES, HEADS, TUNINGS, RULES))
def test_two_rounds_of_every_pair(
    small_experiment: Any,
    three_sites: list[dict[str, str]],
    tmp_path: Path,
    outcome: str,
    head: str,
    tuning: str,
    rule: str,
) -> None:
    lora = {"rank": 2, "blocks": "last:1"} if tuning == "lora" else {}
    sgd = {"optimizer": "sgd", "momentum": 0.0} if rule == "scaffold" else {}
    changes = {
        "sites": three_sites
        if outcome != "two"
        else [{key: site[key] for key in ("name", "root")} for site in three_sites],
        "model": {
            "encoder": "tiny",
            "head": "conv_s" if (head, rule) == ("linear", "fedbn") else head,  # for its normalisation
        },
        "tuning": {"method": tuning, **lora},
        "aggregation": {"rule": rule},
        "training": {"rounds": 2, "batch_size": 4, **sgd},
    }
    of_outcome = {} if outcome == "two" else outcome_of(outcome)
    path = small_experiment.write(tmp_path / "run", **(changes | of_outcome))
    run = run_experiment(Experiment.from_yaml(path), report=False)
    assert read_metrics(run.metrics).evaluated["federated"].sites.keys() >= {"A", "B"}


REFERENCES: dict[str, dict[str, dict[str, object]]] = {
    "ncc": {
        "model": {"encoder": "tiny", "head": "ncc"},
        "aggregation": {"rule": "ncc"},
        "training": {"rounds": 1},
    },
    "resnet18": {
        "model": {"encoder": "resnet18"},
        "preparation": {"size": 64, "spacing_mm": 3},  # an eighth of the voxels; the last of its maps has 2³ positions
        "tuning": {"method": "full"},
        "training": {"rounds": 2, "batch_size": 4},
    },
}


@pytest.mark.slow
@pytest.mark.parametrize(("reference", "outcome"), sorted(set(product(REFERENCES, OUTCOMES)) - {("ncc", "number")}))
def test_references_predict_every_outcome_that_they_can(
    small_experiment: Any, sites: list[dict[str, str]], tmp_path: Path, reference: str, outcome: str
) -> None:
    pytest.importorskip("monai")
    keys = ("name", "root") if outcome == "two" else ("name", "root", "participants")
    few = {"policy": {"min_per_class": 1}}
    own = [{key: site[key] for key in keys} | few for site in sites]
    of_outcome = {} if outcome == "two" else outcome_of(outcome)
    path = small_experiment.write(tmp_path / "run", **(REFERENCES[reference] | of_outcome | {"sites": own}))
    run = run_experiment(Experiment.from_yaml(path), report=False)
    assert read_metrics(run.metrics).evaluated["federated"].sites.keys() == {"A", "B"}


@pytest.mark.parametrize(
    ("outcome", "changes", "why"),
    [
        ("number", REFERENCES["ncc"], "head ncc finds the nearest class centre, but target is a number"),
        ("classes", REFERENCES["ncc"] | {"aggregation": {"rule": "fedavg"}}, "NCC is both a head and a rule"),
        ("number", REFERENCES["resnet18"] | {"tuning": {"method": "frozen"}}, "resnet18 is trained from scratch"),
        ("number", {"aggregation": {"rule": "scaffold"}}, "rule scaffold requires plain SGD"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(
    small_experiment: Any, tmp_path: Path, outcome: str, changes: dict[str, Any], why: str
) -> None:
    path = small_experiment.write(tmp_path / "run", **(changes | outcome_of(outcome)))
    with pytest.raises(InputError, match=why) as refusal:
        Experiment.from_yaml(path)
    assert "\n" not in str(refusal.value)


def test_the_approval_screen_says_what_is_predicted() -> None:
    classes = ClassMapping({"CN": ("CN",), "MCI": "stage == 0.5", "AD": ("AD", "Dementia")})
    assert [line.strip() for line in _what_is_predicted(classes, (5, 6, 7))] == [
        "CN: diagnosis is CN (5 people here)",
        "MCI: stage == 0.5 (6 people here)",
        "AD: diagnosis is AD or Dementia (7 people here)",
    ]
    assert [line.strip() for line in _what_is_predicted(ClassMapping({"0": ("0",), "1": ("1",)}), (5, 6))] == [
        "class 1: diagnosis is 1 (6 people here)",
        "class 0: diagnosis is 0 (5 people here)",
    ]
    age = NumberColumn(NumberOutcome("age", 40, 100, "years", "leave_out"))
    (line,) = _what_is_predicted(age, (18,))
    assert line.strip() == "everyone with a number in column age, 40 to 100 years (18 people here)"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["classes", "number"])
@pytest.mark.parametrize("privacy", [{"secure_aggregation": True}, {"epsilon": 8.0}], ids=["secure", "private"])
def test_updates_are_protected_whatever_is_predicted(
    small_experiment: Any, three_sites: list[dict[str, str]], tmp_path: Path, kind: str, privacy: dict[str, Any]
) -> None:
    path = small_experiment.write(
        tmp_path / "run",
        **outcome_of(kind),
        sites=three_sites,
        privacy=privacy,
        training={"rounds": 2, "batch_size": 4, "class_weighted": False},
    )
    run = run_experiment(Experiment.from_yaml(path), report=False)
    assert read_metrics(run.metrics).evaluated["federated"].sites.keys() == {"A", "B", "C"}
    width = 3 if kind == "classes" else 1
    assert {tensor.shape[0] for tensor in load_state(run.best_checkpoint).values()} == {width}
