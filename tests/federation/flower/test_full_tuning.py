"""Full tuning of ViT-B across hospitals, 372 MB each way: what each process holds at its peak."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

STATE_MB = 372
MOST_MB = {"server": 0, "superlink": 0, "site": 0, "supernode": 0}


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
    for name in "AB":
        deployment.join(name)
    changes = {"model": {"encoder": "vit_b", "head": "linear"}, "tuning": {"method": "full"}}
    path = deployment.write("full", **changes, training={"rounds": 2, "batch_size": 1})
    programs = {name: deployment.join(name) for name in "AB"} | {"server": deployment.serve(path)}
    peaks: dict[str, int] = {}
    while programs["server"].process.poll() is None:
        try:
            for name, peak in peaks_mb(programs).items():
                peaks[name] = max(peak, peaks.get(name, 0))
        except (psutil.Error, OSError):
            continue
    assert programs["server"].wait() == 0, programs["server"].text
    assert all(line["sites"]["A"]["bytes_up"] > 370e6 for line in deployment.ledger(path)[:2])
    print(peaks)
    assert not peaks
