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
from fedtune3d.testing import check_encoder

LAYERS = ("init", "down0", "down1", "down2", "down3")


@pytest.fixture(scope="module")
def file() -> Path:
    release = encoder_spec("deepbet").release
    assert release is not None
    return packaged_file(release) or pytest.skip("deepbet is not installed")


@pytest.fixture(scope="module")
def scripted(file: Path) -> torch.jit.ScriptModule:
    return torch.jit.load(str(file)).eval()


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
