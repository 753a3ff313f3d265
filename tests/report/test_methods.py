"""The text for a paper: what it says of a run, and that it cites what was used and nothing else."""

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from run_editing import change_config, change_metrics

from fedtune3d._utils.folders import RunFolder
from fedtune3d._utils.typed_json import read_typed, write_typed
from fedtune3d.cohorts.labels import ClassMapping, LabelMapping
from fedtune3d.evaluation.metrics import RunMetrics, WeightsSource
from fedtune3d.federation.environment import Environment, TracedWeights
from fedtune3d.report import write_report
from fedtune3d.report.for_paper import for_paper
from fedtune3d.report.methods import Methods, _definition, experiment_of, finished, methods_markdown, methods_of
from fedtune3d.report.methods_training import times
from fedtune3d.report.references import REFERENCES
from fedtune3d.report.run_contents import read_run

Make = Callable[..., Path]
HOSTILE = "<script>alert(1)</script> | **b** \x1b[2J"


def methods_at(folder: Path) -> Methods:
    contents = read_run(folder)
    run, experiment = finished(contents), experiment_of(contents)
    assert run is not None
    assert experiment is not None
    return methods_of(run, experiment)


def text_of(methods: Methods) -> str:
    return " ".join(sentence for paragraph in methods.paragraphs for sentence in paragraph.sentences)


def changed(make_run: Make, changes: dict[str, Any]) -> Methods:
    folder = make_run()
    change_config(folder, lambda config: config.update(changes))
    return methods_at(folder)


def test_each_reference_is_cited_and_each_citation_has_a_reference(make_run: Make, small_run: RunFolder) -> None:
    for folder in (make_run(), small_run.path):
        methods = methods_at(folder)
        cited = {
            int(number) for found in re.findall(r" \[([\d, ]+)\]", text_of(methods)) for number in found.split(", ")
        }
        assert cited == set(range(1, len(methods.references) + 1))
        assert len(set(methods.references)) == len(methods.references)


def test_numeric_labels_are_called_diagnoses_and_their_classes_classes() -> None:
    assert _definition(ClassMapping({"0": ("0",), "1": ("1", "2")})) == (
        "the classes were class 1 (diagnosis 1 or 2) and class 0; scans with any other diagnosis were excluded"
    )
    assert _definition(LabelMapping(positive=("1",), negative=("0",))) == (
        "class 1 formed the positive class and class 0 the negative; scans with any other diagnosis were excluded"
    )


def test_classes_are_defined_by_their_diagnoses_or_conditions() -> None:
    assert _definition(LabelMapping(positive=("AD", "Dementia"), negative=("CN",))) == (
        "AD or Dementia formed the positive class and CN the negative; scans with any other diagnosis were excluded"
    )
    assert _definition(LabelMapping(positive="cdr >= 1", negative="cdr == 0")) == (
        "scans with cdr >= 1 formed the positive class and scans with cdr == 0 the negative; "
        "all other scans were excluded"
    )
    assert _definition(ClassMapping({"CN": ("CN",), "MCI": ("EMCI", "LMCI"), "AD": ("AD",)})) == (
        "the classes were CN, MCI (EMCI or LMCI) and AD; scans with any other diagnosis were excluded"
    )


def test_random_weights_and_simulated_scans_are_called_that(make_run: Make) -> None:
    methods = methods_at(make_run())
    assert "simulated and do not come from patients" in text_of(methods)
    assert "with random weights, drawn from the seed: it was not pre-trained" in text_of(methods)
    assert "The scans are simulated and the encoder's weights are random" in text_of(methods)


def test_scans_stayed_at_their_sites_only_where_another_machine_held_them(make_run: Make, small_run: RunFolder) -> None:
    assert "All sites ran on one machine" in text_of(methods_at(small_run.path))
    folder = make_run()
    shutil.rmtree(folder / "sites", ignore_errors=True)
    assert "Scans stayed at their sites." in text_of(methods_at(folder))


def test_released_weights_and_real_scans_are_called_that(make_run: Make) -> None:
    folder = make_run()
    run = RunFolder(folder)
    environment = read_typed(Environment, run.environment, "")
    digest = "ab" * 32
    write_typed(run.environment, replace(environment, weights=TracedWeights("turbo.pth", digest, None)))

    def real(metrics: RunMetrics) -> RunMetrics:
        return replace(metrics, simulated=False, weights=WeightsSource("turbo.pth", digest))

    change_metrics(folder, real)
    text = text_of(methods_at(folder))
    assert f"initialised with the weights of turbo.pth (SHA-256 {digest})" in text
    assert "random weights" not in text
    assert "imulated" not in text


