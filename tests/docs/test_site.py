"""The built site: every link and anchor holds, it opens without a network, and nothing is cut off on a phone."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from doc_pages import DOCS, ROOT

pytest.importorskip("material")

LIMIT_BYTES = 2_000_000
SHOWN = ("index", "deploy", "tutorials/first-run", "how-to/slurm", "reference/configuration", "reference/python")
FETCHED = re.compile(
    r"<(?:script|img|iframe|source)[^>]+src=\"?https?:|<link[^>]+(?:stylesheet|preconnect|icon)[^>]+https?:|@import"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `make docs` builds it, with any proxy a dead one, so that a request would fail."""
    folder = tmp_path_factory.mktemp("site")
    offline = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, **offline, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


@pytest.mark.slow
def test_every_page_of_the_documentation_is_in_the_site(site: Path) -> None:
    pages = [page.relative_to(DOCS).with_suffix(".html") for page in DOCS.rglob("*.md")]
    assert len(pages) > 30
    assert [page for page in pages if not (site / page).exists()] == []


@pytest.mark.slow
def test_links_out_of_the_documentation_lead_to_pages_of_the_site(site: Path) -> None:
    study = (site / "study.html").read_text()
    assert 'href="repository/examples/study.yaml.html"' in study
    assert "conv_s" in (site / "repository" / "examples" / "study.yaml.html").read_text()
    assert (site / "sample" / "report.html").exists()


@pytest.mark.slow
def test_no_page_asks_another_host_for_anything(site: Path) -> None:
    pages = [page for page in site.rglob("*.html") if page.parent.name != "sample"]
    assert [page.name for page in pages if FETCHED.search(page.read_text())] == []


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
def test_pages_open_offline_and_are_not_wider_than_the_screen(site: Path, browser: Any, width: int) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900})
    asked: list[str] = []
    context.route(
        lambda url: not url.startswith("file:"), lambda route: (asked.append(route.request.url), route.abort())
    )
    page = context.new_page()
    too_wide = []
    for name in SHOWN:
        page.goto((site / f"{name}.html").as_uri())
        page.wait_for_load_state("load")
        if page.evaluate("document.documentElement.scrollWidth") > width:
            too_wide.append(name)
    context.close()
    assert (asked, too_wide) == ([], [])


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_fault_of_accessibility(site: Path, browser: Any, faults_of_access: Any, scheme: str) -> None:
    page = browser.new_page(color_scheme=scheme, viewport={"width": 1280, "height": 900})
    found = {}
    for name in SHOWN:
        page.goto((site / f"{name}.html").as_uri())
        page.wait_for_selector(".md-tabs__link")
        found[name] = faults_of_access(page)
    page.close()
    assert [name for name, faults in found.items() if faults] == [], found


def test_the_sample_report_is_small_and_says_that_it_is_simulated() -> None:
    report = DOCS / "sample" / "report.html"
    assert report.stat().st_size < LIMIT_BYTES
    assert "simulated" in report.read_text()
