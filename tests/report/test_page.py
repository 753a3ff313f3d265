import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from html_tables import tables_in
from ledger_editing import change_ledger
from run_editing import change_config, change_metrics

from fedtune3d._utils.folders import RunFolder
from fedtune3d._utils.run_config import write_run_config
from fedtune3d._utils.typed_json import read_typed, write_typed
from fedtune3d.cohorts.flow import Counts, Flow, LeftOut
from fedtune3d.evaluation.metrics import read_metrics
from fedtune3d.federation.ledger import LedgerLine, read_ledger
from fedtune3d.report import page, write_report
from fedtune3d.report.number_formatting import size
from fedtune3d.report.run_contents import read_run

VOID = {"meta", "link", "img", "br", "hr"}


class Outline(HTMLParser):
    """Checks that elements nest, and collects the tags with their attributes and the text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(path: Path) -> Outline:
    outline = Outline()
    outline.feed(path.read_text(encoding="utf-8"))
    assert outline.open == []
    return outline


def test_the_page_says_the_answer_first_and_every_number(any_page: Path) -> None:
    text = " ".join(read(any_page).text.split())
    metrics = read_metrics(RunFolder(any_page.parent).metrics)
    ledger = read_ledger(any_page.parent / "rounds.jsonl")
    traffic = sum(entry.bytes_both_ways for line in ledger for entry in line.sites.values())
    mean = metrics.federated.mean_auc
    shown = f"Federated AUC {mean.value:.2f} 95% CI {mean.low:.2f}–{mean.high:.2f}"
    assert text.index("AD vs CN") < text.index("weights are random") < text.index(shown) < text.index("What ran")
    assert f"({size(traffic)} both ways, all sites)" in text
    assert "total traffic also includes the last model, sent to each site for validation" in text
    for method in metrics.methods.values():
        for auc in (method.mean_auc, *(site.auc for site in method.sites.values())):
            shown = (
                f"not defined: {auc.undefined}" if auc.limits is None else "{:.2f} [{:.2f}, {:.2f}]".format(*auc.limits)
            )
            assert shown in text
        for site in method.sites.values():
            if site.balanced_accuracy.value is not None:
                assert f"{site.balanced_accuracy.value:.2f} [" in text
    assert f"{metrics.cost.trainable_parameters:,} of {metrics.cost.parameters:,}" in text


def test_what_a_site_missed_and_what_ran_are_said(finished_page: Path) -> None:
    text = read(finished_page).text
    assert "scans are simulated" in text
    assert "took longer than its deadline" in text
    assert "1,703,042 of 90,000,000" in text
    assert "2.13.0" in text


def test_it_opens_offline_in_one_small_file(any_page: Path) -> None:
    outline = read(any_page)
    sources = [attributes["src"] or "" for _, attributes in outline.tags if "src" in attributes]
    sources += [link for _, attributes in outline.tags if (link := attributes.get("href") or "#")[0] != "#"]
    figures = list(RunFolder(any_page.parent).figures.glob("*.svg"))
    assert len(figures) >= 5
    assert len(sources) == len(figures) + pictures_of(any_page.parent) + 1  # the empty icon
    assert all(source.startswith("data:") for source in sources)
    assert "url(" not in any_page.read_text(encoding="utf-8")
    assert [attributes for tag, attributes in outline.tags if tag == "script"] == [{}]  # in the page, from nowhere
    assert any_page.stat().st_size < 5_000_000


def pictures_of(run: Path) -> int:
    """Example scans of a run whose pictures may leave, at most three per site."""
    examples = read_run(run).examples
    assert examples
    return sum(min(3, len(paths)) for paths in examples.values())


def test_it_can_be_read_without_seeing(any_page: Path) -> None:
    outline = read(any_page)
    assert ("html", {"lang": "en"}) in outline.tags
    assert all(attributes.get("alt") for tag, attributes in outline.tags if tag == "img")
    assert all(attributes.get("scope") for tag, attributes in outline.tags if tag == "th")
    ids = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {attributes["aria-labelledby"] for tag, attributes in outline.tags if tag == "section"} <= set(ids)
    assert [tag for tag, _ in outline.tags if re.fullmatch("h[1-6]", tag)][:2] == ["h1", "h2"]


@pytest.mark.usefixtures("_unrendered")
def test_policy_keeps_pictures_and_names_at_the_site(make_run: Callable[..., Path]) -> None:
    outline = read(write_report(make_run(pictures=("Graz",))))
    pictures = [attributes["alt"] or "" for tag, attributes in outline.tags if tag == "img"]
    assert sum("example scan" in alt for alt in pictures) == 3
    assert all("Graz" in alt for alt in pictures if "example scan" in alt)
    assert outline.text.count("the site's policy does not let pictures leave") == 3
    assert "sub-Amsterdam09" in outline.text
    assert "sub-Boston09" not in outline.text  # predictions may not leave Boston


@pytest.mark.usefixtures("_unrendered")
def test_pictures_past_the_budget_are_left_out(make_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_run()
    one = (folder / "sites/Graz/examples/0.png").stat().st_size
    monkeypatch.setattr(page, "PICTURE_BUDGET_BYTES", 4 * one)
    outline = read(write_report(folder))
    assert sum("example scan" in (attributes.get("alt") or "") for _, attributes in outline.tags) == 4
    assert "No more pictures here: more pictures are in sites/Boston/examples" in outline.text


@pytest.mark.ci
def test_a_run_in_progress_has_a_page(make_run: Callable[..., Path]) -> None:
    folder = make_run(finished=False)
    outline = read(write_report(folder))
    assert "The run is not complete" in outline.text
    assert "4 of 10 done" in outline.text
    assert "scans are simulated" in outline.text
    assert not (folder / "figures" / "auc_per_site.svg").exists()
    assert (folder / "figures" / "learning_curves.tsv").exists()


def test_a_run_that_has_only_begun_has_a_page(tmp_path: Path) -> None:
    sites = [{"name": "A", "policy": {"predictions_leave": True, "pictures_leave": True}}]
    write_run_config(RunFolder(tmp_path).config, {"name": "begun", "sites": sites})
    text = read(write_report(tmp_path)).text
    assert "No round is complete yet." in text
    assert "positive vs negative" in text  # the configuration names no classes
    assert "not recorded yet" in text


def without_weights(line: LedgerLine) -> LedgerLine:
    return replace(line, sites={site: replace(entry, weight=None) for site, entry in line.sites.items()})


@pytest.mark.usefixtures("_unrendered")
def test_a_run_without_baselines_and_without_weights(make_run: Callable[..., Path]) -> None:
    folder = make_run()
    change_metrics(folder, lambda metrics: replace(metrics, methods={"federated": metrics.federated}, against={}))
    change_ledger(folder, lambda lines: [without_weights(line) for line in lines])
    text = read(write_report(folder)).text
    assert "Centralized" not in text
    assert "FedAvg gives no weights." in text
    assert "was not compared with baselines" in text


@pytest.mark.ci
@pytest.mark.usefixtures("_unrendered")
def test_names_are_escaped(make_run: Callable[..., Path]) -> None:
    folder = make_run()
    path = RunFolder(folder).flow
    flows = read_typed(dict[str, Flow], path, "")
    left_out = (LeftOut("diagnosis", "<script>alert(1)</script>", Counts(12, 12)),)
    write_typed(path, flows | {"Graz": replace(flows["Graz"], left_out=left_out)})
    page = read(write_report(folder))
    assert [tag for tag, _ in page.tags].count("script") == 1  # the page's own
    assert "diagnosis: <script>alert(1)</script>" in page.text


def test_the_page_of_a_run_written_again_is_the_same(small_run: RunFolder, tmp_path: Path) -> None:
    again = write_report(Path(shutil.copytree(small_run.path, tmp_path / "elsewhere")))
    assert again.read_bytes() == small_run.report.read_bytes()


def test_what_differs_between_the_sites_is_shown(finished_page: Path) -> None:
    page = finished_page.read_text()
    section = page[page.index('id="participants"') : page.index('id="training"')]
    assert "12 (7)" in section
    assert "71.2 ± 5.1" in section
    assert "<td>held back</td>" in section
    assert "the site alone predicts the label" in section
    distance = re.search(r"Boston and Graz</th><td>([\d.]+)</td>", section)
    assert distance
    assert float(distance[1]) == pytest.approx(0.3, abs=0.08)


@pytest.mark.usefixtures("_unrendered")
def test_the_pooled_row_counts_people_at_several_sites_once(make_run: Callable[..., Path]) -> None:
    folder = make_run()
    change_metrics(folder, lambda metrics: replace(metrics, test_groups=7))
    row = re.search(r'<th scope="row">Pooled</th>\s*<td>(\d+)</td>', write_report(folder).read_text(encoding="utf-8"))
    assert row is not None
    assert row[1] == "7"


def test_every_table_marks_few_people_once(finished_page: Path) -> None:
    """Graz has 4 + 5 test people and Lagos one class only."""
    text = " ".join(read(finished_page).text.split())
    assert text.count("Fewer than 10 people in a class: Graz, Mean.") == 1  # the AUC table
    tables = tables_in(finished_page)
    assert not any(cell.endswith(" few") for rows in tables.values() for row in rows for cell in row)


def test_classes_have_their_names(finished_page: Path) -> None:
    outline = read(finished_page)
    assert not any("positive" in caption.replace("false positives", "") for caption in tables_in(finished_page))
    assert outline.text.count("Positive means AD, negative CN") == 2  # where two-class metrics and tables are explained


def test_what_is_suppressed_is_explained_once(finished_page: Path) -> None:
    text = " ".join(read(finished_page).text.split())
    assert text.count("does not let it leave") == 1


@pytest.mark.usefixtures("_unrendered")
def test_a_count_that_is_held_back_is_not_given_by_a_list(make_run: Callable[..., Path]) -> None:
    folder = make_run()

    def ask_for_three(config: dict[str, Any]) -> None:
        for section in config["sites"]:
            section["policy"]["min_people"] = 3

    change_config(folder, ask_for_three)
    assert "sub-Amsterdam09" not in read(write_report(folder)).text  # one bad scan is fewer than three people


def test_constant_weights_are_a_sentence(small_run: RunFolder, finished_page: Path) -> None:
    entries = read_ledger(small_run.rounds.ledger)[0].sites
    weights = ", ".join(f"{site} {entry.weight:.2f}" for site, entry in entries.items())
    assert (
        f"Each site's weight in the average (FedAvg) was the same in every round: {weights}."
        in read(small_run.report).text
    )
    assert not (small_run.figures / "weights_per_round.svg").exists()
    assert (RunFolder(finished_page.parent).figures / "weights_per_round.svg").exists()  # Graz missed a round
