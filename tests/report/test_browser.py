"""The pages in a real browser: sort, enlarge, copy, unfold, keyboard, no network, no serious fault of accessibility."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from outcome_metrics import CLASSES, class_metrics, number_metrics
from run_editing import change_config, change_metrics
from shared_folders import made_once

from fedtune3d._utils.folders import RunFolder
from fedtune3d.evaluation.metrics import RunMetrics
from fedtune3d.evaluation.outcome import ClassOutcome, NumberOutcome
from fedtune3d.report import write_report

pytestmark = pytest.mark.ci

PAPER = 695
"""Width of A4 within its margins, in CSS pixels."""


def of_classes(metrics: RunMetrics) -> RunMetrics:
    """The run as one of three classes, with a baseline whose models differ between sites."""
    found = {"federated": class_metrics(), "local": class_metrics(shared_model=False)}
    return replace(metrics, methods={}, class_methods=found, outcome=ClassOutcome(CLASSES), against={})


def of_a_number(metrics: RunMetrics) -> RunMetrics:
    """The run as one of age."""
    outcome = NumberOutcome("age", 40.0, 100.0, "years", "error")
    found = {"federated": number_metrics(), "local": number_metrics(shared_model=False)}
    return replace(metrics, methods={}, number_methods=found, outcome=outcome, against={})


@pytest.fixture(scope="session")
def outcome_pages(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The pages of a run of three classes and of one of a number; no test may change them."""

    def predict_classes(config: dict[str, Any]) -> None:
        config["labels"] = [{name: f"diagnosis == {name}"} for name in CLASSES]

    def predict_age(config: dict[str, Any]) -> None:
        config["labels"] = None
        config["target"] = {"column": "age", "range": [40, 100], "unit": "years", "missing": "error"}

    def write(folder: Path) -> None:
        for name, change, metrics in (
            ("classes", predict_classes, of_classes),
            ("number", predict_age, of_a_number),
        ):
            shutil.copytree(finished_run, folder / name)
            change_config(folder / name, change)
            change_metrics(folder / name, metrics)
            for of_two in (RunFolder(folder / name).flow, RunFolder(folder / name).audit):
                of_two.unlink()  # counts of two classes
            write_report(folder / name)

    place = made_once(tmp_path_factory, "outcome-pages", write)
    return [place / name / "report.html" for name in ("classes", "number")]


