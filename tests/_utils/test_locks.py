"""One writer per folder, whatever happens to the one before."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.locks import HOLDER, ended_well, hold_until_exit, one_writer, wait_until_free

HOLD = """
import sys, time
from pathlib import Path
from fedtune3d._utils.locks import ended_well, one_writer
with one_writer(Path(sys.argv[1]), "fedtune3d run"):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_second_writer_is_refused_and_told_who_holds_the_folder(tmp_path: Path) -> None:
    def hold() -> None:
        with one_writer(tmp_path / "run", "fedtune3d report"):
            pass

    with one_writer(tmp_path / "run", "fedtune3d run"), ThreadPoolExecutor(1) as other_thread:
        holder = rf"run: `fedtune3d run` \(process {os.getpid()} on .*\) is writing"
        with pytest.raises(InputError, match=holder):
            other_thread.submit(hold).result()
        hold()  # in the thread that has it
        with pytest.raises(InputError, match=holder):
            other_thread.submit(hold).result()
    with one_writer(tmp_path / "run", "fedtune3d report"):
        assert "report" in (tmp_path / "run" / HOLDER).read_text()
    assert not (tmp_path / "run").exists()  # nothing was written


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(InputError, match=f"process {holder.pid} on"), one_writer(tmp_path, "fedtune3d run"):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert not ended_well(tmp_path)
    with one_writer(tmp_path, "fedtune3d run"):
        assert str(os.getpid()) in (tmp_path / HOLDER).read_text()
    assert ended_well(tmp_path)


def test_an_error_in_the_block_ends_the_lock(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), one_writer(tmp_path, "fedtune3d run"):
        raise RuntimeError
    with one_writer(tmp_path, "fedtune3d run"):
        pass


HOLD_FOLDER = """
import sys, time
from pathlib import Path
from fedtune3d._utils.locks import hold_until_exit
hold_until_exit(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(600)
"""


def test_a_folder_is_held_until_its_process_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "sites" / "A"
    words = [sys.executable, "-c", HOLD_FOLDER, str(folder)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(InputError, match=r"sites/A: another process is writing to this folder"):
            hold_until_exit(folder)
        with pytest.raises(InputError, match=r"sites/A: a process of a run that was stopped is still writing here"):
            wait_until_free(folder, 0.1)
        process.kill()
    wait_until_free(folder, 60)
    wait_until_free(tmp_path, 0)  # nobody has ever held it
    with one_writer(folder, "fedtune3d run"):
        assert (folder / HOLDER).exists()
