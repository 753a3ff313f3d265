"""A run that says where its model looks: what the maps are, what may not leave, and that a killed run goes on."""

import csv
import json
from pathlib import Path
from shutil import copytree
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.files import sha256_file
from fedtune3d._utils.folders import RunFolder
from fedtune3d._utils.state_dicts import load_state
from fedtune3d._utils.typed_json import read_typed
from fedtune3d.config.experiment import Experiment
from fedtune3d.federation.mean_maps import RANDOM, TRAINED, MapInfo, _checked_map, _site_maps, as_nifti, map_places
from fedtune3d.federation.messages import Answer
from fedtune3d.federation.tasks.map_saliency import MeanSaliency
from fedtune3d.models.classifier import Classifier
from fedtune3d.models.explanation import grad_cam, places_of, similarity
from fedtune3d.preparation.template import load_template
from fedtune3d.training.prediction import as_input
from fedtune3d.workflows.predict import Predictor
from fedtune3d.workflows.run import run_experiment
from fedtune3d.workflows.run_folder import open_run

pytestmark = pytest.mark.ci


def write(small: Any, output: Path, policies: dict[str, dict], **changes: Any) -> Path:
    sites = [site | {"policy": policies[site["name"]]} for site in small.values["sites"]]
    return small.write(output, sites=sites, model={"encoder": "tiny", "head": "conv_s"}, **changes)


