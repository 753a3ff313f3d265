"""What a site makes of its scans' maps before anything leaves."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from fedtune3d._utils.errors import InputError
from fedtune3d.cohorts.records import ScanRecord
from fedtune3d.config.explain import ExplainSection
from fedtune3d.federation.site import saliency
from fedtune3d.federation.site.saliency import (
    MapMaker,
    average,
    cannot_explain,
    choose,
    pack_regions,
    shares_of,
    unpack_regions,
)
from fedtune3d.models.assembly import assemble
from fedtune3d.models.encoders.contract import InputSpec
from fedtune3d.models.tuning import Frozen
from fedtune3d.preparation.store import PreparedStore


class Sum(nn.Module):
    """The margin is the sum of the first eighth of the axis that runs right; counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.calls = 0

    def forward(self, scans: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        seen = self.weight * scans[:, 0, :64].sum(dim=(1, 2, 3))
        return torch.stack([torch.zeros_like(seen), seen], dim=1)


def test_one_scan_a_person_and_no_more_people_than_wanted() -> None:
    groups = ["a", "b", "a", "c", "b", "d"]
    assert choose(groups, 4, 1) == [0, 1, 3, 5]
    some = choose(groups, 2, 1)
    assert len(some) == 2
    assert some == sorted(some)
    assert set(some) < {0, 1, 3, 5}
    assert some == choose(groups, 2, 1)
    assert len({tuple(choose(groups, 2, cause)) for cause in range(20)}) > 1
    assert choose([], 2, 1) == []


def test_shares_by_hand() -> None:
    values = np.zeros((2, 2, 2), np.float32)
    values[0] = [[1, 2], [3, 4]]
    values[1, 1, 1] = 100  # outside the brain
    brain = np.ones((2, 2, 2), bool)
    brain[1, 1, 1] = False
    right, both = np.zeros_like(brain), np.zeros_like(brain)
    right[0, 0] = True
    both[0] = True
    assert shares_of(values, [right, both], brain).tolist() == [0.3, 1.0]
    assert shares_of(np.ones_like(values), [right, both], brain).tolist() == [2 / 7, 4 / 7]
    assert shares_of(np.zeros_like(values), [right], brain).tolist() == [0.0]


def test_the_average_by_hand() -> None:
    def one(value: float, share: float, there: int) -> dict:
        shares, volumes = torch.tensor([share, 0.5]).double(), torch.tensor([0.25, 0.5]).double()
        return {"map": torch.full((2, 2, 2), value), "in_template": torch.tensor(there)} | {
            "shares": shares,
            "volumes": volumes,
        }

    mean = average([one(1, 0.25, 1), one(4, 0.75, 0)], ["hippocampus", "ventricles"])
    assert mean.map.tolist() == torch.full((2, 2, 2), 2.5).tolist()
    assert (mean.scans, mean.in_template) == (2, 1)
    assert mean.shares["hippocampus"] == (0.5, pytest.approx(np.std([0.25, 0.75], ddof=1)))
    assert mean.shares["ventricles"] == (0.5, 0.0)
    assert mean.volumes == {"hippocampus": 0.25, "ventricles": 0.5}


def test_regions_travel_as_bits() -> None:
    regions = {name: np.random.default_rng(seed).random((128,) * 3) < 0.1 for seed, name in enumerate("ba")}
    sent = pack_regions(regions)
    assert all(tensor.numel() == 128**3 // 8 for tensor in sent.values())
    found = unpack_regions(sent, 128)
    assert list(found) == ["a", "b"]
    assert all(np.array_equal(found[name], regions[name]) for name in regions)
    with pytest.raises(InputError, match="regions: expected the bits of 128³ voxels each"):
        unpack_regions({"a": torch.zeros(5, dtype=torch.uint8)}, 128)


@pytest.fixture
def prepared(small_experiment, tmp_path: Path) -> Path:
    scan = small_experiment.folder / "A" / "sub-00" / "anat" / "sub-00_T1w.nii.gz"
    record = ScanRecord("A", "sub-00", "", scan, 1, "sub-00", False, None, None, "")
    return PreparedStore(tmp_path / "prepared").get(record)


@pytest.mark.ci
def test_a_voxel_map_goes_to_the_template_with_its_shares_and_is_made_once(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = np.zeros((128,) * 3, bool)
    right[64:] = True
    model, settings = Sum(), ExplainSection(method="integrated_gradients", steps=2)
    maker = MapMaker(
        model.eval(), settings, InputSpec(), 16, {"all": ~right | right, "right": right}, "state", tmp_path / "maps"
    )
    found = maker.of(prepared, None)
    assert model.calls == 2
    assert found["map"].shape == (32, 32, 32)
    voxels = np.load(prepared).astype(np.float32)
    # The map of a sum is what is summed: here the left half; what is moved keeps its sum.
    assert found["map"].sum().item() == pytest.approx(
        float(voxels[:64].sum()), abs=0.02 * float(np.abs(voxels[:64]).sum())
    )
    assert found["shares"][0].item() == pytest.approx(1, abs=0.01)
    assert found["shares"][1].item() < 0.15  # registered, so the middle need not fall on the middle
    assert found["volumes"][1].item() == pytest.approx(0.5, abs=0.1)
    again = maker.of(prepared, None)
    assert model.calls == 2
    assert all(torch.equal(again[name], found[name]) for name in found)
    monkeypatch.setattr(saliency, "template_to_scan", lambda *_: pytest.fail("registered again"))
    other = MapMaker(model, settings, InputSpec(), 16, {}, "another state", tmp_path / "maps").of(prepared, None)
    assert model.calls == 4
    assert torch.equal(other["map"], found["map"])


def test_a_scan_that_cannot_be_registered_has_no_map_for_any_state(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, settings, asked = Sum().eval(), ExplainSection(method="integrated_gradients", steps=2), []
    monkeypatch.setattr(saliency, "template_to_scan", lambda *_: asked.append(1))
    for state in ("one", "other"):
        assert MapMaker(model, settings, InputSpec(), 16, {}, state, tmp_path / "maps").of(prepared, None) == {}
    assert (model.calls, len(asked)) == (0, 1)


def test_models_that_have_no_map_say_why() -> None:
    ncc = assemble("tiny", "random", "ncc", Frozen(), 1).model
    assert "NCC has no trained weights" in (cannot_explain(ncc, "occlusion") or "")
    assert "needs a head on an encoder" in (cannot_explain(Sum(), "gradcam") or "")
    assert cannot_explain(Sum(), "occlusion") is None
    assert cannot_explain(assemble("tiny", "random", "conv_s", Frozen(), 1).model, "gradcam") is None
