"""Jobs in real processes: their order, their errors, and one of them killed."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
import pytest
from pooled_jobs import begin, double, touch_memory

from fedtune3d._utils.errors import MachineError, ScanError
from fedtune3d._utils.process_pool import run_in_processes


@pytest.mark.ci
def test_results_come_in_order_an_error_is_the_jobs_own_and_a_kill_is_one_line(tmp_path: Path) -> None:
    def run(*numbers: int) -> list[tuple[int, bool]]:
        jobs = [partial(double, number, tmp_path) for number in numbers]
        return list(run_in_processes(jobs, 2, partial(begin, tmp_path), "doubles numbers"))

    assert run(2, 0, 1) == [(4, True), (0, True), (2, True)]
    assert not (tmp_path / str(os.getpid())).exists()
    with pytest.raises(ScanError, match=r"c\.nii: truncated"):
        run(1, 3, 2)
    with pytest.raises(MachineError, match="process that doubles numbers was killed, perhaps because mem") as caught:
        run(1, 4, 2)
    assert "\n" not in str(caught.value)


@pytest.mark.ci
def test_a_process_is_not_replaced_because_it_keeps_the_memory_of_a_large_job(tmp_path: Path) -> None:
    """Loky replaces one that holds 300 MB more than after its first job, a second or more ago."""
    jobs = [partial(touch_memory, megabytes, seconds) for megabytes, seconds in ((8, 0), (640, 1.1), (8, 1.1), (8, 0))]
    assert len(set(run_in_processes(jobs, 1, partial(begin, tmp_path), "touches memory"))) == 1


COUNTING = """
import signal, sys
from functools import partial
from pathlib import Path
from pooled_jobs import begin, count_up
from fedtune3d._utils.process_pool import run_in_processes
for number in (signal.SIGINT, signal.SIGTERM):  # SIGINT is ignored where a script runs the tests in the background
    signal.signal(number, signal.default_int_handler)
folder, seconds = Path(sys.argv[1]), float(sys.argv[2])
try:
    print("begins", flush=True)
    list(run_in_processes([partial(count_up, seconds)] * 4000, 2, partial(begin, folder), "counts"))
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.ci
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("send", [os.killpg, os.kill])
def test_a_signal_at_any_moment_ends_all(
    send: Callable[[int, int], None], number: signal.Signals, tmp_path: Path
) -> None:
    """Ctrl-C in a terminal reaches all processes; other programs may send it to the first alone."""
    moments = random.Random(str(number))
    for _ in range(5):
        words = [sys.executable, "-c", COUNTING, str(tmp_path), str(moments.choice([0.002, 0.01, 0.5]))]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        with subprocess.Popen(words, stdout=subprocess.PIPE, start_new_session=True, env=environment) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"begins\n"
            time.sleep(moments.uniform(0, 3))
            send(process.pid, number)
            try:
                assert process.wait(timeout=30) == (-number if number is signal.SIGKILL else 130)
            finally:
                session = [other for other in psutil.process_iter() if is_in_session(other, process.pid)]
                _, left = psutil.wait_procs(session, timeout=10)
                for other in left:
                    other.kill()
            assert not left


def is_in_session(process: psutil.Process, session: int) -> bool:
    """Return whether a process belongs to a session."""
    try:
        return os.getsid(process.pid) == session
    except OSError:
        return False
