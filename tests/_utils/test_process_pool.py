"""Jobs in real processes: their order, their errors, and one of them killed."""

import os
from functools import partial
from pathlib import Path

import pytest
from pooled_jobs import begin, double

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
