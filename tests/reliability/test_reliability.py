"""A sample of each reliability program. The whole of them is `make reliability`."""

import random
import signal
from collections.abc import Iterator
from pathlib import Path

import faults
import fuzz
import kills
import pytest
import twice
from commands import DRAWN_BY, draw_nothing
from kinds import KINDS, RESUME, build_states, expected_results
from mutations import BINARY, TEXT, mutate
from processes import start
from waiting import wait_until
from world import EXPERIMENT, RUN, copy_world, leftovers

pytestmark = pytest.mark.ci


def test_every_kind_comes_up_in_its_turn() -> None:
    numbers = range(sum(kind.share for kind in KINDS))
    assert {fuzz.kind_of(number).name for number in numbers} == {kind.name for kind in KINDS}


def test_a_mutation_changes_the_file_and_is_drawn_again_from_the_same_seed(tmp_path: Path) -> None:
    content = b'{"rounds": 3, "sites": ["A", "B"], "seed": 1}\n'
    drawn = set()
    for number in range(300):
        written = []
        for name in ("once.json", "again.json"):
            path = tmp_path / name
            path.write_bytes(content)
            drawn.add(mutate(path, random.Random(number)))
            written.append(path.read_bytes())
        assert written[0] == written[1] != content
    assert drawn == {mutation.__name__ for mutation in TEXT}
    assert set(BINARY) < set(TEXT)


@pytest.fixture(autouse=True, scope="module")
def _drawing() -> Iterator[None]:
    """The programs leave out drawing in their processes; the tests that follow in this one draw again."""
    with pytest.MonkeyPatch.context() as patch:
        for canvas, method in DRAWN_BY:
            patch.setattr(canvas, method, getattr(canvas, method))
        draw_nothing()
        yield


SAMPLED = (
    *("scan .nii.gz", "participants.tsv", "experiment .yaml", "prepared scan"),
    *("checkpoints of a stopped run", "ledgers", "config.yaml"),
)


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The worlds of prepared scans and of a run that was stopped after one of two rounds."""
    folder = tmp_path_factory.mktemp("states")
    build_states(folder, last="stopped")
    return folder


@pytest.fixture(scope="module")
def expected(states: Path) -> fuzz.Expected:
    return expected_results(states, [kind for kind in KINDS if kind.name in SAMPLED])


@pytest.mark.parametrize("name", SAMPLED)
def test_a_damaged_file_of_this_kind_is_refused_or_changes_nothing(
    states: Path, expected: fuzz.Expected, name: str
) -> None:
    number = next(number for number in range(1000) if fuzz.kind_of(number).name == name)
    case = fuzz.run_case(number, 3, states, expected)
    assert case.outcome not in fuzz.FAILURES, f"{case.file} {case.mutation}: {case.lines}"


def test_a_run_killed_once_ends_in_the_undisturbed_bits(states: Path, expected: fuzz.Expected, tmp_path: Path) -> None:
    world = copy_world(states / "stopped", tmp_path / "world")
    running = start(["run", world / EXPERIMENT, "--resume"], tmp_path / "log")
    checkpoint = world / RUN / "checkpoints" / "last.safetensors"
    before = checkpoint.stat().st_mtime_ns
    wait_until(lambda: checkpoint.stat().st_mtime_ns != before, "another round", pause_seconds=0.01)
    running.kill()
    assert running.process.exitcode == -signal.SIGKILL
    assert RESUME.command(world).code == 0
    assert RESUME.result(world).differing(expected["stopped", RESUME.name]) == []
    assert leftovers(world) == []


@pytest.mark.slow
def test_damaged_files_are_refused_or_change_nothing(tmp_path: Path) -> None:
    cases = fuzz.fuzz(list(range(60)), seed=2, workers=1, folder=tmp_path)
    failed = [case for case in cases if case.outcome in fuzz.FAILURES]
    assert not failed, "\n".join(f"{case.number} {case.file} {case.mutation}: {case.lines}" for case in failed)


@pytest.mark.slow
def test_a_killed_run_ends_in_the_undisturbed_bits(tmp_path: Path) -> None:
    kills.build_bases(tmp_path)
    scenario = next(scenario for scenario in kills.SCENARIOS if scenario.name.startswith("run, FedCE, frozen"))
    count = kills.kill_repeatedly(scenario, 4, tmp_path)
    assert count.kills == 4
    assert not count.failures


@pytest.mark.slow
def test_an_injected_fault_stops_the_command_and_resuming_gives_the_same_bits(tmp_path: Path) -> None:
    counts = faults.inject(tmp_path, sample=5, seed=2)
    assert sum(counts.values()) == 5
    assert not [key for key in counts if key[1] == "failed"]


@pytest.mark.slow
def test_the_second_of_two_runs_in_one_folder_is_refused(tmp_path: Path) -> None:
    base, expected, _ = twice.build_base(tmp_path)
    world = twice.copy_world(base, tmp_path / "trial")
    outcome, why, _ = twice.try_pair(("run", "run --resume"), 0.2, world, expected)
    assert outcome == "one refused", why
