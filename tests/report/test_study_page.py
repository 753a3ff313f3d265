import math
import re
import shutil
import statistics
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from html_tables import table_of, tables_in
from ledger_editing import change_ledger
from rich.console import Console

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.folders import SiteFolder, StudyFolder
from fedtune3d._utils.sealed import write_sealed_text
from fedtune3d._utils.typed_json import write_typed
from fedtune3d.config.study_results import EncodingCost, StudyResults, VariantRecord
from fedtune3d.evaluation import Predictions, paired_delong
from fedtune3d.evaluation.metrics import RunMetrics, WeightsSource, read_metrics
from fedtune3d.evaluation.paired import paired_over_seeds
from fedtune3d.federation.ledger import read_ledger
from fedtune3d.federation.site.predictions_table import write_predictions
from fedtune3d.report import write_study_report
from fedtune3d.report.figures.forest import draw_forest
from fedtune3d.report.figures.study_stage import draw_study_stage
from fedtune3d.report.study_captions import answer
from fedtune3d.report.study_contents import read_study
from fedtune3d.report.study_tables import cost_rows, paired_rows, stage_tables


class Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.text = ""

    def handle_data(self, data: str) -> None:
        self.text += data


def metrics_of(folder: Path, trial: str) -> RunMetrics:
    return read_metrics(StudyFolder(folder).trial(trial).metrics)


def test_the_answer_comes_first_and_follows_from_the_chosen_trial(finished_study: Path) -> None:
    page = Text()
    page.feed((finished_study / "report.html").read_text())
    mean = metrics_of(finished_study, "conv_s-frozen-fedavg-seed0").federated.mean_auc
    numbers = f"{mean.value:.2f} [{mean.low:.2f}, {mean.high:.2f}]"
    said = answer(read_study(finished_study))
    assert said is not None
    assert said.startswith(f"CONV S, frozen, FedAvg: mean test AUC over 3 sites {numbers}")  # in the terminal
    text = " ".join(page.text.split())
    shown = f"Test AUC {mean.value:.2f} 95% CI {mean.low:.2f}–{mean.high:.2f} mean over 3 of 4 sites"
    assert text.index("Selected: CONV S, frozen, FedAvg") < text.index(shown) < text.index("test scans were not used")
    assert text.index("Runner-up: CONV S, frozen, Median (0.800)") < text.index("Ranking")
    assert ("It is not shown to be better than chance (AUC 0.50)" in text) == (mean.low <= 0.5)
    assert "scans are simulated and the encoder's weights are random" in page.text
    assert (finished_study / "report.html").stat().st_size < 15_000_000


def test_every_row_is_what_its_trial_says(finished_study: Path) -> None:
    contents = read_study(finished_study)
    for rows in contents.stages.values():
        for row in rows:
            metrics = metrics_of(finished_study, row.trials[0]).methods[row.method]
            assert row.mean.estimate.value == metrics.mean_auc.value
            for site, over_seeds in row.sites.items():
                assert over_seeds.estimate.value == metrics.sites[site].auc.value
    assert [row.kind for row in contents.stages["rules"]] == ["variant", "variant", "baseline", "baseline"]


def test_costs_are_those_of_the_ledger(finished_study: Path) -> None:
    lines = read_ledger(finished_study / "trials" / "linear-frozen-fedavg-seed0" / "rounds.jsonl")
    cost = cost_rows(read_study(finished_study))[0].row.cost
    assert cost is not None
    assert cost.total_bytes == sum(entry.bytes_both_ways for line in lines for entry in line.sites.values())
    assert cost.bytes_per_round_and_site == 2 * 6_800_000
    assert cost.seconds_per_round == statistics.median(line.seconds for line in lines if line.trains)
    assert (cost.rounds, cost.peak_memory_bytes) == (10, 910_000_000)


@pytest.mark.usefixtures("_unrendered")
def test_a_stage_of_one_entry_is_a_sentence_and_a_tie_is_said_once(finished_study: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(finished_study, tmp_path / "study"))
    results = StudyResults.read(StudyFolder(folder))
    alike = tuple(replace(record, validation=0.8) for record in results.stages["rules"])
    heads = tuple(record for record in results.stages["heads"] if record.head.name == "conv_s")
    stages = {**results.stages, "heads": heads, "rules": alike}
    replace(results, stages=stages).write(StudyFolder(folder))
    page = write_study_report(folder).read_text()
    assert "Only CONV S was run, so there is nothing to compare." in page
    assert "auc_by_head" not in page
    assert "auc_by_rule" in page
    assert "Both have the same validation score; the selected one was listed first." in page
    assert not any(str(table.title).startswith("Heads") for table in stage_tables(read_study(folder)))