@pytest.fixture
def study_page(finished_study: Path) -> Path:
    return finished_study / "report.html"


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens a page in a browser without a network; whatever it asks for beyond itself fails the test."""
    context = browser.new_context(offline=True)
    asked: list[str] = []

    def opened(path: Path, width: int = 1280, height: int = 900) -> Any:
        page = context.new_page()
        page.set_viewport_size({"width": width, "height": height})
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: asked.append(f"error: {error}"))
        page.goto(path.as_uri())
        return page

    yield opened
    context.close()
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []


def column(page: Any, table: str, number: int) -> list[str]:
    cells = page.locator(f"section[aria-labelledby={table}] tbody tr > :nth-child({number})")
    return [cell.get_attribute("data-value") or cell.inner_text() for cell in cells.all()]


def test_a_table_is_sorted_by_click_and_by_keyboard(open_page: Callable[..., Any], study_page: Path) -> None:
    page = open_page(study_page)
    heading = page.locator("section[aria-labelledby=heads] th", has_text="Mean over sites")
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "ascending"
    values = [float(text) for text in column(page, "heads", 7)]
    assert values == sorted(values)
    assert len(set(values)) > 1
    page.keyboard.press("Enter")  # the button has the focus
    assert heading.get_attribute("aria-sort") == "descending"
    assert [float(text) for text in column(page, "heads", 7)] == sorted(values, reverse=True)


def test_what_is_not_defined_stands_last_either_way(open_page: Callable[..., Any], study_page: Path) -> None:
    page = open_page(study_page)
    button = page.locator("section[aria-labelledby=rules] th", has_text="Validation AUC").get_by_role("button")
    for _ in range(2):
        button.click()
        assert column(page, "rules", 2)[-1] == "–"  # a baseline


def test_a_cells_report_opens(open_page: Callable[..., Any], study_page: Path) -> None:
    page = open_page(study_page)
    page.get_by_text("5 trials").click()
    page.get_by_role("link", name="linear-frozen-fedavg-seed0").click()
    assert page.inner_text("h1") == "AD vs CN from T1-weighted MRI"


def test_a_runs_tables_sort_by_numbers_with_signs_and_units(open_page: Callable[..., Any], finished_page: Path) -> None:
    page = open_page(finished_page)
    page.get_by_role("button", name="Unfold all").click()
    page.locator("section[aria-labelledby=auc] th", has_text="People, ").first.get_by_role("button").click()
    rows = page.locator("section[aria-labelledby=auc] table.sortable").first.locator("tbody tr")
    people = rows.locator(":scope:not(.summary) > :nth-child(3)").all_inner_texts()
    counts = [sum(map(int, text.split(" + "))) for text in people]  # by all people, not by the positive ones
    assert counts == sorted(counts) == [7, 9, 25, 40]
    assert rows.last.locator("th").inner_text() == "Pooled"  # a summary stays below
    against = page.locator("#against table")
    against.locator("th", has_text="Difference").get_by_role("button").click()
    cells = against.locator("tbody tr:not(.summary) > :nth-child(6)").all_inner_texts()
    found = [float(text.split()[0].replace("−", "-")) for text in cells if not text.startswith("not")]
    assert found == sorted(found)
    assert min(found) < 0 < max(found)
    assert cells[-1].startswith("not defined")
    cost = page.locator("section[aria-labelledby=cost] table")
    cost.locator("th", has_text="Total traffic").get_by_role("button").click()
    assert cost.locator("tbody th").first.inner_text() == "Graz"  # 136 MB, the others 143 MB


def test_every_table_can_be_sorted_except_the_flow(open_page: Callable[..., Any], finished_page: Path) -> None:
    page = open_page(finished_page)
    tables = page.locator("main table")
    without = [table for table in tables.all() if table.locator("thead button").count() == 0]
    captions = [table.locator("caption").text_content() for table in without]
    assert captions == ["Flow of participants: participants (scans)"]


def test_a_figure_is_enlarged_by_a_tap(open_page: Callable[..., Any], finished_page: Path) -> None:
    page = open_page(finished_page, 390, 844)
    figure = page.locator("figure:not(.forest) .enlarge:visible").first  # the forest plot is wide already, and scrolls
    small = figure.locator("img").bounding_box()["width"]
    figure.click()
    dialog = page.get_by_role("dialog")
    assert dialog.locator("img").bounding_box()["width"] > 2 * small
    page.keyboard.press("Escape")
    assert dialog.count() == 0
    assert page.evaluate("document.activeElement.className") == "enlarge"  # the focus is where it was


def test_the_configuration_is_copied(open_page: Callable[..., Any], finished_page: Path) -> None:
    page = open_page(finished_page)
    page.locator("summary", has_text="Configuration").click()
    button = page.locator("button.copy")
    button.click()
    page.wait_for_function("document.querySelector('button.copy').textContent !== 'Copy'")
    assert button.inner_text() == "Copied"


def test_all_is_unfolded_and_folded(open_page: Callable[..., Any], finished_page: Path) -> None:
    page = open_page(finished_page)
    page.get_by_role("button", name="Unfold all").click()
    assert page.locator("main details:not([open])").count() == 0
    page.get_by_role("button", name="Fold all").click()
    assert page.locator("main details[open]").count() == 0


def test_no_fault_of_accessibility(
    open_page: Callable[..., Any], study_page: Path, finished_page: Path, small_run: RunFolder, faults_of_access: Any
) -> None:
    for path in (study_page, finished_page, small_run.report):
        page = open_page(path)
        page.get_by_role("button", name="Unfold all").click()
        assert faults_of_access(page) == []


def test_it_can_be_read_without_the_script(browser: Any, study_page: Path) -> None:
    context = browser.new_context(java_script_enabled=False, offline=True)
    page = context.new_page()
    page.goto(study_page.as_uri())
    assert page.locator("section[aria-labelledby=heads] tbody tr").count() == 3
    assert page.locator("section[aria-labelledby=heads] button").count() == 0
    context.close()


def heights(page: Any) -> dict[str, float]:
    """Height of the page, where the first screen ends, and how far anything sticks out to the right, in pixels."""
    return page.evaluate(
        """() => ({
            page: document.documentElement.scrollHeight,
            first: document.querySelector("nav.contents").getBoundingClientRect().bottom,
            sideways: document.documentElement.scrollWidth - document.documentElement.clientWidth,
            visibleTables: [...document.querySelectorAll("table")].filter(table => table.checkVisibility()).length,
            tables: document.querySelectorAll("table").length,
        })"""
    )


def test_a_run_is_four_screens_with_the_answer_on_the_first(
    open_page: Callable[..., Any], small_run: RunFolder, finished_page: Path
) -> None:
    """The drawn run has saliency maps, and weights that change, in two more figures."""
    for path, screens in ((small_run.report, 4.2), (finished_page, 5.9)):
        found = heights(open_page(path))
        assert found["first"] <= 900
        assert found["page"] <= screens * 900
        assert found["visibleTables"] <= 3
        assert found["sideways"] == 0


@pytest.mark.parametrize("unfolded", [False, True])
def test_nothing_is_cut_off_on_a_phone(
    open_page: Callable[..., Any], small_run: RunFolder, finished_page: Path, study_page: Path, unfolded: bool
) -> None:
    """Wide tables and the forest plot scroll in themselves; nothing else is wider than the screen."""
    for path in (small_run.report, finished_page, study_page):
        page = open_page(path, 390, 844)
        if unfolded:
            page.get_by_role("button", name="Unfold all").click()
        assert heights(page)["sideways"] == 0
        cut = page.evaluate(
            """() => [...document.querySelectorAll("header *, main *, footer *")]
                .filter(part => part.closest(".wide, pre, svg, .forest") === null)
                .filter(part => part.getBoundingClientRect().right > document.documentElement.clientWidth + 0.5)
                .map(part => part.outerHTML.slice(0, 120))"""
        )
        assert cut == []
        broken = page.evaluate(
            """() => [...document.querySelectorAll("header .interval")]
                .filter(part => part.getClientRects().length > 1).map(part => part.textContent)"""
        )
        assert broken == []
        assert page.locator("header .interval").count() > 0


def test_the_forest_plot_can_be_read_on_a_phone(open_page: Callable[..., Any], small_run: RunFolder) -> None:
    """It scrolls sideways in its box, and says so."""
    forest = open_page(small_run.report, 390, 844).locator("figure.forest")
    assert forest.locator("img").bounding_box()["width"] > 800
    assert forest.bounding_box()["width"] < 390
    assert forest.evaluate("part => part.scrollWidth > part.clientWidth")
    assert "sideways" in forest.evaluate("part => getComputedStyle(part, '::before').content")


def test_a_first_screen_of_classes_and_of_a_number_ends_with_its_figure(
    open_page: Callable[..., Any], outcome_pages: list[Path]
) -> None:
    for path in outcome_pages:
        page = open_page(path)
        assert heights(page)["first"] <= 900
        width = page.locator("figure.forest img").bounding_box()["width"]
        assert width > 0.85 * page.locator("main").bounding_box()["width"]


def test_no_table_of_results_is_wider_than_the_page(
    open_page: Callable[..., Any], outcome_pages: list[Path], finished_page: Path
) -> None:
    for path in (*outcome_pages, finished_page):
        page = open_page(path)
        page.get_by_role("button", name="Unfold all").click()
        assert cut_tables(page, "section[aria-labelledby=auc] .wide") == []


def cut_tables(page: Any, which: str) -> list[str]:
    """The tables that scroll sideways."""
    found: list[str] = page.evaluate(
        """which => [...document.querySelectorAll(which)].filter(part => part.scrollWidth > part.clientWidth + 1)
            .map(part => part.getAttribute("aria-label"))""",
        which,
    )
    return found


def test_a_table_that_scrolls_sideways_says_so(open_page: Callable[..., Any], outcome_pages: list[Path]) -> None:
    for path in outcome_pages:
        page = open_page(path, 390, 844)
        page.get_by_role("button", name="Unfold all").click()
        page.wait_for_selector(".wide.more")
        page.wait_for_timeout(100)
        cut = cut_tables(page, ".wide")
        assert cut == cut_tables(page, ".wide.more")
        assert len(cut) > 3
        sign = "part => getComputedStyle(part, '::before').content"
        assert "scroll this table sideways" in page.locator(".wide.more").first.evaluate(sign)


def test_nothing_of_a_table_is_missing_on_paper(
    browser: Any, outcome_pages: list[Path], finished_page: Path, small_run: RunFolder
) -> None:
    for path in (*outcome_pages, finished_page, small_run.report):
        page = browser.new_page(viewport={"width": PAPER, "height": 1000})
        page.emulate_media(media="print")
        page.goto(path.as_uri())
        page.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true; })")
        beyond = page.evaluate(
            """() => [...document.querySelectorAll("table")]
                .filter(table => table.getBoundingClientRect().right > document.documentElement.clientWidth + 0.5)
                .map(table => table.caption.textContent)"""
        )
        assert beyond == []
        assert page.evaluate("document.querySelectorAll('table').length") > 5
        page.close()


def test_it_is_printed_in_few_pages(browser: Any, small_run: RunFolder) -> None:
    page = browser.new_page()
    page.goto(small_run.report.as_uri())
    pages = page.pdf(format="A4").count(b"/Type /Page\n") or page.pdf(format="A4").count(b"/Type /Page ")
    page.close()
    assert 1 <= pages <= 4