def test_what_the_configuration_says_is_what_is_written(small_run: RunFolder) -> None:
    text = text_of(methods_at(small_run.path))
    config = read_run(small_run.path).config
    assert f"in batches of {config['training']['batch_size']} with AdamW" in text
    assert "Sites trained in 2 rounds, aggregated by FedAvg [" in text
    assert "AD formed the positive class and CN the negative" in text
    assert "(seed 3) in the proportions 50% for training, 20% for validation, 30% for testing" in text
    assert "The encoder was frozen, and a linear head was trained" in text
    assert "within one standard error" in text
    assert "Every method trained for 2 rounds" in text
    assert "were not recalibrated" in text
    assert "prevalences of 5%, 20%, 50%" in text


@pytest.mark.parametrize(
    ("changes", "present", "absent"),
    [
        (
            {},
            ["mcmahan", "wang", "delong", "holm", "koopman", "breiman"],
            ["jiang", "he_lora", "obuchowski", "hu", "platt"],
        ),
        ({"aggregation": {"rule": "fedce"}}, ["jiang"], ["mcmahan"]),
        (
            {"aggregation": {"rule": "rate_my_lora"}, "tuning": {"method": "lora"}},
            ["he_lora", "hu", "singhal"],
            ["mcmahan"],
        ),
        ({"privacy": {"secure_aggregation": True}}, ["bonawitz"], ["abadi"]),
        ({"training": {"rounds": 10, "best_round": "last"}}, [], ["breiman"]),
        ({"training": {"rounds": 10, "optimizer": "sgd"}}, [], ["loshchilov"]),
        ({"preparation": {"intensity": "white_stripe", "steps": ["brain"]}}, ["shinohara", "fisch"], ["tustison"]),
    ],
)
def test_only_what_was_used_is_cited(
    make_run: Make, changes: dict[str, Any], present: list[str], absent: list[str]
) -> None:
    references = changed(make_run, changes).references
    assert [key for key in present if REFERENCES[key] not in references] == []
    assert [key for key in absent if REFERENCES[key] in references] == []


def test_people_with_several_scans_bring_obuchowski(make_run: Make) -> None:
    folder = make_run()

    def clustered(metrics: RunMetrics) -> RunMetrics:
        boston = metrics.federated.sites["Boston"]
        method = boston.auc.method.replace("DeLong", "Obuchowski")
        sites = {**metrics.federated.sites, "Boston": replace(boston, auc=replace(boston.auc, method=method))}
        return replace(metrics, methods={**metrics.methods, "federated": replace(metrics.federated, sites=sites)})

    change_metrics(folder, clustered)
    methods = methods_at(folder)
    assert REFERENCES["obuchowski"] in methods.references
    assert "people with several scans are clusters" in text_of(methods)


def test_what_is_left_out_is_not_claimed(make_run: Make) -> None:
    folder = make_run()
    change_metrics(folder, lambda metrics: replace(metrics, methods={"federated": metrics.federated}, against={}))
    methods = methods_at(folder)
    assert REFERENCES["holm"] not in methods.references
    assert "Comparisons" not in [paragraph.heading for paragraph in methods.paragraphs]
    assert "1 update was missing or rejected" in text_of(methods)  # Graz in round 3


@pytest.mark.usefixtures("_unrendered")
def test_the_files_are_those_of_the_page(make_run: Make) -> None:
    folder = make_run()
    page = write_report(folder).read_text(encoding="utf-8")
    methods = methods_at(folder)
    assert RunFolder(folder).methods.read_text(encoding="utf-8") == methods_markdown(methods)
    assert "<b>Federated training.</b> Sites trained in 10 rounds, aggregated by FedAvg" in page
    assert all(f"<li>{reference}" in page for reference in methods.references if "&" not in reference)


@pytest.mark.usefixtures("_unrendered")
def test_foreign_text_stays_text(make_run: Make) -> None:
    folder = make_run()
    change_config(folder, lambda config: config.update(labels={"positive": [HOSTILE], "negative": ["CN"]}))
    page = write_report(folder).read_text(encoding="utf-8")
    assert "<script>alert" not in page
    text = RunFolder(folder).methods.read_text(encoding="utf-8")
    assert not any(active in text for active in ("<script", "**b**", "\x1b"))


@pytest.mark.usefixtures("_unrendered")
def test_a_run_in_progress_or_with_parts_that_are_not_installed_has_no_text(make_run: Make, tmp_path: Path) -> None:
    unfinished = make_run(finished=False)
    write_report(unfinished)
    assert not RunFolder(unfinished).methods.exists()
    assert for_paper(read_run(unfinished)) is None
    other = Path(shutil.copytree(unfinished, tmp_path / "other"))
    change_config(other, lambda config: config["model"].update(encoder="of_my_own"))
    assert experiment_of(read_run(other)) is None


def test_numbers_of_times() -> None:
    assert [times(count) for count in (1, 2, 5)] == ["once", "twice", "5 times"]
