"""A site's memory is versioned by round."""

from pathlib import Path

import pytest
import torch

from fedtune3d._utils.errors import InputError
from fedtune3d.federation.site.memory import SiteMemory

PARTS = {"kept": {"norm.weight": torch.tensor([1.0, 2.0])}, "control": {"w": torch.zeros(3), "v": torch.ones(1)}}


def test_a_version_comes_back_by_part(tmp_path: Path) -> None:
    memory = SiteMemory(tmp_path)
    memory.save(3, PARTS)
    torch.testing.assert_close(SiteMemory(tmp_path).load(3), PARTS, rtol=0, atol=0)
    assert memory.load(None) == {}


def test_a_version_that_was_never_accepted_is_overwritten(tmp_path: Path) -> None:
    memory = SiteMemory(tmp_path)
    memory.save(1, PARTS)
    memory.save(1, {"kept": {"w": torch.ones(1)}})
    assert memory.load(1) == {"kept": {"w": torch.ones(1)}}


def test_versions_that_no_task_will_name_are_removed(tmp_path: Path) -> None:
    memory = SiteMemory(tmp_path)
    for version in (1, 2, 3):
        memory.save(version, {})
    memory.forget_before(None)
    memory.forget_before(3)
    with pytest.raises(InputError, match="the site's memory of round 2 is missing"):
        memory.load(2)
    assert memory.load(3) == {}
