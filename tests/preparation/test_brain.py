import sys

import numpy as np
import pytest
import torch

from fedtune3d._utils.errors import InputError, ScanError
from fedtune3d.preparation import brain


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "deepbet", None)
    brain._load.cache_clear()
    with pytest.raises(InputError, match=r"deepbet is missing .*; pip install 'fedtune3d\[raw\]'") as caught:
        brain.extract_brain(np.ones((32, 32, 32), np.float32))
    assert not isinstance(caught.value, ScanError)  # so that `on_bad_scan: skip` does not leave out every scan for it


def test_another_network_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Other:
        def __init__(self, no_gpu: bool) -> None:
            self.model = self.bbox_model = torch.nn.Conv3d(1, 2, 3)

    monkeypatch.setattr(pytest.importorskip("deepbet"), "BrainExtraction", Other)
    brain._load.cache_clear()
    with pytest.raises(InputError, match=r"expected the networks of version 1\.0\.2.*pip install 'deepbet==1\.0\.2'"):
        brain.extract_brain(np.ones((32, 32, 32), np.float32))
