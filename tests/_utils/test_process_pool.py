"""Jobs in real processes: their order, their errors, and one of them killed."""

import os
from functools import partial
from pathlib import Path

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


def test_a_process_is_not_replaced_because_it_keeps_the_memory_of_a_large_job(tmp_path: Path) -> None:
    """Loky replaces one that holds 300 MB more than after its first job, a second or more ago."""
    jobs = [partial(touch_memory, megabytes, seconds) for megabytes, seconds in ((8, 0), (640, 1.1), (8, 1.1), (8, 0))]
    assert len(set(run_in_processes(jobs, 1, partial(begin, tmp_path), "touches memory"))) == 1
