"""Exported models against the models of the runs that they come from."""

import csv
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
from scan_records import make_record
from scipy.special import expit

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.files import sha256_file, write_json
from fedtune3d._utils.folders import RunFolder
from fedtune3d._utils.foreign_text import markdown
from fedtune3d._utils.seeds import torch_rng
from fedtune3d._utils.state_dicts import load_info, load_state, save_state
from fedtune3d._utils.typed_json import read_typed, write_typed
from fedtune3d.aggregation.site_step import KEPT_LOCAL
from fedtune3d.config.experiment import Experiment
from fedtune3d.config.feature_versions import FeatureVersions
from fedtune3d.evaluation.recalibration import PlattScaling
from fedtune3d.federation.environment import Environment
from fedtune3d.federation.process_model import ProcessModel
from fedtune3d.federation.site.local_trainer import LocalTrainer
from fedtune3d.federation.site.memory import SiteMemory
from fedtune3d.models.encoders import build_encoder
from fedtune3d.models.encoders.contract import initialise_random
from fedtune3d.models.hub import FILE, REPOSITORY
from fedtune3d.preparation.prepare_scan import PREPARATION_VERSION
from fedtune3d.preparation.store import PreparedStore
from fedtune3d.report.export_info import FORMAT, InputFormat
from fedtune3d.report.model_card import model_card
from fedtune3d.report.result_warnings import result_warnings
from fedtune3d.report.run_contents import read_finished_run, read_run
from fedtune3d.workflows.export import export_run, load_exported
from fedtune3d.workflows.predict import Predictor
from fedtune3d.workflows.run import run_experiment
from fedtune3d.workflows.run_folder import read_metrics

LORA = {"method": "lora", "rank": 2, "blocks": "all"}
QUICK = {"rounds": 1, "batch_size": 4, "head_learning_rate": 0.01, "encoder_learning_rate": 0.01}
RUNS: dict[str, dict[str, Any]] = {
    "frozen": {"training": {**QUICK, "rounds": 2}, "evaluation": {"recalibration": "platt"}},
    "full": {"tuning": {"method": "full"}, "training": QUICK},
    "lora": {"tuning": LORA, "training": QUICK},
    "exact": {"tuning": LORA, "training": QUICK, "aggregation": {"rule": "fedavg", "lora": "exact"}},
    "ncc": {
        "model": {"encoder": "tiny", "head": "ncc"},
        "aggregation": {"rule": "ncc"},
        "training": {"rounds": 1},
    },
    "resnet18": {"model": {"encoder": "resnet18"}, "tuning": {"method": "full"}, "training": {"rounds": 1}},
    "fedbn": {"model": {"encoder": "tiny", "head": "conv_s"}, "aggregation": {"rule": "fedbn"}, "training": QUICK},
}
ONE_SITE = ("full", "lora", "ncc", "resnet18")  # where a second adds nothing but time
Run = Callable[[str], Path]


