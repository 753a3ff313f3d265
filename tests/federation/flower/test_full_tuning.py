"""Full tuning of ViT-B across hospitals, 372 MB each way: what each process holds at its peak."""

import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from waiting import wait_until

MOST_MB = {"server": 3400, "server superlink": 1400, "site": 3300, "site supernode": 1400}
"""As docs/deploy.md has it, for two sites."""


def peaks_mb(programs: dict[str, Any]) -> dict[str, int]:
    """The most that each program, and its SuperLink or SuperNode, has had resident so far."""
    found = {}
    for name, program in programs.items():
        for process in [psutil.Process(program.process.pid), *psutil.Process(program.process.pid).children()]:
            what = next((word for word in process.cmdline() if word in ("superlink", "supernode")), name)
            status = Path(f"/proc/{process.pid}/status").read_text()
            if found_peak := re.search(r"VmHWM:\s+(\d+) kB", status):
                found[f"{name} {what}" if what != name else name] = int(found_peak[1]) * 1024 // 10**6
    return found


@pytest.mark.slow
def test_full_tuning_stays_within_the_memory_that_the_docs_state(deploy: Callable[..., Any]) -> None:
    deployment = deploy()
    changes = {"model": {"encoder": "vit_b", "head": "linear"}, "tuning": {"method": "full"}}
    path = deployment.write("full", **changes, training={"rounds": 1, "batch_size": 1})
    programs = {name: deployment.join(name) for name in "AB"} | {"server": deployment.serve(path)}
    peaks: dict[str, int] = {}

    def measured_to_the_end() -> bool:
        with contextlib.suppress(psutil.Error, OSError):  # a process that has just ended
            for name, peak in peaks_mb(programs).items():  # a site begins its count anew with each training
                peaks[name] = max(peak, peaks.get(name, 0))
        return programs["server"].process.poll() is not None

    wait_until(measured_to_the_end, "the end of the round", seconds=1800, pause_seconds=0.2)
    assert programs["server"].wait() == 0, programs["server"].text
    assert all(entry["bytes_up"] > 370e6 for entry in deployment.ledger(path)[0]["sites"].values())
    assert peaks.keys() == {"server", "server superlink", "A", "A supernode", "B", "B supernode"}
    for name, peak in peaks.items():
        assert 400 < peak < MOST_MB[re.sub(r"^[AB]", "site", name)], peaks
