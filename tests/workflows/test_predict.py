"""`predict` and its saliency maps, on runs of two small sites."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from command_line import call
from scipy.special import expit, logit

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.folders import RunFolder
from fedtune3d._utils.progress import Silent
from fedtune3d.config.experiment import Experiment
from fedtune3d.evaluation.outcome import BINARY, NumberOutcome, Outcome
from fedtune3d.workflows.explain import explain_scan, explainer, write_explanation
from fedtune3d.workflows.known_scans import KnownScan, KnownScans
from fedtune3d.workflows.predict import Predictor, distinct_names, predict_scans
from fedtune3d.workflows.run import run_experiment
from fedtune3d.workflows.scan_predictions import Prediction, require_no_other_file, write_predictions_of

pytestmark = pytest.mark.ci


@pytest.fixture(scope="module")
def run(small_experiment: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of whose site A enough training scans are there to know what is usual."""
    path = small_experiment.write(
        tmp_path_factory.mktemp("predict") / "run",
        sites=[site | {"policy": {"min_per_class": 4}} for site in small_experiment.values["sites"]],
        splits={"train": 0.7, "validation": 0.15, "test": 0.15},
        model={"encoder": "tiny", "head": "conv_s"},
        evaluation={"recalibration": "platt"},
    )
    return run_experiment(Experiment.from_yaml(path), report=False).path


@pytest.fixture(scope="module")
def predictor(run: Path) -> Predictor:
    return Predictor(run)


def scan_of(small_experiment: Any, site: str, number: int) -> Path:
    return small_experiment.folder / site / f"sub-{number:02d}" / "anat" / f"sub-{number:02d}_T1w.nii.gz"


def split_of(run: Path) -> dict[str, str]:
    """Participant of site A → split."""
    with RunFolder(run).site("A").predictions().open() as file:
        return {row["participant"]: row["split"] for row in csv.DictReader(file, delimiter="\t")}


def test_it_says_what_the_run_said(run: Path, predictor: Predictor, small_experiment: Any) -> None:
    with RunFolder(run).site("A").predictions().open() as file:
        told = {row["participant"]: float(row["probability"]) for row in csv.DictReader(file, delimiter="\t")}
    found = predict_scans(predictor, [scan_of(small_experiment, "A", number) for number in range(6)])
    assert len(told) == 14
    expected = [told[f"sub-{number:02d}"] for number in range(6)]
    np.testing.assert_allclose([prediction.probability for prediction in found], expected, rtol=1e-3)
    assert [prediction.positive for prediction in found] == [p >= predictor.threshold for p in expected]
    line = json.loads(RunFolder(run).metrics.read_text())["methods"]["federated"]["recalibrated"]["Pooled"]["scaling"]
    scaled = expit(line["slope"] * logit(np.array(expected)) + line["intercept"])
    if line["slope"] > 0:
        np.testing.assert_allclose([prediction.recalibrated for prediction in found], scaled, rtol=1e-2)
    else:
        assert {prediction.recalibrated for prediction in found} == {None}


def test_a_scan_unlike_the_training_scans_is_out_of_distribution(
    run: Path, predictor: Predictor, small_experiment: Any, tmp_path: Path
) -> None:
    splits = split_of(run)
    image = nib.load(scan_of(small_experiment, "A", 0))
    values = image.get_fdata()
    inverted = np.where(values != 0, values.max() + 50 - values, 0)
    nib.save(nib.Nifti1Image(inverted.astype(np.float32), image.affine), tmp_path / "inverted.nii.gz")
    in_training = [number for number in range(14) if splits[f"sub-{number:02d}"] == "train"]
    assert len(in_training) == 10
    scans = [tmp_path / "inverted.nii.gz", *(scan_of(small_experiment, "A", number) for number in in_training[:5])]
    strange, *training = predict_scans(predictor, scans)
    assert strange.out_of_distribution
    assert not any(found.out_of_distribution for found in training)


