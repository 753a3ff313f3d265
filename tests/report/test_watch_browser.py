"""A run that goes on, in a real browser: the page changes by itself, keeps what was chosen, and ends as the report."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.progress import Advance
from fedtune3d.config.experiment import Experiment
from fedtune3d.report.watch import Watch
from fedtune3d.workflows.run import run_experiment

pytestmark = pytest.mark.ci

sync_api = pytest.importorskip("playwright.sync_api")


class StepByStep:
    """Progress that holds the run where so many federated rounds are committed, until it may go on."""

    def __init__(self) -> None:
        self.allowed, self.changed = 0, threading.Condition()

    def allow(self, rounds: int) -> None:
        with self.changed:
            self.allowed = rounds
            self.changed.notify_all()

    @contextmanager
    def bar(self, text: str) -> Iterator[Advance]:
        def advance(done: int, total: int) -> None:
            with self.changed:
                self.changed.wait_for(lambda: not text.startswith("rounds") or done < self.allowed, timeout=300)

        yield advance

    def note(self, text: str) -> None:
        """Nobody looks at it."""


@contextmanager
def watched_run(experiment: Experiment) -> Iterator[tuple[Watch, StepByStep]]:
    """A run in another thread, as `run --watch` does it; over when the run is."""
    steps, begun, held = StepByStep(), threading.Event(), []

    def run() -> None:
        with Watch(experiment.output) as watch:
            held.append(watch)
            begun.set()
            run_experiment(experiment, progress=watch.following(steps))

    thread = threading.Thread(target=run)
    thread.start()
    begun.wait()
    try:
        yield held[0], steps
    finally:
        steps.allow(1000)
        thread.join()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page that may ask the watched run only, and says no error."""
    context, asked, errors = browser.new_context(), [], []
    found = context.new_page()
    found.on("request", lambda request: asked.append(request.url))
    found.on("pageerror", lambda error: errors.append(str(error)))
    found.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    yield found
    context.close()
    assert errors == []
    assert [url for url in asked if not url.startswith(("http://127.0.0.1:", "data:"))] == []


def test_the_page_follows_the_run_and_ends_as_its_report(
    page: Any, small_experiment: Any, faults_of_access: Any, tmp_path: Path
) -> None:
    training = {"rounds": 3, "batch_size": 4}
    experiment = Experiment.from_yaml(small_experiment.write(tmp_path / "run", training=training))
    expect = sync_api.expect
    expect.set_options(timeout=120_000)
    with watched_run(experiment) as (watch, steps):
        page.goto(watch.url)
        status, rows = page.locator("#status"), page.locator("section[aria-labelledby=training] tbody tr")
        steps.allow(2)
        expect(status).to_contain_text("Running: round 3 of 3")
        expect(rows).to_have_count(2)
        expect(page.locator("#doing")).to_contain_text("rounds (fedavg): 2 of 3")
        assert status.get_attribute("role") == "status"  # polite
        assert page.locator("section[aria-labelledby=training] figure img").count() == 1
        assert (
            "weight in the average (FedAvg) was the same in every round"
            in page.locator("section[aria-labelledby=training]").inner_text()
        )
        assert page.locator("section[aria-labelledby=auc]").count() == 0
        order = [part.evaluate("part => part.id || part.className") for part in page.locator("header > *").all()]
        assert order == ["", "setting", "status", "doing", "caveat", "contents"]
        assert faults_of_access(page) == []
        page.evaluate("window.sameDocument = true")
        heading = page.locator("section[aria-labelledby=training] th", has_text="Round")
        heading.get_by_role("button").click(click_count=2)
        page.locator("section[aria-labelledby=training] th", has_text="Round").get_by_role("button").focus()
        steps.allow(3)
        expect(rows).to_have_count(3)
        assert page.evaluate("window.sameDocument")  # it was not loaded anew
        assert heading.get_attribute("aria-sort") == "descending"
        assert [row.locator("th").inner_text() for row in rows.all()] == ["3", "2", "1"]
        assert page.evaluate("document.activeElement.textContent") == "Round"
        steps.allow(4)
        expect(page.locator(".headline")).to_contain_text("mean over 2 sites")
    assert page.locator("#status").count() == 0
    report = page.context.new_page()
    report.goto((experiment.output / "report.html").as_uri())
    assert page.content() == report.content()


def test_a_run_that_failed_is_said_to_have(page: Any, tmp_path: Path) -> None:
    def fail() -> None:
        with Watch(tmp_path / "none") as watch:
            page.goto(watch.url)
            sync_api.expect(page.locator("#status")).to_have_text("Running: starting up.")
            raise InputError("site B: no answer")

    with pytest.raises(InputError, match="no answer"):
        fail()
    sync_api.expect(page.locator("#status")).to_have_text("Stopped: site B: no answer")
