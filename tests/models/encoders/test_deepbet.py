from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from fedtune3d._utils.errors import InputError
from fedtune3d.models import packaged_weights
from fedtune3d.models.encoders import build_encoder, encoder_spec
from fedtune3d.models.encoders.deepbet import DeepbetEncoder, standardise, to_positions
from fedtune3d.models.packaged_weights import load_packaged_weights, packaged_file
from fedtune3d.preparation.prepare_scan import prepare_scan
from fedtune3d.testing import check_encoder
from fedtune3d.training.prediction import as_input

LAYERS = ("init", "down0", "down1", "down2", "down3")


@pytest.fixture(scope="module")
def file() -> Path:
    release = encoder_spec("deepbet").release
    assert release is not None
    return packaged_file(release) or pytest.skip("deepbet is not installed")


@pytest.fixture(scope="module")
def scripted(file: Path) -> torch.jit.ScriptModule:
    return torch.jit.load(str(file)).eval()


@pytest.mark.ci
def test_deepbet_keeps_the_contract() -> None:
    check_encoder("deepbet", 64)


def test_every_layer_equals_the_packaged_network(scripted: torch.jit.ScriptModule) -> None:
    encoder = DeepbetEncoder().eval()
    load_packaged_weights(encoder)
    ours: dict[str, nn.Module] = {name: encoder.get_submodule(name) for name in LAYERS}
    relu: Callable[[Tensor], Tensor] = getattr(scripted.conv, "2")  # one module, passed to every layer
    x = theirs = torch.randn(1, 1, 64, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        for name, layer in ours.items():
            x, theirs = layer(x), getattr(scripted, name).forward(relu, theirs)
            assert x.shape == theirs.shape
            torch.testing.assert_close(x, theirs, rtol=1e-6, atol=1e-6)


def test_the_file_is_the_one_that_is_known(file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    info = load_packaged_weights(build_encoder("deepbet"))
    assert info.source.startswith("deepbet ")
    assert info.sha256 == encoder_spec("deepbet").release.sha256
    other = tmp_path / "model.pt"
    other.write_bytes(file.read_bytes()[:-1] + b"x")
    monkeypatch.setattr(packaged_weights, "packaged_file", lambda release: other)
    with pytest.raises(InputError, match="expected SHA-256 de8ee7"):
        load_packaged_weights(build_encoder("deepbet"))
    monkeypatch.setattr(packaged_weights, "packaged_file", lambda release: None)
    with pytest.raises(InputError, match=r"the package deepbet for its weights, which is not installed; pip install"):
        load_packaged_weights(build_encoder("deepbet"))
    with pytest.raises(InputError, match="encoder tiny has no packaged weights"):
        load_packaged_weights(build_encoder("tiny"))


def test_the_background_is_as_dark_as_the_darkest_voxels() -> None:
    scan = torch.tensor([0.0, -9.0, 1.0, 2.0, 3.0, 9.0, 0.0, 0.5]).reshape(1, 1, 2, 2, 2)
    given = standardise(scan).flatten()
    assert given[0] == given[1] == given[6] == given.min()
    assert given[4] == given[5] == given.max()
    assert (given.mean().item(), given.std().item()) == (pytest.approx(0.449), pytest.approx(0.226))


@pytest.mark.parametrize("size", [4, 8, 32])
def test_maps_of_all_sizes_keep_their_mean(size: int) -> None:
    maps = torch.randn(1, 3, size, size, size, generator=torch.Generator().manual_seed(0))
    given = to_positions(maps)
    assert given.shape == (1, 3, 8, 8, 8)
    torch.testing.assert_close(given.mean(dim=(2, 3, 4)), maps.mean(dim=(2, 3, 4)))


@pytest.mark.ci
def test_released_features_are_standardised_and_random_ones_are_not(file: Path, template_site: Path) -> None:
    """The people are not those of the scale: their mean is near 0, and their spread near 1."""
    encoder = DeepbetEncoder().eval()
    assert torch.equal(encoder.scale.weight, torch.ones(240))
    assert not encoder.scale.bias.any()
    load_packaged_weights(encoder)
    scans = [as_input(prepare_scan(path)) for path in sorted(template_site.rglob("*_T1w.nii.gz"))]
    with torch.inference_mode():
        pooled = torch.cat([encoder(scan).mean(dim=(2, 3, 4)) for scan in scans])
    assert len(pooled) == 6
    assert pooled.mean(dim=0).abs().median() < 1.5
    assert 0.3 < pooled.std(dim=0).median() < 1.5


def test_a_state_of_its_own_keeps_its_scale() -> None:
    encoder = DeepbetEncoder()
    state = {name: torch.full_like(tensor, 2) for name, tensor in encoder.state_dict().items()}
    assert torch.equal(encoder.from_released(state)["scale.weight"], state["scale.weight"])
