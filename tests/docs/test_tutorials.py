"""Each tutorial, done from top to bottom as it says, with what it shows compared with what is printed."""

import shutil
from pathlib import Path

import pytest
from doc_pages import DOCS, ROOT, Reader, blocks

TUTORIALS = DOCS / "tutorials"


@pytest.fixture(scope="module")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of somebody who has done the first tutorial."""
    reader = Reader(tmp_path_factory.mktemp("first-run"))
    assert reader.follow(TUTORIALS / "first-run.md") > 0
    return reader.folder


@pytest.mark.slow
def test_the_first_run(first_run: Path) -> None:
    assert (first_run / "demo" / "run" / "report.html").stat().st_size > 10_000


@pytest.mark.slow
def test_read_the_report(first_run: Path) -> None:
    assert Reader(first_run).follow(TUTORIALS / "read-the-report.md") > 0


@pytest.mark.slow
def test_what_the_report_is_said_to_show_is_in_it(first_run: Path) -> None:
    report = (first_run / "demo" / "run" / "report.html").read_text()
    page = (TUTORIALS / "read-the-report.md").read_text()
    headings = [line.removeprefix("## ") for line in page.splitlines() if line.startswith("## “")]
    assert len(headings) > 4
    assert [heading for heading in headings if f">{heading.strip('“”')}<" not in report] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["own-data", "three-hospitals"])
def test_a_tutorial(name: str, tmp_path: Path) -> None:
    assert Reader(tmp_path).follow(TUTORIALS / f"{name}.md") > 0


@pytest.mark.slow
def test_your_own_head_rule_and_encoder_in_a_copy_of_the_source(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    assert Reader(tmp_path, package=tmp_path / "src").follow(TUTORIALS / "extend.md") > 0


def test_every_tutorial_is_done_by_a_test() -> None:
    text = Path(__file__).read_text()
    untested = [
        page.stem for page in TUTORIALS.glob("*.md") if f'"{page.stem}"' not in text and f"{page.name}" not in text
    ]
    assert untested == []


@pytest.mark.parametrize("page", sorted(TUTORIALS.glob("*.md")), ids=lambda page: page.stem)
def test_a_tutorial_says_what_is_printed_and_leaves_little_out(page: Path) -> None:
    found = blocks(page)
    assert sum(block.language == "text" for block in found) > 0
    assert sum(block.remark.startswith("not run: ") for block in found) <= 2