def test_a_scan_of_the_run_is_recognised_by_its_bytes(
    run: Path, predictor: Predictor, small_experiment: Any, tmp_path: Path
) -> None:
    splits = split_of(run)
    copy = tmp_path / "copy.nii.gz"
    copy.write_bytes(scan_of(small_experiment, "A", 3).read_bytes())
    image = nib.load(copy)
    nib.save(nib.Nifti1Image(image.get_fdata().astype(np.float32) + 1, image.affine), tmp_path / "new.nii.gz")
    known, new = predict_scans(predictor, [copy, tmp_path / "new.nii.gz"])
    assert known.known == KnownScan("A", splits["sub-03"])
    assert new.known is None
    half = Path(shutil.copytree(run, tmp_path / "run"))
    shutil.rmtree(half / "sites")
    assert KnownScans(RunFolder(half)).find(copy) is None  # without the site's half nothing is known


def test_a_site_sends_nothing_of_too_few_scans(predictor: Predictor) -> None:
    assert list(predictor.statistics) == ["A"]


def test_saliency_lies_in_the_scans_own_space(predictor: Predictor, small_experiment: Any, tmp_path: Path) -> None:
    path = scan_of(small_experiment, "A", 3)
    prepared = predictor.prepare(path)
    found = predictor.predict(path, prepared)
    explanation = explain_scan(predictor, prepared, occluded=True)
    assert not explanation.grad_cam[~prepared.brain].any()
    assert not explanation.occlusion[~prepared.brain].any()
    assert explanation.occlusion.any()
    assert explanation.random_similarity < 0.9
    maps = write_explanation(found, prepared, explanation, tmp_path)
    assert [path.name for path in maps] == [
        "sub-03_T1w_gradcam.nii.gz",
        "sub-03_T1w_occlusion.nii.gz",
        "sub-03_T1w_saliency.png",
    ]
    scan, written = nib.load(path), nib.load(maps[1])
    assert written.shape == scan.shape
    np.testing.assert_allclose(written.affine, scan.affine, atol=1e-4)
    in_brain = np.abs(written.get_fdata())[scan.get_fdata() > 0].sum()
    assert in_brain > 0.9 * np.abs(written.get_fdata()).sum()


def test_the_picture_names_the_class_and_says_when_not_to_use_it(
    predictor: Predictor, small_experiment: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[str, list[str]]] = []

    def draw(scan: object, maps: object, title: str, notes: list[str], path: Path, towards: str) -> None:
        drawn.append((title, notes))

    monkeypatch.setattr("fedtune3d.workflows.explain.draw_saliency", draw)
    path = scan_of(small_experiment, "A", 3)
    prepared = predictor.prepare(path)
    usual = Prediction(path, "sub-03_T1w.nii.gz", 0.99999, True, "A", 0.5)
    explain = explainer(predictor, tmp_path, Silent(), lambda written: None)
    explain(usual, prepared)
    explain(replace(usual, distance=5.4), prepared)
    assert [title for title, _ in drawn] == ["sub-03_T1w: probability of AD >0.999"] * 2
    assert [any("do not use its prediction" in note for note in notes) for _, notes in drawn] == [False, True]


def test_occlusion_is_left_out_unless_it_is_asked_for(
    predictor: Predictor, small_experiment: Any, tmp_path: Path
) -> None:
    path = scan_of(small_experiment, "A", 3)
    prepared = predictor.prepare(path)
    explanation = explain_scan(predictor, prepared)
    assert explanation.occlusion is None
    assert explanation.grad_cam.any()
    written = write_explanation(predictor.predict(path, prepared), prepared, explanation, tmp_path)
    assert [file.name for file in written] == ["sub-03_T1w_gradcam.nii.gz", "sub-03_T1w_saliency.png"]


def test_a_head_that_trains_nothing_has_no_saliency(small_experiment: Any, tmp_path: Path) -> None:
    path = small_experiment.write(
        tmp_path / "run",
        sites=[site | {"policy": {"min_per_class": 1}} for site in small_experiment.values["sites"][1:]],
        model={"encoder": "tiny", "head": "ncc"},
        aggregation={"rule": "ncc"},
        training={"rounds": 1},
    )
    predictor = Predictor(run_experiment(Experiment.from_yaml(path), report=False).path)
    with pytest.raises(InputError, match="expected a trained head on an encoder, but the run's model is ncc"):
        explain_scan(predictor, predictor.prepare(scan_of(small_experiment, "B", 0)))


