"""The pages in a real browser: sort, filter, keyboard, no network, and no serious fault of accessibility."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fedtune3d._utils.folders import RunFolder


@pytest.fixture
def study_page(finished_study: Path) -> Path:
    return finished_study / "report.html"


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[[Path], Any]]:
    """Opens a page in a browser without a network; whatever it asks for beyond itself fails the test."""
    context = browser.new_context(offline=True)
    asked: list[str] = []

    def opened(path: Path) -> Any:
        page = context.new_page()
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


def test_a_table_is_sorted_by_click_and_by_keyboard(open_page: Callable[[Path], Any], study_page: Path) -> None:
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


def test_what_is_not_defined_stands_last_either_way(open_page: Callable[[Path], Any], study_page: Path) -> None:
    page = open_page(study_page)
    button = page.locator("section[aria-labelledby=rules] th", has_text="Validation AUC").get_by_role("button")
    for _ in range(2):
        button.click()
        assert column(page, "rules", 2)[-1] == "–"  # a baseline


def test_the_tables_are_kept_to_one_site(open_page: Callable[[Path], Any], study_page: Path) -> None:
    page = open_page(study_page)
    page.get_by_label("Site in the tables").select_option("Boston")
    heads = page.locator("section[aria-labelledby=heads]")
    assert heads.locator("th[data-site=Boston]").is_visible()
    assert not heads.locator("th[data-site=Graz]").is_visible()
    assert heads.locator("td[data-site=Graz]:visible").count() == 0
    assert page.get_by_role("status").inner_text() == "Only Boston is shown in the tables."
    page.get_by_label("Site in the tables").select_option("")
    assert heads.locator("th[data-site=Graz]").is_visible()


def test_a_cells_report_opens(open_page: Callable[[Path], Any], study_page: Path) -> None:
    page = open_page(study_page)
    page.get_by_role("link", name="linear-frozen-fedavg-seed0").click()
    assert "federated fine-tuning report" in page.inner_text("h1")


def test_a_runs_page_sorts_and_filters(open_page: Callable[[Path], Any], finished_page: Path) -> None:
    page = open_page(finished_page)
    page.locator("section[aria-labelledby=auc] th", has_text="Scans").first.get_by_role("button").click()
    rows = page.locator("section[aria-labelledby=auc] table.sortable tbody tr")
    scans = rows.locator(":scope[data-site] > :nth-child(4)").all_inner_texts()
    counts = [sum(map(int, text.split(" + "))) for text in scans]  # by all scans, not by the positive ones
    assert counts == sorted(counts) == [7, 9, 25, 40]
    assert rows.last.locator("th").inner_text() == "Pooled"  # a summary stays below
    page.get_by_label("Site in the tables").select_option("Graz")
    assert rows.locator(":scope[data-site]:visible").count() == 1


def test_no_serious_fault_of_accessibility(
    open_page: Callable[[Path], Any], study_page: Path, finished_page: Path, small_run: RunFolder, serious_faults: Any
) -> None:
    for path in (study_page, finished_page, small_run.report):
        assert serious_faults(open_page(path)) == []


def test_it_can_be_read_without_the_script(browser: Any, study_page: Path) -> None:
    context = browser.new_context(java_script_enabled=False, offline=True)
    page = context.new_page()
    page.goto(study_page.as_uri())
    assert not page.get_by_label("Site in the tables").is_visible()
    assert page.locator("section[aria-labelledby=heads] tbody tr").count() == 3
    context.close()
