"""Where real anatomy lies, and what is asked of a mask."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    folder = os.environ.get("FEDTUNE3D_TEST_DATA")
    if not folder:
        pytest.skip("FEDTUNE3D_TEST_DATA names no folder of real anatomy")
    return Path(folder)


@pytest.fixture(scope="session")
def dice() -> Callable[[np.ndarray, np.ndarray], float]:
    def overlap(first: np.ndarray, second: np.ndarray) -> float:
        return 2 * np.count_nonzero(first & second) / (np.count_nonzero(first) + np.count_nonzero(second))

    return overlap