@pytest.mark.usefixtures("_unrendered")
def test_several_seeds_are_mean_and_spread(finished_study: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(finished_study, tmp_path / "study"))
    results = StudyResults.read(StudyFolder(folder))
    both = {0: "conv_s-frozen-fedavg-seed0", 1: "linear-frozen-fedavg-seed0"}
    stages = {
        stage: tuple(replace(record, trials=record.trials | {1: both[1]}) for record in records)
        for stage, records in results.stages.items()
    }
    replace(results, seeds=(0, 1), stages=stages).write(StudyFolder(folder))
    row = read_study(folder).stages["heads"][1]
    one, other = (metrics_of(folder, trial).federated.mean_auc for trial in both.values())
    assert row.mean.estimate.value == pytest.approx((one.value + other.value) / 2)
    assert row.mean.estimate.low == pytest.approx((one.low + other.low) / 2)
    assert row.mean.sd == pytest.approx(statistics.stdev([one.value, other.value]))
    cells = table_of(tables_in(write_study_report(folder)), "Heads: test AUC")[1]
    assert f"± {row.mean.sd:.2f} [" in cells[-1]


def write_half(folder: Path, labels: list[int], probabilities: list[float]) -> Predictions:
    """A site's own half of a run: its split, and the same predictions for each method."""
    names = [f"sub-{number}" for number in range(len(labels))]
    folder.mkdir(parents=True, exist_ok=True)
    rows = [f"{name}\tn/a\t{name}\t{label}\ttest\n" for name, label in zip(names, labels, strict=True)]
    header = "participant_id\tsession_id\tgroup_id\tlabel\tsplit\n"
    write_sealed_text(SiteFolder(folder).splits, header + "".join(rows))
    scans = [(name, "", "test", label, value) for name, label, value in zip(names, labels, probabilities, strict=True)]
    for method in ("federated", "local", "centralized"):
        write_predictions(SiteFolder(folder).predictions(method), scans)
    return Predictions(tuple(names), tuple(names), labels, probabilities)


def test_sites_that_keep_their_predictions_compare_them_themselves(finished_study: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(finished_study, tmp_path / "study"))
    cells = [folder / "trials" / f"{head}-frozen-fedavg-seed0" / "sites" for head in ("linear", "conv_s")]
    values = [0.1, 0.2, 0.3, 0.7, 0.4, 0.6, 0.5, 0.8, 0.9, 0.35]
    labels = [0] * 5 + [1] * 5
    one, other = write_half(cells[0] / "Boston", labels, values), write_half(cells[1] / "Boston", labels, values[::-1])
    contents = read_study(folder)
    assert not any(run.policy("Boston", "predictions_leave") for run in contents.runs.values())
    (row,) = [row for row in paired_rows(contents) if row.stage == "heads"]
    assert row.comparison.difference.value == paired_delong(one, other).difference.value
    assert row.comparison.sites == ("Boston",)


@pytest.mark.ci
def test_all_seeds_together_come_before_each_seed(finished_study: Path, tmp_path: Path) -> None:
    """One comparison over both seeds, people as clusters over them, then one per seed."""
    folder = Path(shutil.copytree(finished_study, tmp_path / "study"))
    pairs, labels = {}, [0] * 5 + [1] * 5
    values = [0.1, 0.2, 0.3, 0.7, 0.4, 0.6, 0.5, 0.8, 0.9, 0.35]
    for seed in (0, 1):
        trials = [folder / "trials" / f"{head}-frozen-fedavg-seed{seed}" for head in ("linear", "conv_s")]
        for trial in trials if seed else []:
            shutil.copytree(str(trial).replace("seed1", "seed0"), trial)
        own = values if seed == 0 else values[1:] + values[:1]
        linear, conv_s = (trial / "sites" / "Boston" for trial in trials)
        pairs[seed] = write_half(linear, labels, own), write_half(conv_s, labels, own[::-1])
    study = StudyFolder(folder)
    results = StudyResults.read(study)
    heads = tuple(
        replace(record, trials=record.trials | ({} if record.reference else {1: f"{record.name}-seed1"}))
        for record in results.stages["heads"]
    )
    replace(results, seeds=(0, 1), stages={"heads": heads}).write(study)
    rows = [row for row in paired_rows(read_study(folder)) if row.stage == "heads"]
    expected = paired_over_seeds(pairs)
    assert [row.seed for row in rows] == [None, 0, 1]
    assert rows[0].comparison.standard_error == pytest.approx(expected.standard_error)
    assert rows[0].comparison.difference.value == pytest.approx(expected.difference.value)
    drawing = draw_forest(rows)
    assert [row["seed"] for row in drawing.rows] == ["all", 0, 1]
    assert "all seeds" in drawing.title