def test_scans_of_one_name_are_told_apart(tmp_path: Path) -> None:
    scans = [tmp_path / person / "t1.nii.gz" for person in ("p1", "p2")]
    assert distinct_names(scans) == ["p1/t1.nii.gz", "p2/t1.nii.gz"]
    assert distinct_names(scans[:1]) == ["t1.nii.gz"]
    with pytest.raises(InputError, match="given twice"):
        distinct_names([*scans, scans[0]])


def test_no_spreadsheet_evaluates_the_table(tmp_path: Path) -> None:
    hostile = Prediction(Path('=HYPERLINK("x")'), "a", 0.5, True, "@SUM(A1)", 1.0)
    write_predictions_of([hostile], tmp_path / "table.tsv", BINARY)
    row = (tmp_path / "table.tsv").read_text().splitlines()[1]
    with (tmp_path / "table.tsv").open(newline="") as file:
        cells = list(csv.reader(file, delimiter="\t"))[1]
    assert cells[0] == '\'=HYPERLINK("x")', row
    assert cells[5] == "'@SUM(A1)"
    assert cells[2] == "n/a"  # not recalibrated


def test_the_table_says_why_a_scan_was_not_compared(tmp_path: Path) -> None:
    scans = [Prediction(Path("a"), "a", 0.5, True, None, None), Prediction(Path("b"), "b", 0.5, True, "A", 0.7)]
    for why, expected in (("no site sent any", ["no site sent any", "n/a"]), ("", ["n/a", "n/a"])):
        write_predictions_of(scans, tmp_path / "table.tsv", BINARY, why)
        with (tmp_path / "table.tsv").open(newline="") as file:
            assert [row["why_not_known"] for row in csv.DictReader(file, delimiter="\t")] == expected


@pytest.mark.parametrize(
    "outcome", [BINARY, NumberOutcome("age", 40, 100, "years", "leave_out")], ids=["classes", "number"]
)
def test_only_a_table_of_predictions_is_replaced(tmp_path: Path, outcome: Outcome) -> None:
    table, participants = tmp_path / "table.tsv", tmp_path / "participants.tsv"
    write_predictions_of([], table, outcome)
    require_no_other_file(table)
    require_no_other_file(tmp_path / "new.tsv")
    participants.write_text("participant_id\tdiagnosis\nsub-1\tAD\n")
    (tmp_path / "scan.nii.gz").write_bytes(bytes(range(256)) * 99)
    for other in (participants, tmp_path / "scan.nii.gz", tmp_path):
        with pytest.raises(InputError, match="exists and is no table of predictions, so it is not replaced"):
            require_no_other_file(other)


def test_several_processes_predict_to_the_same_bits_and_in_the_same_order(
    predictor: Predictor, small_experiment: Any
) -> None:
    scans = [scan_of(small_experiment, "A", number) for number in (4, 1, 3)]
    told: list[tuple[int, int]] = []
    several = predict_scans(predictor, scans, lambda done, total: told.append((done, total)), workers=2)
    assert several == predict_scans(predictor, scans)
    assert told == [(1, 3), (2, 3), (3, 3)]
    with pytest.raises(InputError, match="--workers: saliency maps are computed one scan after another"):
        predict_scans(predictor, scans, explain=lambda found, prepared: None, workers=2)


def test_a_bids_folder_becomes_a_table_that_is_whole_or_absent(
    capsys: pytest.CaptureFixture[str], run: Path, small_experiment: Any, tmp_path: Path
) -> None:
    """Of a scan that cannot be read the command says so in one line, and writes nothing of the others either."""
    site = Path(shutil.copytree(small_experiment.folder / "B", tmp_path / "B"))
    table = tmp_path / "table.tsv"
    assert call(capsys, "predict", run, site, "--output", table)[0] == 0
    with table.open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert [Path(row["scan"]).name for row in rows] == [f"sub-{number:02d}_T1w.nii.gz" for number in range(10)]
    table.unlink()
    (site / "sub-09" / "anat" / "sub-09_T1w.nii.gz").write_bytes(b"no scan")
    code, _, err = call(capsys, "predict", run, site, "--output", table)
    assert code == 2
    assert "sub-09_T1w.nii.gz" in err
    assert not table.exists()
    people = (site / "participants.tsv").read_text()
    code, _, err = call(capsys, "predict", run, site, "--output", site / "participants.tsv")
    assert (code, (site / "participants.tsv").read_text()) == (2, people)
    assert "is no table of predictions" in err
