"""A hostile site: whatever it answers, at whatever point of a run, costs nobody but itself."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.ci

flwr = pytest.importorskip("flwr.app")

from mutated_answers import mutate  # noqa: E402
from wired import Spoil, Wired, run_wired  # noqa: E402

from fedtune3d._utils.errors import InputError  # noqa: E402
from fedtune3d._utils.files import sha256_file  # noqa: E402
from fedtune3d._utils.folders import RunFolder  # noqa: E402
from fedtune3d.config.experiment import Experiment  # noqa: E402
from fedtune3d.federation.checked_federation import CheckedFederation  # noqa: E402
from fedtune3d.federation.flower.wire import Occasion, pack_answer, unpack_answer  # noqa: E402
from fedtune3d.federation.messages import Answer, Answering, Fault, RefusedAnswer, Task  # noqa: E402
from fedtune3d.workflows.run_folder import read_metrics  # noqa: E402

HOSTILE = "C"
PLANNING = ("count_scans", "assign_splits")
SAME = ("checkpoints/last.safetensors", "checkpoints/best.safetensors", "metrics.json", "summaries/A.json")
STATISTICS = (
    "describe_people",
    "profile_intensities",
    "fingerprint_scans",
    "evaluate",
    "describe_features",
    "map_saliency",
)
KINDS = {
    *("count_scans", "assign_splits", "fingerprint_scans", "describe_people", "profile_intensities"),
    *("train", "score", "evaluate", "describe_features", "map_saliency"),
}


@pytest.fixture(scope="module")
def three_sites(
    small_experiment: Any, tmp_path_factory: pytest.TempPathFactory, write_small_site: Callable[..., None]
) -> Callable[..., Experiment]:
    """Makes the small experiment with the hostile site C beside A and B."""
    root = tmp_path_factory.mktemp("hostile") / HOSTILE
    write_small_site(root, people=10, seed=2)
    policy = {"policy": {"predictions_leave": False, "min_per_class": 1}}
    sites = [section | policy for section in small_experiment.values["sites"]]
    sites.append({"name": HOSTILE, "root": str(root)} | policy)

    def make(output: Path, **changes: Any) -> Experiment:
        return Experiment.from_yaml(small_experiment.write(output, sites=sites, **changes))

    return make


@pytest.fixture(scope="module")
def honest(three_sites: Callable[..., Experiment], tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, Wired]:
    """A run in which nobody lies, and all that was asked and answered."""
    return run_wired(three_sites(tmp_path_factory.mktemp("honest") / "run", explain={"method": "gradcam", "scans": 1}))


class Recorded:
    """A site that answers a task as it did in the honest run."""

    def __init__(self, answers: dict[int, Answer]) -> None:
        self.answers = answers

    def answer(self, task: Task) -> Answer:
        return self.answers[id(task)]


def test_the_wire_changes_no_bit(honest: tuple[RunFolder, Wired]) -> None:
    folder, wired = honest
    assert {task.kind for _, task, _ in wired.seen} == KINDS
    assert all(isinstance(reply, Answer) for _, _, reply in wired.seen)
    assert not folder.absences.exists()


def spoiled_replies(seen: Wired, number: int, seed: int) -> list[tuple[str, Answer | Fault]]:
    """Spoiled answers of the hostile site to what it was asked in the honest run, as the server takes them."""
    asked = [(task, reply) for site, task, reply in seen.seen if site == HOSTILE and isinstance(reply, Answer)]
    rng, found = np.random.default_rng(seed), []
    for index in range(number):
        task, reply = asked[index % len(asked)]
        records = mutate(pack_answer(reply, seen.occasion.sha256), rng)
        passing: dict[str, Answering] = {HOSTILE: Recorded({id(task): reply})}
        wired = _Replaying(passing, seen.occasion, lambda site, task, _, sent=records: sent)
        checked = CheckedFederation(wired)
        for _, earlier, described in seen.seen:  # what the site has said of itself before
            if earlier.kind in PLANNING and isinstance(described, Answer) and described.site == HOSTILE:
                checked._checked(earlier, described)
        (taken,) = checked.ask({HOSTILE: task})
        found.append((task.kind, taken))
    return found


class _Replaying(Wired):
    """Like `Wired`, without packing the task again: the recorded answer is found by the task itself."""

    def ask(self, tasks: Any) -> Any:
        for site, task in tasks.items():
            records = self.spoil(site, task, pack_answer(self.guarded[site].answer(task), self.occasion.sha256))
            assert not isinstance(records, Fault)
            yield unpack_answer(records, task, site, self.occasion.sha256)


def test_no_spoiled_answer_raises(honest: tuple[RunFolder, Wired]) -> None:
    replies = spoiled_replies(honest[1], 150, seed=1)
    assert {kind for kind, _ in replies} == KINDS
    refused = [reply for _, reply in replies if isinstance(reply, Fault)]
    assert len(refused) > 90
    assert all(reply.site == HOSTILE and reply.reason.isprintable() for reply in refused)
    assert all(len(reply.reason) <= 2000 for reply in refused)


def test_a_refused_answer_leaves_the_run_as_if_the_site_were_absent(
    three_sites: Callable[..., Experiment], tmp_path: Path
) -> None:
    _require_equal_to_absence("train", three_sites, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(KINDS - {"train", "map_saliency"}))
def test_a_refused_answer_of_any_kind(kind: str, three_sites: Callable[..., Experiment], tmp_path: Path) -> None:
    _require_equal_to_absence(kind, three_sites, tmp_path)


def _require_equal_to_absence(kind: str, three_sites: Callable[..., Experiment], tmp_path: Path) -> None:
    def lie(site: str, task: Task, records: Any) -> Any:
        if site == HOSTILE and task.kind == kind:
            about = records.config_records["about"]
            about["body"] = json.dumps(json.loads(about["body"]) | {"surplus": 1})
        return records

    def absent(site: str, task: Task, records: Any) -> Any:
        return RefusedAnswer(site, "absent") if site == HOSTILE and task.kind == kind else records

    lied, _ = run_wired(three_sites(tmp_path / "lied" / "run"), lie)
    missed, _ = run_wired(three_sites(tmp_path / "missed" / "run"), absent)
    for file in SAME:
        assert sha256_file(lied.path / file) == sha256_file(missed.path / file), file
    assert HOSTILE in _blamed(lied)
    assert "surplus" in lied.report.read_text()


def _blamed(folder: RunFolder) -> set[str]:
    """The sites that the run folder says were at fault."""
    lines = [json.loads(line) for line in folder.rounds.ledger.read_text().splitlines()]
    in_rounds = {site for line in lines for site, entry in line["sites"].items() if entry["fault"]}
    absences = json.loads(folder.absences.read_text())["absences"] if folder.absences.exists() else []
    return in_rounds | {absence["site"] for absence in absences}


@pytest.mark.slow
@pytest.mark.parametrize("kind", STATISTICS)
def test_a_false_statistic_changes_no_number_of_another_site(
    kind: str, honest: tuple[RunFolder, Wired], three_sites: Callable[..., Experiment], tmp_path: Path
) -> None:
    """Of what passes the wire, what the checks accept, too. Only the common threshold follows from all sites' words."""
    rng = np.random.default_rng(STATISTICS.index(kind))
    before, accepted = _own_numbers(honest[0]), 0
    for number in range(6):

        def spoil(site: str, task: Task, records: Any) -> Any:
            if site != HOSTILE or task.kind != kind:
                return records
            sha256 = honest[1].occasion.sha256
            drawn = (mutate(records, rng) for _ in range(200))
            return next(one for one in drawn if isinstance(unpack_answer(one, task, site, sha256), Answer))

        found = _ended(three_sites(tmp_path / str(number) / "run", explain={"method": "gradcam", "scans": 1}), spoil)
        if found == 0:
            accepted += 1
            assert _own_numbers(RunFolder(tmp_path / str(number) / "run")) == before
    print(f"{kind}: {accepted} of 6 accepted")


