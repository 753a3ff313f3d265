"""The page of a site: what was asked, what left, what is left of the budget and how far it is, from its own ledgers."""

import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("flwr.app")

from asked_site import Server, share_images, write_asked_site
from html_tables import table_of, tables_in

from fedtune3d._utils.folders import SitePaths, SiteWork
from fedtune3d.federation.messages import Task
from fedtune3d.federation.privacy.approval import Approvals
from fedtune3d.federation.tasks.assign_splits import AssignSplits
from fedtune3d.federation.tasks.count_scans import CountScans
from fedtune3d.report.site_contents import read_site_contents
from fedtune3d.report.site_page import SitePage, status_of
from fedtune3d.report.watch import SiteWatch
from fedtune3d.workflows.approve import approve, read_request
from fedtune3d.workflows.site_log import read_log

pytestmark = pytest.mark.ci


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, write_small_site: Callable[..., None]) -> Path:
    """A site that has answered three tasks: counts, splits, and the first of three rounds."""
    folder = write_asked_site(tmp_path_factory.mktemp("site"), write_small_site)
    share_images(folder / "bids")
    approve(folder, read_request(folder, folder / "experiment.yaml"))
    server = Server(folder)
    server.ask(Task(CountScans()))
    server.ask(Task(AssignSplits(groups={})))
    server.train(1)
    SiteWork(folder / "work").answered.touch()
    return folder


def test_the_ledgers_say_what_was_asked_and_how_far_it_is(folder: Path) -> None:
    contents = read_site_contents(folder, read_log(folder))
    (asked,) = contents.asked
    assert (asked.approval.name, asked.people, asked.answered, asked.round, asked.rounds) == ("small", 14, 3, 1, 3)
    assert asked.last.endswith(", train fedavg")
    budget = {allowed.purpose: (allowed.answered, allowed.times, allowed.left) for allowed in asked.budget}
    assert budget["train fedavg"] == (1, 6, 5)  # three rounds, each tried twice at most
    assert budget["count_scans"] == (1, 1, 0)
    assert budget["evaluate federated"] == (0, 1, 1)
    assert contents.messages == {"count_scans": 1, "assign_splits": 1, "train": 1}
    assert re.fullmatch(r"Joined: small, round 1 of 3; last task answered at \d\d:\d\d\.", status_of(contents))


def test_the_page_shows_the_ledgers(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "site.html"
    path.write_text(SitePage(folder, read_log).html())
    tables = tables_in(path)
    (row,) = table_of(tables, "Experiments approved at this site")
    assert (row[0], row[3], row[4], row[5]) == ("small", "14", "1 of 3", "3")
    assert ["train fedavg", "1", "6", "5"] in table_of(tables, "tasks that the approved experiment needs")
    left = table_of(tables, "The latest messages that left this site")
    assert [cells[1] for cells in left] == ["train fedavg, round 1", "assign splits", "count scans"]
    assert all("(" in cells[3] for cells in left)  # of how many people
    text = path.read_text()
    assert "sub-" not in text  # no person is named
    assert str(folder) not in text


def test_a_change_of_a_ledger_changes_the_version(folder: Path) -> None:
    page = SitePage(folder, read_log)
    before = page.status()["version"]
    assert page.status()["version"] == before
    path = SitePaths(folder).approvals
    path.touch()
    assert page.status()["version"] != before


def test_a_site_without_approvals_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text("{name: A, server: 'localhost:1', data: bids, policy: {max_epsilon: 8}}")
    contents = read_site_contents(tmp_path, [])
    assert status_of(contents) == "Joined: no experiment is approved here, so none is answered."
    page = SitePage(tmp_path, lambda folder: []).html()
    assert "fedtune3d site approve FOLDER experiment.yaml" in page
    assert "Nothing has left this site yet." in page
    assert "ε 0 of 8 about any person" in page
    assert Approvals(SitePaths(tmp_path).approvals).file_of("none") == ""


def test_it_is_followed_in_a_browser_until_the_site_leaves(folder: Path, browser: Any, faults_of_access: Any) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 844})

    def look_and_leave() -> None:
        with SiteWatch(folder, SitePage(folder, read_log)) as watch:
            page.goto(watch.url)
            assert page.locator("#status").inner_text().startswith("Joined: small, round 1 of 3")
            assert page.evaluate("document.documentElement.scrollWidth") == 390
            assert faults_of_access(page) == []
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        look_and_leave()
    page.wait_for_function("document.getElementById('status').textContent.startsWith('Stopped')")
    assert page.locator("#status").inner_text() == "Stopped: left the federation"
    page.close()


def test_the_time_of_the_last_answer_is_that_of_its_file(folder: Path) -> None:
    found = read_site_contents(folder, []).last_answer
    assert found is not None
    assert abs((datetime.now() - found).total_seconds()) < 3600