def test_the_terminal_shows_three_tables(finished_study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for table in stage_tables(read_study(finished_study)):
        Console(width=100).print(table)
    printed = capsys.readouterr().out
    assert [word in printed for word in ("Heads", "Tunings", "Aggregation rules")] == [True] * 3
    assert "not defined: one" in printed


def test_a_folder_without_a_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a study"):
        write_study_report(tmp_path)


def make_crossed(study: Path, folder: Path) -> Path:
    """The drawn study as one in which every combination ran: six trials and a reference."""
    copy = Path(shutil.copytree(study, folder))
    results = StudyResults.read(StudyFolder(copy))
    records = {record.name: record for stage in results.stages.values() for record in stage}
    for rule, like in (("median", "conv_s-frozen-median"), ("fedavg", "linear-frozen-fedavg")):
        name = f"linear-lora-{rule}"
        shutil.copytree(copy / "trials" / f"{like}-seed0", copy / "trials" / f"{name}-seed0")
        lora = records["conv_s-lora-fedavg"].tuning
        parts = {"head": records["linear-frozen-fedavg"].head, "tuning": lora, "rule": records[like].rule}
        records[name] = replace(records[like], name=name, trials={0: f"{name}-seed0"}, **parts)
    replace(results, design="crossed", stages=results.stages | {"trials": tuple(records.values())}).write(
        StudyFolder(copy)
    )
    return copy


@pytest.mark.usefixtures("_unrendered")
def test_a_crossed_study_shows_every_trial(finished_study: Path, tmp_path: Path) -> None:
    folder = make_crossed(finished_study, tmp_path / "crossed")
    contents = read_study(folder)
    names = {path.name for path in (folder / "trials").iterdir()}
    assert len(names) == 7
    tables = tables_in(write_study_report(folder))
    assert {row[0] for row in table_of(tables, "Every run of the study")} == names
    everything = contents.stages["trials"]
    assert [row.title for row in everything if row.chosen] == ["CONV S, frozen, FedAvg"]
    combinations = [row[0] for row in table_of(tables, "All combinations: test AUC")]
    assert len(combinations) == len(names)
    assert {"CONV S, frozen, FedAvg selected", "NCC reference"} < set(combinations)
    assert len(table_of(tables, "Federated rounds; the time")) == len(names)
    assert len(table_of(tables, "All test scans of a trial")) == len(names) + 1  # centralized
    assert (folder / "figures" / "auc_by_trial.tsv").exists()


def test_a_pair_of_a_crossed_study_is_compared_once(finished_study: Path, tmp_path: Path) -> None:
    folder = make_crossed(finished_study, tmp_path / "crossed")
    labels, values = [0] * 5 + [1] * 5, [0.1, 0.2, 0.3, 0.7, 0.4, 0.6, 0.5, 0.8, 0.9, 0.35]
    for trial in (folder / "trials").iterdir():
        write_half(trial / "sites" / "Boston", labels, values)
    rows = paired_rows(read_study(folder))
    compared = [(row.title, row.chosen) for row in rows]
    assert len(compared) == len(set(compared)) == 6 + 2  # six other combinations and two baselines
    assert [row.title for row in rows if row.stage == "trials"] == ["Linear, LoRA, Median", "Linear, LoRA, FedAvg"]


@pytest.mark.usefixtures("_unrendered")
def test_what_differs_in_budget_is_named_in_tables_and_figures(finished_study: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(finished_study, tmp_path / "study"))
    trial = folder / "trials" / "linear-frozen-fedavg-seed0"
    change_ledger(trial, lambda lines: [*lines[:3], lines[-1]])
    contents = read_study(folder)
    linear, conv_s, ncc = contents.stages["heads"]
    steps = [
        sum(
            math.ceil(entry.examples / 8)
            for line in read_ledger(folder / "trials" / name / "rounds.jsonl")
            for entry in line.sites.values()
            if entry.participated
        )
        for name in ("linear-frozen-fedavg-seed0", "conv_s-frozen-fedavg-seed0")
    ]
    assert linear.label == f"Linear, 3 rounds, {steps[0]} steps"
    assert conv_s.label == f"CONV S, 10 rounds, {steps[1]} steps"
    assert ncc.label.startswith("NCC, 10 rounds")  # as its folder is a copy
    assert {row.differs for row in contents.stages["rules"]} == {""}
    titles = {entry.title for entry in cost_rows(contents)}
    assert f"CONV S, LoRA, FedAvg, 10 rounds, {steps[1]} steps" in titles
    page = write_study_report(folder).read_text(encoding="utf-8")
    assert f">{linear.label}" in page
    figure = draw_study_stage("heads", contents.stages["heads"]).figure
    assert linear.label in [text.get_text() for text in figure.legends[0].get_texts()]


def compare_encoders(folder: Path) -> None:
    """Make the drawn study one of encoders: deepbet, its random control, and SAM-Med3D with random weights."""
    results = StudyResults.read(StudyFolder(folder))
    deepbet, vit_b = VariantRecord("deepbet", "deepbet", ""), VariantRecord("vit_b", "vit_b", "random weights")
    linear, conv_s, ncc = results.stages["heads"]
    encoders = (
        replace(linear, encoder=deepbet),
        replace(ncc, head=VariantRecord("random", "random", ""), encoder=deepbet),
        replace(conv_s, encoder=vit_b),
    )
    others = {stage: tuple(replace(it, encoder=deepbet) for it in them) for stage, them in results.stages.items()}
    metrics = metrics_of(folder, linear.trials[0])
    weights = replace(metrics, weights=WeightsSource("model.pt", "0" * 64))
    write_typed(StudyFolder(folder).trial(linear.trials[0]).metrics, weights)
    replace(
        results,
        chosen={"encoder": "deepbet", **results.chosen},
        stages={"encoders": encoders, **others},
        encoding={"deepbet": EncodingCost(0.31, 700_000_000, 245_760)},
        left_out=("volumes with conv_s: makes a vector",),
    ).write(StudyFolder(folder))


@pytest.mark.usefixtures("_unrendered")
def test_a_study_of_encoders_shows_each_with_its_control_its_weights_and_its_cost(
    finished_study: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(finished_study, tmp_path / "study"))
    compare_encoders(folder)
    page = Text()
    page.feed(write_study_report(folder).read_text())
    contents = read_study(folder)
    rows = contents.stages["encoders"]
    assert [(row.title, row.kind, row.chosen) for row in rows] == [
        ("deepbet LinkNet encoder", "variant", True),
        ("deepbet LinkNet encoder (random weights)", "reference", False),
        ("SAM-Med3D ViT-B (random weights)", "variant", False),
    ]
    assert [row.control_of for row in rows] == [None, rows[0].key, None]
    assert "deepbet LinkNet encoder: weights pre-trained, from model.pt" in page.text
    assert "SAM-Med3D ViT-B (random weights): weights random" in page.text
    assert "volumes with conv_s: makes a vector" in page.text
    assert "Encoder, head, tuning and rule were selected by validation AUC" in page.text
    assert "Held fixed: Linear, frozen, FedAvg." in page.text
    assert (folder / "figures" / "auc_by_encoder.tsv").exists()
    table = (folder / "tables" / "efficiency.tsv").read_text().splitlines()
    assert "encode_seconds_per_scan\tencode_peak_memory_bytes\tfeature_bytes_per_scan" in table[0]
    assert "\t0.31\t700000000\t245760\t" in table[1]
    assert answer(contents).startswith("deepbet LinkNet encoder, CONV S, frozen, FedAvg: mean test AUC")
    assert "Time to encode a scan" in page.text
    assert "Time to encode a scan" not in (finished_study / "report.html").read_text()


@pytest.mark.ci
def test_sites_are_in_the_order_of_the_study_and_the_first_screen_says_what_to_do(
    finished_study: Path, tmp_path: Path
) -> None:
    study = StudyFolder(Path(shutil.copytree(finished_study, tmp_path / "study")))
    order = ["Lagos", "Graz", "Boston", "Amsterdam"]
    results = StudyResults.read(study)
    write_typed(study.results, replace(results, sites=tuple(order)))
    page = write_study_report(study.path).read_text(encoding="utf-8")
    tables = [part.partition("</thead>")[0] for part in page.split("<thead>")[1:]]
    heads = [[site for site in re.findall(r">(\w+) <span", table) if site in order] for table in tables]
    assert [found for found in heads if found] == [order] * 3
    for name in ("auc_by_head", "weights_by_rule"):
        lines = (study.figures / f"{name}.tsv").read_text().splitlines()
        column = lines[0].split("\t").index("site")
        assert list(dict.fromkeys(line.split("\t")[column] for line in lines[1:]))[:4] == order
    header = page.partition("<main>")[0]
    assert "81 people (33 AD, 48 CN) at 4 sites, used neither for training nor for selection" in header
    assert "In each trial: each site&#39;s model update in 10 rounds" in header
    assert "fedtune3d predict trials/conv_s-frozen-fedavg-seed0 scan.nii.gz" in header