def _own_numbers(folder: RunFolder) -> list[Any]:
    """What the run says of the honest sites, without what depends on the common threshold."""
    sites = read_metrics(folder).methods["federated"].sites
    told = [(folder.path / f"summaries/{name}.json").read_text() for name in "AB"]
    return told + [(sites[name].auc, sites[name].calibration, sites[name].roc) for name in "AB"]


@pytest.mark.slow
def test_a_thousand_spoiled_answers(
    honest: tuple[RunFolder, Wired], three_sites: Callable[..., Experiment], tmp_path: Path
) -> None:
    """Whole runs, in which the hostile site spoils each of its answers from some point on, until there are 1,000.

    Before the first round a site may stop the run, by a leak or by saying that it cannot; the line names it.
    """
    spoiled, refused, stopped, runs = 0, 0, 0, 0
    rng = np.random.default_rng(7)
    phases = ["count_scans", "assign_splits", "", "", "", "", "", ""]
    while spoiled < 1000:
        only, counted = phases[runs % len(phases)], 0

        def spoil(site: str, task: Task, records: Any, only: str = only) -> Any:
            nonlocal counted
            if site != HOSTILE or (only and task.kind != only) or (not only and task.kind in PLANNING):
                return records
            counted += 1
            return mutate(records, rng)

        changes = {"training": {"rounds": 6, "batch_size": 4}, "explain": {"method": "gradcam", "scans": 1}}
        experiment = three_sites(tmp_path / str(runs) / "run", baselines=["local"], **changes)
        found = _ended(experiment, spoil)
        if isinstance(found, int):
            refused += found
        else:
            assert found.startswith(("leak: ", f"site {HOSTILE}: "))
            assert HOSTILE in found
            assert not RunFolder(experiment.output).rounds.ledger.exists()
            stopped += 1
        spoiled, runs = spoiled + counted, runs + 1
    print(f"{spoiled} spoiled answers in {runs} runs: {refused} refused on arrival, {stopped} runs stopped by it")


def _ended(experiment: Experiment, spoil: Spoil) -> int | str:
    """How many answers were refused on arrival, all of the hostile site; or the line with which the run stopped."""
    try:
        folder, wired = run_wired(experiment, spoil)
    except InputError as stopped:
        return str(stopped)
    faults = [reply for _, _, reply in wired.seen if isinstance(reply, Fault)]
    assert {reply.site for reply in faults} <= {HOSTILE}
    assert _blamed(folder) <= {HOSTILE}
    assert not faults or HOSTILE in folder.report.read_text()
    return len(faults)


def test_an_answer_of_another_experiment_is_refused(honest: tuple[RunFolder, Wired]) -> None:
    _, wired = honest
    task, reply = next((task, reply) for site, task, reply in wired.seen if site == HOSTILE)
    other = Occasion(wired.occasion.experiment, "0" * 64, None)
    replaying = _Replaying({HOSTILE: Recorded({id(task): reply})}, wired.occasion)  # type: ignore[dict-item]
    replaying.spoil = lambda site, task, records: pack_answer(reply, other.sha256)
    (taken,) = CheckedFederation(replaying).ask({HOSTILE: task})
    assert isinstance(taken, RefusedAnswer)
    assert "answered for another experiment" in taken.reason
