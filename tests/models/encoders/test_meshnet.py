import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from scipy import ndimage

from fedtune3d.models.encoders import build_encoder, encoder_spec
from fedtune3d.models.encoders.contract import initialise_random
from fedtune3d.models.encoders.networks import mesh_net, mesh_net_encoder
from fedtune3d.models.encoders.networks.mesh_net import CLASSES, DILATIONS, run_layer, to_lia, to_ras
from fedtune3d.models.encoders.volumes import SPREAD, STRUCTURES, USUAL_LOG_SHARES, Volumes
from fedtune3d.models.weights import load_encoder_weights
from fedtune3d.testing import check_encoder


@pytest.fixture(scope="module")
def weights(real_data: Path) -> Path:
    path = real_data / "weights" / "meshnet" / "model18cls.safetensors"
    return path if path.exists() else pytest.skip("no MeshNet weights here")


@pytest.mark.parametrize("name", ["meshnet", pytest.param("volumes", marks=pytest.mark.slow)])
def test_encoders_of_meshnet_keep_the_contract(name: str) -> None:
    check_encoder(name, 16)


def test_axes_are_turned_as_nibabel_turns_them() -> None:
    ras = torch.arange(24.0).reshape(1, 1, 2, 3, 4)
    turn = nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt("LIA"))
    expected = nib.orientations.apply_orientation(ras[0, 0].numpy(), turn)
    assert np.array_equal(to_lia(ras)[0, 0].numpy(), expected)
    assert torch.equal(to_ras(to_lia(ras)), ras)


def test_volumes_are_log_shares_by_hand() -> None:
    voxels = torch.zeros(1, len(CLASSES), 2, 2, 2)
    voxels[0, 0] = 0.5  # half of every voxel is background, which is no structure
    voxels[0, 1, 0], voxels[0, 2, 1] = 0.5, 0.5
    features = Volumes(encoder_spec("volumes")).features_of(voxels).flatten()
    for number in (0, 1):
        expected = (np.log(0.5 + 1e-5) - USUAL_LOG_SHARES[number]) / SPREAD
        assert features[number].item() == pytest.approx(expected, rel=1e-4)
    assert features[2].item() == pytest.approx((np.log(1e-5) + 3.68) / SPREAD, rel=1e-4)
    assert len(STRUCTURES) == len(USUAL_LOG_SHARES) == 17


def test_the_released_weights_fit_and_equal_a_plain_chain_of_convolutions(weights: Path, tmp_path: Path) -> None:
    misnamed = tmp_path / "model.pth"  # as their authors call it
    misnamed.write_bytes(weights.read_bytes())
    encoder = build_encoder("meshnet").eval()
    release = encoder_spec("meshnet").release
    assert release is not None
    assert load_encoder_weights(encoder, misnamed).sha256 == release.sha256
    x = scan = torch.rand(1, 1, 24, 24, 24, generator=torch.Generator().manual_seed(0))
    state = encoder.state_dict()
    with torch.inference_mode():
        y = to_lia(scan)
        for number, dilation in enumerate(DILATIONS):
            weight, bias = state[f"model.{2 * number}.weight"], state[f"model.{2 * number}.bias"]
            y = torch.nn.functional.elu(torch.conv3d(y, weight, bias, 1, dilation, dilation))
            x = run_layer(encoder.model, x, number)
        y = to_ras(torch.conv3d(y, state["model.18.weight"], state["model.18.bias"]))
        torch.testing.assert_close(run_layer(encoder.model, x, 9), y)


@pytest.mark.ci
@pytest.mark.parametrize("name", ["meshnet", "volumes"])
def test_large_scans_in_slabs_have_the_same_features(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slabs of 16 slices in a scan of 40: whole slabs, a shorter last one, and the greatest dilation of 16."""
    encoder = build_encoder(name).eval()
    initialise_random(encoder, 1)
    scans = torch.rand(2, 1, 40, 40, 40, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        whole = encoder(scans)
        monkeypatch.setattr(mesh_net, "SLAB", 16)
        monkeypatch.setattr(mesh_net_encoder, "LARGE", 0)
        in_slabs = encoder(scans)
    assert not torch.equal(in_slabs, torch.zeros_like(in_slabs))
    torch.testing.assert_close(in_slabs, whole, rtol=1e-4, atol=1e-5)
    with torch.enable_grad():
        assert encoder(scans).requires_grad  # not in slabs, which have no gradients


@pytest.mark.slow
@pytest.mark.parametrize("name", ["meshnet", "openmind_resenc"])
def test_large_scans_are_encoded_within_4_gb(name: str) -> None:
    """MeshNet at FreeSurfer's 256³, OpenMind at its 160³, in a process of their own."""
    size = {"meshnet": 256, "openmind_resenc": 160}[name]
    code = f"""
import torch
from fedtune3d._utils.memory import peak_memory_bytes
from fedtune3d.models.encoders import build_encoder

encoder = build_encoder({name!r}).eval()
with torch.inference_mode():
    assert torch.isfinite(encoder(torch.rand(1, 1, {size}, {size}, {size}))).all()
print(peak_memory_bytes())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 4e9


@pytest.mark.slow
def test_a_painted_head_is_segmented_only_on_the_right_axes(weights: Path, real_data: Path) -> None:
    image = nib.as_closest_canonical(nib.load(real_data / "anatomies" / "anatomy-14.nii.gz"))
    labels = np.asarray(image.dataobj).round().astype(int)
    brain = (labels > 0) & (labels < 100)
    box = tuple(slice(max(0, part.start - 4), part.stop + 4) for part in ndimage.find_objects(brain.astype(int))[0])
    labels, brain = labels[box], brain[box]
    grey = {3, 42, 8, 47, 17, 53, 18, 54, 11, 50, 26, 58}
    values = np.select(
        [~brain, np.isin(labels, [4, 43, 5, 44, 14, 15, 24]), np.isin(labels, list(grey)), np.isin(labels, [10, 49])],
        [0.0, 22.0, 75.0, 90.0],
        110.0,
    )
    painted = ndimage.gaussian_filter(values, 0.5) * brain
    scan = torch.from_numpy((painted / painted.max()).astype(np.float32))[None, None]
    encoder = build_encoder("meshnet").eval()
    load_encoder_weights(encoder, weights)

    def dice(given: torch.Tensor, structure: str, truth: tuple[int, ...]) -> float:
        x = given
        for number in range(10):
            x = run_layer(encoder.model, x, number)
        found = x[0].argmax(dim=0).numpy() == CLASSES.index(structure)
        wanted = np.isin(labels if given is scan else labels.transpose(2, 1, 0), truth)
        return float(2 * (found & wanted).sum() / (found.sum() + wanted.sum()))

    with torch.inference_mode():
        assert dice(scan, "hippocampus", (17, 53)) > 0.6
        assert dice(scan, "thalamus", (10, 49)) > 0.8
        assert dice(scan.permute(0, 1, 4, 3, 2).contiguous(), "hippocampus", (17, 53)) < 0.2
