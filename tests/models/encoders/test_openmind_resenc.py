"""OpenMind's encoder and the blocks in `residual_encoder`, against the package that its authors build on."""

from pathlib import Path

import pytest
import torch
from torch import nn

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.seeds import torch_rng
from fedtune3d.models.encoders import build_encoder
from fedtune3d.models.encoders.contract import initialise_random
from fedtune3d.models.weights import load_encoder_weights
from fedtune3d.testing import check_encoder


@pytest.mark.slow
def test_openmind_keeps_the_contract() -> None:
    check_encoder("openmind_resenc", 32)


@pytest.mark.slow
def test_a_checkpoint_of_the_authors_package_gives_its_features(tmp_path: Path) -> None:
    unet = pytest.importorskip("dynamic_network_architectures.architectures.unet")
    reference = unet.ResidualEncoderUNet(
        1,
        6,
        (32, 64, 128, 256, 320, 320),
        nn.Conv3d,
        3,
        (1, 2, 2, 2, 2, 2),
        (1, 3, 4, 6, 6, 6),
        1,
        (1,) * 5,
        conv_bias=True,
        norm_op=nn.InstanceNorm3d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
    ).eval()
    with torch.no_grad():
        for name, parameter in reference.named_parameters():
            parameter.add_(0.01 * torch.randn(parameter.shape, generator=torch_rng("reference", name)))
    path = tmp_path / "checkpoint_final.pth"
    torch.save({"network_weights": reference.state_dict(), "nnssl_adaptation_plan": {"architecture": "ResEncL"}}, path)
    encoder = build_encoder("openmind_resenc").eval()
    assert load_encoder_weights(encoder, path).source == "checkpoint_final.pth"
    scan = torch.randn(1, 1, 64, 64, 64, generator=torch_rng("scan"))
    with torch.inference_mode():
        expected = reference.encoder(scan)[4]
        assert (encoder(scan) - expected).norm() <= 1e-5 * expected.norm()


@pytest.mark.slow
def test_a_checkpoint_without_one_of_its_tensors_is_refused(tmp_path: Path) -> None:
    encoder = build_encoder("openmind_resenc")
    initialise_random(encoder, 1)
    state = {f"encoder.{name}": tensor for name, tensor in encoder.state_dict().items()}
    del state["encoder.stages.4.blocks.0.skip.1.conv.weight"]
    torch.save({"network_weights": state}, tmp_path / "cut.pth")
    with pytest.raises(InputError, match=r"no stages.4.blocks.0.skip.1.conv.weight"):
        load_encoder_weights(encoder, tmp_path / "cut.pth")
