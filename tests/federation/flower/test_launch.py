"""Flower's processes end with the one that started them."""

import subprocess
import sys

import pytest

pytest.importorskip("flwr")

from fedtune3d.federation.flower import launch

ORPHAN = f"import time; from {launch.__name__} import end_with; end_with(1); time.sleep(60)"


@pytest.mark.ci
def test_a_process_ends_when_its_parent_is_another() -> None:
    ended = subprocess.run([sys.executable, "-c", ORPHAN], capture_output=True, text=True, timeout=50)
    assert ended.returncode != 0  # interrupted, or where that is ignored killed