@pytest.fixture(scope="module")
def run(small_experiment: Any, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Site A's map leaves; B's may not."""
    policies = {"A": {"min_per_class": 2}, "B": {"min_per_class": 1, "maps_leave": False}}
    return run_experiment(
        Experiment.from_yaml(
            write(small_experiment, tmp_path_factory.mktemp("maps") / "run", policies, explain="gradcam")
        ),
        report=False,
    )


def told(folder: RunFolder, site: str) -> dict[str, Any]:
    return json.loads((folder.saliency_info(site)).read_text())


def map_of(folder: RunFolder, name: str) -> torch.Tensor:
    return torch.from_numpy(nib.load(folder.saliency / f"{name}.nii.gz").get_fdata(dtype=np.float32))


def positive_tests(folder: RunFolder, site: str) -> list[str]:
    with (folder.site(site).predictions()).open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return [row["participant"] for row in rows if row["split"] == "test" and row["label"] == "1"]


def test_the_map_is_the_mean_over_positive_test_scans(run: RunFolder, small_experiment: Any) -> None:
    predictor, maps = Predictor(run.path), []
    assert isinstance(predictor.model, Classifier)
    people = positive_tests(run, "A")
    for person in people:
        scan = small_experiment.folder / "A" / person / "anat" / f"{person}_T1w.nii.gz"
        with torch.no_grad():
            features = predictor.model.run_stages(as_input(predictor.prepare(scan)), 0, predictor.model.stage_count - 1)
        maps.append(grad_cam(predictor.model, features))
    torch.testing.assert_close(map_of(run, "A_trained"), sum(maps) / len(maps), rtol=1e-3, atol=1e-4)
    found = told(run, "A")
    assert (found["scans"], found["in_template"], found["place_mm"]) == (len(people), 0, 24.0)
    assert len(people) >= 2


def test_weights_drawn_anew_give_another_map(run: RunFolder) -> None:
    brain = places_of(torch.from_numpy(load_template(128, 1.5).brain).float(), 16) > 0
    found = similarity(map_of(run, "A_trained")[brain], map_of(run, "A_random")[brain])
    assert told(run, "A")["similarity"] == pytest.approx(found)
    assert abs(found) < 0.9


def test_a_policy_keeps_the_map(run: RunFolder) -> None:
    info = read_typed(MapInfo, run.saliency_info("B"), "")
    assert info == MapInfo("gradcam", "the site's policy does not let maps leave (policy.maps_leave)")
    assert sorted(path.name for path in run.saliency.glob("*.nii.gz")) == ["A_random.nii.gz", "A_trained.nii.gz"]
    assert not (run.site("B").saliency).exists()


def test_the_manifest_lists_all_that_left(run: RunFolder) -> None:
    for site, tensors in (("A", [["map/mean", [8, 8, 8]]]), ("B", [])):
        lines = [json.loads(line) for line in run.site(site).egress.read_text().splitlines()]
        answers = [line for line in lines if line["kind"] == "map_saliency"]
        assert [[[one["name"], one["shape"]] for one in line["tensors"]] for line in answers] == [tensors] * (
            2 if tensors else 1
        )


def test_a_killed_run_makes_no_map_twice_and_ends_in_the_same_bits(run: RunFolder, tmp_path: Path) -> None:
    before = {path.name: sha256_file(path) for path in run.saliency.iterdir()}
    experiment = Experiment.from_yaml(run.path.with_suffix(".yaml"))
    killed = RunFolder(copytree(run.path, tmp_path / "run"))
    kept = {path: path.stat().st_mtime_ns for path in killed.site("A").saliency.iterdir()}
    assert len(kept) == 2 * len(positive_tests(killed, "A"))
    killed.saliency_info("A").unlink()
    killed.saliency_map("A", "random").unlink()
    killed.metrics.unlink()
    run_experiment(experiment.model_copy(update={"output": killed.path}), resume=True, report=False)
    assert {path.name: sha256_file(path) for path in killed.saliency.iterdir()} == before
    assert {path: path.stat().st_mtime_ns for path in killed.site("A").saliency.iterdir()} == kept


def test_maps_can_be_asked_of_a_finished_run(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    plain: dict[str, Any] = {"name": "x", "baselines": ["local"]}
    open_run(folder, plain, resume=False)
    folder.metrics.write_text("{}")
    folder.saliency.mkdir()
    with pytest.raises(InputError, match=r"another configuration \(explain: .*; seed: .* before, 2 now\)"):
        open_run(folder, plain | {"explain": {"method": "gradcam"}, "seed": 2}, resume=True)
    with pytest.raises(
        InputError, match=r"another configuration \(baselines: \[\"local\"\] before, \[\] now; explain: "
    ):
        open_run(folder, plain | {"explain": {"method": "gradcam"}, "baselines": []}, resume=True)
    open_run(folder, plain | {"explain": {"method": "gradcam"}}, resume=True)
    assert not folder.metrics.exists()
    assert not folder.saliency.exists()
    assert "gradcam" in folder.config.read_text()


def test_shares_of_a_users_atlas_leave_and_those_of_few_people_do_not(small_experiment: Any, tmp_path: Path) -> None:
    template = load_template(128, 1.5)
    labels = np.where(template.brain, 2, 0)
    labels[:64] = np.where(template.brain[:64], 1, 0)
    nib.save(nib.Nifti1Image(labels.astype(np.int16), template.affine), tmp_path / "atlas.nii.gz")
    explain = {
        "method": "integrated_gradients",
        "steps": 1,
        "atlas": "atlas.nii.gz",
        "regions": {"left half": [1], "brain": [1, 2]},
    }
    policies = {"A": {"min_per_class": 2}, "B": {"min_per_class": 4}}
    folder = run_experiment(
        Experiment.from_yaml(write(small_experiment, tmp_path / "run", policies, explain=explain)), report=False
    )
    found = told(folder, "A")
    assert (found["in_template"], found["place_mm"]) == (found["scans"], 6.0)
    for state in ("trained", "random"):
        assert found["shares"][state].keys() == {"left half", "brain"}
        assert 0.8 < found["shares"][state]["brain"][0] <= 1
        assert 0.2 < found["shares"][state]["left half"][0] < 0.8
    # Of the regions in the order of their names, over both states, from what the site keeps.
    states = [load_state(path) for path in folder.site("A").saliency.glob("*.safetensors")]
    kept = [state["shares"] for state in states if "shares" in state]
    assert len(kept) == 2 * found["scans"]
    told_shares = [
        np.mean([found["shares"][state][name][0] for state in ("trained", "random")]) for name in ("brain", "left half")
    ]
    np.testing.assert_allclose(torch.stack(kept).mean(dim=0), told_shares)
    assert found["volumes"]["left half"] == pytest.approx(0.5, abs=0.1)
    assert told(folder, "B")["why"] == "fewer than 4 AD people in the test set (policy.min_per_class)"
    assert "atlas.nii.gz" not in (folder.config).read_text()


def test_an_atlas_that_cannot_be_used_stops_before_the_scans_are_read(small_experiment: Any, tmp_path: Path) -> None:
    explain = {"method": "integrated_gradients", "atlas": "nowhere.nii.gz"}
    path = write(small_experiment, tmp_path / "run", {"A": {}, "B": {}}, explain=explain)
    with pytest.raises(InputError, match=r"nowhere.nii.gz: expected a label map \(NIfTI\)"):
        run_experiment(Experiment.from_yaml(path), report=False)
    assert not (tmp_path / "run" / "flow.json").exists()
    path = write(small_experiment, tmp_path / "run", {"A": {}, "B": {}}, explain=explain | {"method": "gradcam"})
    with pytest.raises(InputError, match="explain: gradcam maps are too coarse for an atlas"):
        Experiment.from_yaml(path)


def test_what_is_no_map_is_refused() -> None:
    assert _checked_map(Answer("A", MeanSaliency(), {"map": {"mean": torch.zeros(8, 8, 8)}}), 8).shape == (8, 8, 8)
    for wrong in ({}, {"mean": torch.zeros(8, 8)}, {"mean": torch.full((8, 8, 8), torch.nan)}):
        with pytest.raises(InputError, match="site A: expected a mean map of 512 finite numbers"):
            _checked_map(Answer("A", MeanSaliency(), {"map": wrong}), 8)


def test_two_answers_that_do_not_fit_each_other_end_no_run(small_experiment: Any, tmp_path: Path) -> None:
    """A site shows the map of the trained weights, and then none of random ones, or no share of a region."""
    policies: dict[str, dict] = {"A": {}, "B": {}}
    experiment = Experiment.from_yaml(
        write(small_experiment, tmp_path / "run", policies, explain="integrated_gradients")
    )
    mean = {"map": {"mean": torch.rand((map_places(experiment) or 0,) * 3)}}
    shown = MeanSaliency(scans=3, shares={"a": (0.5, 0.1), "b": (0.2, 0.1)}, volumes={"a": 0.5, "b": 0.2})
    fewer = MeanSaliency(scans=3, shares={"b": (0.3, 0.1)}, volumes={})
    template = load_template(128, 1.5)
    trained, random = Answer("C", shown, mean), Answer("C", fewer, mean)
    found = _site_maps(experiment, template, {TRAINED: trained, RANDOM: random})
    assert found.info.volumes == {"b": 0.2}
    assert found.info.shares == {TRAINED: {"b": (0.2, 0.1)}, RANDOM: {"b": (0.3, 0.1)}}
    none = _site_maps(experiment, template, {TRAINED: trained, RANDOM: Answer("C", MeanSaliency(why="no"))})
    assert (none.maps, none.info) == ({}, MapInfo("integrated_gradients", "no"))


def test_a_place_of_the_map_lies_in_the_middle_of_its_voxels() -> None:
    template = load_template(128, 1.5)
    image = as_nifti(np.zeros((8, 8, 8), np.float32), template, in_template=True)
    assert image.header.get_zooms() == (24, 24, 24)
    np.testing.assert_allclose(image.affine @ [1, 2, 3, 1], template.affine @ [23.5, 39.5, 55.5, 1])
    assert int(image.header["sform_code"]) == 4
    assert int(as_nifti(np.zeros((32, 32, 32)), template, in_template=False).header["sform_code"]) == 2


@pytest.mark.slow
def test_attribution_lies_where_the_classes_were_made_to_differ(small_experiment: Any, tmp_path: Path) -> None:
    """In the small sites the positive have a larger hole in the middle of the head; nothing else tells them apart."""
    pytest.importorskip("monai")
    template = load_template(128, 1.5)
    distance = np.linalg.norm(np.indices((128,) * 3) - 64, axis=0) * 1.5
    ball = nib.Nifti1Image((distance < 30).astype(np.int16), template.affine)
    nib.save(ball, tmp_path / "atlas.nii.gz")
    explain = {"method": "integrated_gradients", "steps": 2, "atlas": "atlas.nii.gz", "regions": {"middle": [1]}}
    sites = [site | {"policy": {"min_per_class": 1}} for site in small_experiment.values["sites"]]
    training = {"rounds": 1, "batch_size": 4}
    changes = {"model": {"encoder": "resnet18"}, "tuning": {"method": "full"}, "training": training}
    path = small_experiment.write(tmp_path / "run", sites=sites, explain=explain, **changes)
    found = told(run_experiment(Experiment.from_yaml(path), report=False), "A")
    share, random = (found["shares"][state]["middle"][0] for state in ("trained", "random"))
    volume = found["volumes"]["middle"]
    assert share > 2 * volume, (share, random, volume)
    assert share > 1.2 * random, (share, random, volume)