@pytest.fixture(scope="module")
def run(small_experiment: Any, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The folder of a finished run, made when it is first asked for; its experiment file is beside it."""

    @cache
    def made(name: str) -> Path:
        sites = small_experiment.values["sites"][1 if name in ONE_SITE else 0 :]
        sites = [site | {"policy": {"min_per_class": 1}} for site in sites]
        path = small_experiment.write(tmp_path_factory.mktemp(name) / "run", sites=sites, **RUNS[name])
        return run_experiment(Experiment.from_yaml(path), report=False).path

    return made


@pytest.fixture(scope="module")
def scans() -> torch.Tensor:
    return torch.randn(2, 1, 128, 128, 128, generator=torch_rng("export"))


def logits_of_run(folder: Path, scans: torch.Tensor, site: str | None = None) -> torch.Tensor:
    """What the run's own model says, put together as a site does it before it evaluates."""
    experiment = Experiment.from_yaml(folder.with_suffix(".yaml"))
    trainee = LocalTrainer("any", experiment, ProcessModel(experiment), folder / "none")
    run = RunFolder(folder)
    own = {}
    if site:
        version = load_info(run.best_checkpoint)["versions"][site]
        own = SiteMemory(run.site(site).memory()).load(version)[KEPT_LOCAL]
    trainee.process_model.assembled.write(load_state(run.best_checkpoint) | own)
    with torch.inference_mode():
        return trainee.process_model.assembled.model.eval()(scans)


def logits_of_file(path: Path, scans: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return load_exported(path)[0](scans)


@pytest.mark.ci
@pytest.mark.parametrize(
    ("name", "tolerance"),
    [
        ("frozen", 0.0),
        ("full", 0.0),
        ("lora", 1e-5),
        ("exact", 1e-5),
        ("ncc", 0.0),
        pytest.param("resnet18", 0.0, marks=pytest.mark.slow),
    ],
)
def test_the_merged_model_says_what_the_runs_model_says(
    run: Run, scans: torch.Tensor, tmp_path: Path, name: str, tolerance: float
) -> None:
    written = export_run(run(name), tmp_path / "out", merged=True)
    assert [path.name for path in written] == ["model.safetensors", "README.md"]
    assert sorted(written) == sorted((tmp_path / "out").iterdir())
    expected = logits_of_run(run(name), scans)
    difference = (logits_of_file(written[0], scans) - expected).norm() / expected.norm()
    assert difference <= tolerance


def test_the_file_needs_no_adapters_and_tells_how_to_use_it(run: Run, tmp_path: Path) -> None:
    path, _ = export_run(run("exact"), tmp_path, merged=True)
    assert {name.partition(".")[0] for name in load_state(path)} == {"encoder", "head"}
    assert not any("lora" in name for name in load_state(path))
    _, info = load_exported(path)
    assert (info.encoder, info.head, info.tuning, info.rule) == ("tiny", "linear", "lora", "fedavg")
    assert info.labels == {site: {"negative": ("CN",), "positive": ("AD",)} for site in "AB"}
    assert info.threshold == read_metrics(RunFolder(run("exact"))).federated.threshold
    assert info.preparation == InputFormat(128, 1.5, "auto", "zscore", background=0.0, version=PREPARATION_VERSION)
    assert info.weights.source == "random"


def test_an_experiment_of_another_seed_has_other_logits(run: Run, scans: torch.Tensor, tmp_path: Path) -> None:
    path, _ = export_run(run("frozen"), tmp_path, merged=True)
    state = load_state(path)
    assert not torch.equal(state["encoder.pos_embed"], build_encoder("tiny").state_dict()["pos_embed"])
    assert not torch.equal(logits_of_file(path, scans)[0], logits_of_file(path, scans)[1])


def test_without_merged_only_what_was_trained_is_written(run: Run, tmp_path: Path) -> None:
    names = [path.name for path in export_run(run("frozen"), tmp_path / "frozen", merged=False)]
    assert names == ["head.safetensors", "README.md"]
    names = [path.name for path in export_run(run("full"), tmp_path / "full", merged=False)]
    assert names == ["head.safetensors", "encoder.safetensors", "README.md"]
    best = load_state(RunFolder(run("full")).best_checkpoint)
    assert {f"encoder.{name}" for name in load_state(tmp_path / "full" / "encoder.safetensors")} | {
        f"head.{name}" for name in load_state(tmp_path / "full" / "head.safetensors")
    } == best.keys()


def test_head_and_adapter_make_the_runs_model_on_its_plain_encoder(
    run: Run, scans: torch.Tensor, tmp_path: Path
) -> None:
    head, adapter, _ = export_run(run("lora"), tmp_path / "parts", merged=False)
    experiment = Experiment.from_yaml(run("lora").with_suffix(".yaml"))
    frozen = experiment.model_copy(update={"tuning": type(experiment).model_fields["tuning"].default})
    model = ProcessModel(frozen).assembled.model.eval()
    model.head.load_state_dict(load_state(head))
    model.encoder = peft.PeftModel.from_pretrained(model.encoder, adapter).base_model.model
    with torch.inference_mode():
        found = model.head(model.encoder(scans))
    torch.testing.assert_close(found, logits_of_run(run("lora"), scans), rtol=1e-4, atol=1e-5)


def test_residuals_go_into_no_adapter_file(run: Run, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"exact LoRA averaging has changed the frozen weights.*export it merged"):
        export_run(run("exact"), tmp_path / "parts", merged=False)
    assert not (tmp_path / "parts" / "head.safetensors").exists()


@pytest.mark.ci
def test_layers_kept_at_sites_are_written_for_the_site_that_is_named(
    run: Run, scans: torch.Tensor, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"each site kept \d+ tensors of its own .*--site, one of A, B"):
        export_run(run("fedbn"), tmp_path, merged=True)
    logits = {}
    for site in "AB":
        path, card = export_run(run("fedbn"), tmp_path / site, merged=True, site=site)
        logits[site] = logits_of_file(path, scans)
        assert torch.equal(logits[site], logits_of_run(run("fedbn"), scans, site))
        assert f"The normalisation layers are those of site {site}." in card.read_text()
        assert load_exported(path)[1].layers_of == site
    assert not torch.equal(logits["A"], logits["B"])
    with pytest.raises(InputError, match="--site A: rule fedavg has one model for all sites"):
        export_run(run("frozen"), tmp_path, merged=True, site="A")


def test_the_card_warns_and_has_the_numbers_of_the_run(run: Run, tmp_path: Path) -> None:
    metrics = read_metrics(RunFolder(run("frozen")))
    text = export_run(run("frozen"), tmp_path, merged=True)[1].read_text()
    assert "> **The encoder's weights are random" in text
    assert "not a medical device" in text
    test = metrics.federated.sites["A"]
    negatives, positives = test.participants_by_class
    auc = f"{test.auc.value:.2f} [{test.auc.low:.2f}, {test.auc.high:.2f}]"
    assert f"| A | {positives} + {negatives} | {auc}" in text
    found, pooled = test.confusion, metrics.federated.pooled
    assert f" ({found.true_positives}/{found.true_positives + found.false_negatives}) |" in text
    for at in pooled.predictive_values:
        assert f"| {100 * at.prevalence:.3g}%" in text
    row = next(line for line in text.splitlines() if line.startswith("| A |") and "[" not in line)
    cells = [int(cell) for cell in row.strip("| ").split(" | ")[1:]]
    assert sum(cells[:3]) == 14  # every scan of the site is in one split
    assert cells[2:] == [test.scans, test.participants, test.positives]
    assert str(tmp_path.parent) not in text


def test_the_card_and_predictions_repeat_the_warnings_of_the_results(run: Run, tmp_path: Path) -> None:
    contents = read_finished_run(run("frozen"))
    path, _ = export_run(run("frozen"), tmp_path, merged=True)
    first, *others = contents.ledger
    best = next(line for line in others if line.validation.state_round == 2)
    failed = replace(
        contents,
        metrics=replace(contents.metrics, best_round=2),
        ledger=[replace(first, validation=replace(best.validation, state_round=0)), *others],
    )
    text = model_card(failed, load_exported(path)[1], [path.name])
    assert "> **Warning:** Training did not improve the validation AUC: " in text
    assert Predictor(run("frozen")).warnings == result_warnings(contents.metrics, contents.names, contents.ledger)


def test_the_card_shows_foreign_text_as_it_is(run: Run, tmp_path: Path) -> None:
    path, _ = export_run(run("frozen"), tmp_path, merged=True)
    hostile = "<script>alert(1)</script> | [x](https://evil) **b**\n# heading\x1b[2J"
    info = replace(
        load_exported(path)[1],
        experiment=hostile,
        labels={site: {"negative": (site,), "positive": (hostile,)} for site in "AB"},
    )
    text = model_card(read_run(run("frozen")), info, [path.name])
    for active in ("<script", "](https", "**b**", "\n# heading", "\x1b"):
        assert active not in text
    (row,) = (line for line in text.splitlines() if line.startswith("| A | &lt;script&gt;"))
    assert len(re.findall(r"(?<!\\)\|", row)) == 4  # three cells


@pytest.mark.ci
def test_a_run_from_a_checkpoint_wants_that_checkpoint(
    small_experiment: Any, scans: torch.Tensor, tmp_path: Path
) -> None:
    encoder = build_encoder("tiny")
    initialise_random(encoder, 11)
    weights = tmp_path / "tiny.safetensors"
    save_state(weights, dict(encoder.state_dict()))
    origin = {"repository": REPOSITORY, "file": FILE, "revision": "1" * 40, "sha256": sha256_file(weights)}
    write_json(tmp_path / "tiny.safetensors.json", origin)
    model = {"encoder": "tiny", "head": "linear", "weights": str(weights)}
    site = small_experiment.values["sites"][1:]
    file = small_experiment.write(tmp_path / "run", model=model, sites=site, training=QUICK)
    folder = run_experiment(Experiment.from_yaml(file), report=False).path
    assert RunFolder(folder).environment.read_text().count(origin["revision"]) == 1
    digest = sha256_file(weights)
    with pytest.raises(
        InputError, match=rf"started from tiny.safetensors \(SHA-256 {digest}\); give its path with --w"
    ):
        export_run(folder, tmp_path / "out", merged=True)
    other = tmp_path / "other.safetensors"
    initialise_random(encoder, 12)
    save_state(other, dict(encoder.state_dict()))
    with pytest.raises(InputError, match=f"expected the file that .* started from, SHA-256 {digest}, got"):
        export_run(folder, tmp_path / "out", merged=True, weights=other)
    path, card = export_run(folder, tmp_path / "out", merged=True, weights=weights)
    assert torch.equal(logits_of_file(path, scans), logits_of_run(folder, scans))
    assert markdown(f"from {REPOSITORY} at {origin['revision']}") in card.read_text()


@pytest.mark.parametrize("slope", [0.7, -0.7])
def test_the_header_and_the_card_have_the_recalibration(run: Run, tmp_path: Path, slope: float) -> None:
    path, card = export_run(run("frozen"), tmp_path, merged=True)
    _, info = load_exported(path)
    metrics = read_metrics(RunFolder(run("frozen")))
    assert info.recalibration == metrics.federated.recalibrated["Pooled"].scaling
    assert "Platt scaling on " in card.read_text()
    scaling = PlattScaling(slope, 0.25, (9, 8))
    info = replace(info, threshold=0.5, recalibration=scaling)
    text = model_card(read_finished_run(run("frozen")), info, [path.name])
    assert "Platt scaling on validation scans (8 AD, 9 CN)" in text
    assert f"recalibrated logit = {slope:.1f} · logit +0.25".replace("-", "−") in text
    shown = f"AD at 0.500 or above (recalibrated: {expit(0.25):.3f} or above)"  # the logit of 0.5 is 0
    assert (shown in text) == ("probability_beside" in text) == (slope > 0)
    assert ("not to be used, as it would reverse the classes" in text) == (slope < 0)


@pytest.mark.slow
def test_the_reference_has_no_head_to_write_alone(run: Run, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="resnet18: is trained as a whole and has no head; add --merged"):
        export_run(run("resnet18"), tmp_path, merged=False)


def test_what_is_no_exported_model_is_refused(run: Run, tmp_path: Path) -> None:
    path, _ = export_run(run("frozen"), tmp_path / "model", merged=True)
    with pytest.raises(InputError, match="expected a model written by `fedtune3d export RUN --merged`"):
        load_exported(RunFolder(run("frozen")).best_checkpoint)
    head = export_run(run("frozen"), tmp_path / "head", merged=False)[0]
    with pytest.raises(InputError, match=rf"found head \(format {FORMAT}\)"):
        load_exported(head)
    flipped = bytearray(path.read_bytes())
    flipped[-1] ^= 1
    path.write_bytes(flipped)
    with pytest.raises(InputError, match="does not match its checksum"):
        load_exported(path)


def test_a_file_trained_on_other_features_is_refused(run: Run, tmp_path: Path) -> None:
    path, _ = export_run(run("frozen"), tmp_path, merged=True)
    told, state = load_info(path), load_state(path)
    save_state(path, state, told | {"preparation": told["preparation"] | {"version": 1}})
    with pytest.raises(InputError, match=r"trained with version 1 of the preparation, but this is version \d"):
        load_exported(path)
    save_state(path, state, told | {"encoder_version": 99})
    with pytest.raises(InputError, match="trained with version 99 of encoder tiny, but this is version"):
        load_exported(path)


def test_a_run_of_other_features_is_neither_exported_nor_predicted(run: Run, tmp_path: Path) -> None:
    folder = RunFolder(shutil.copytree(run("frozen"), tmp_path / "run"))
    environment = read_typed(Environment, folder.environment, "")
    assert environment.features is not None
    assert environment.features == FeatureVersions.here("tiny")
    for features in (FeatureVersions(99, environment.features.preparation), None):
        write_typed(folder.environment, replace(environment, features=features))
        for use in (lambda: export_run(folder.path, tmp_path / "out", merged=True), lambda: Predictor(folder.path)):
            with pytest.raises(InputError, match=r"encoder tiny.*use the fedtune3d that trained it"):
                use()
    assert not (tmp_path / "out").exists()


def test_only_a_finished_run_is_exported(run: Run, tmp_path: Path) -> None:
    unfinished = tmp_path / "run"
    unfinished.mkdir()
    (unfinished / "config.yaml").write_text((run("frozen") / "config.yaml").read_text())
    with pytest.raises(InputError, match=r"metrics\.json: missing, the run is not complete"):
        export_run(unfinished, tmp_path / "out", merged=True)
    with pytest.raises(InputError, match="is not a run folder"):
        export_run(tmp_path / "nowhere", tmp_path / "out", merged=True)
    with pytest.raises(InputError, match=r"started from random weights; remove --weights"):
        export_run(run("frozen"), tmp_path / "out", merged=True, weights=tmp_path / "any.pth")


def test_the_exported_model_gives_the_predictions_of_the_run(run: Run, small_experiment: Any, tmp_path: Path) -> None:
    """End to end, from the prepared scans: full tuning has no cache whose float16 would stand between."""
    path, _ = export_run(run("full"), tmp_path, merged=True)
    model, _ = load_exported(path)
    with RunFolder(run("full")).site("B").predictions().open() as file:
        told = {row["participant"]: float(row["probability"]) for row in csv.DictReader(file, delimiter="\t")}
    store = PreparedStore(small_experiment.folder / "cache" / "B" / "prepared")
    found = {}
    with torch.inference_mode():
        for path in (small_experiment.folder / "B").rglob("*_T1w.nii.gz"):
            scan = torch.from_numpy(np.load(store.get(make_record(path, "B"))).astype(np.float32))
            found[path.name.partition("_")[0]] = float(model(scan[None, None]).softmax(dim=1)[0, 1])
    assert found == pytest.approx(told, rel=1e-4)
