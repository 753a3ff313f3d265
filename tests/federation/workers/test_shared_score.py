"""A score that two workers may compute, of which one does."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from held_sites import help_for_ever
from waiting import wait_until

from fedtune3d.federation.workers.shared_score import SharedScore
from fedtune3d.training.scores import Scores

OWN = Scores(auc=0.1 + 0.2, balanced_accuracy=1 / 3, loss=0.5, examples=7, why=None)
HELPERS = replace(OWN, loss=0.25)


@pytest.fixture
def shared(tmp_path: Path) -> SharedScore:
    return SharedScore(tmp_path / "score.json")


def never() -> Scores:
    raise AssertionError("computed twice")


def test_without_help_the_sites_worker_computes_it_and_a_late_helper_does_not(shared: SharedScore) -> None:
    assert shared.obtain(lambda: OWN) == OWN
    shared.help(never)


def test_a_helpers_scores_are_taken_with_all_bits(shared: SharedScore) -> None:
    shared.help(lambda: OWN)
    found = shared.obtain(never)
    assert (found.auc, found) == (0.1 + 0.2, OWN)


def test_a_helper_that_has_begun_is_waited_for(shared: SharedScore) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slowly() -> Scores:
        begun.set()
        assert go_on.wait(30)
        return HELPERS

    helper = threading.Thread(target=shared.help, args=(slowly,))
    helper.start()
    assert begun.wait(30)
    threading.Timer(0.1, go_on.set).start()
    assert shared.obtain(never) == HELPERS
    helper.join()


def test_a_helper_does_not_wait_for_the_sites_worker(shared: SharedScore) -> None:
    def own() -> Scores:
        helper = threading.Thread(target=shared.help, args=(never,))
        helper.start()
        helper.join(30)
        assert not helper.is_alive()
        return OWN

    assert shared.obtain(own) == OWN


def test_an_error_of_a_helper_leaves_the_score_to_the_sites_worker(shared: SharedScore) -> None:
    with pytest.raises(AssertionError):
        shared.help(never)
    assert shared.obtain(lambda: OWN) == OWN


def test_an_error_of_the_sites_worker_is_its_own(shared: SharedScore) -> None:
    with pytest.raises(AssertionError, match="computed twice"):
        shared.obtain(never)


@pytest.mark.ci
def test_a_killed_helper_is_not_waited_for(shared: SharedScore, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    helper = multiprocessing.get_context("spawn").Process(target=help_for_ever, args=(shared.result, begun))
    helper.start()
    wait_until(begun.exists, "the helper begins")
    os.kill(helper.pid or 0, signal.SIGKILL)
    assert shared.obtain(lambda: OWN) == OWN
    helper.join()


@pytest.mark.parametrize("damage", [lambda text: text.replace("0.25", "0.75"), lambda text: "", lambda text: text[:9]])
def test_a_damaged_result_is_computed_again(shared: SharedScore, damage: Callable[[str], str]) -> None:
    shared.help(lambda: HELPERS)
    shared.result.write_text(damage(shared.result.read_text()))
    assert shared.obtain(lambda: OWN) == OWN


def test_nothing_is_left(shared: SharedScore) -> None:
    shared.obtain(lambda: OWN)
    shared.discard()
    shared.discard()
    assert not list(shared.result.parent.iterdir())
