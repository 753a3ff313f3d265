from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from fedtune3d._utils.seeds import torch_rng
from fedtune3d.config.model import ModelSection
from fedtune3d.models.encoders import build_encoder, encoder_spec
from fedtune3d.models.weights import load_encoder_weights
from fedtune3d.testing import check_encoder


@pytest.mark.slow
def test_brainiac_keeps_the_contract() -> None:
    check_encoder("brainiac")


@pytest.mark.slow
def test_a_checkpoint_of_the_authors_package_gives_its_features(tmp_path: Path) -> None:
    nets = pytest.importorskip("monai.networks.nets")
    reference = nets.ViT(in_channels=1, img_size=(96, 96, 96), patch_size=(16, 16, 16), classification=False).eval()
    with torch.no_grad():
        for name, parameter in reference.named_parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=torch_rng("reference", name)))
    state = {f"backbone.{name}": tensor for name, tensor in reference.state_dict().items()}
    path = tmp_path / "BrainIAC.ckpt"
    torch.save({"state_dict": {**state, "projection.weight": torch.zeros(2, 2)}, "epoch": 3}, path)
    encoder = build_encoder("brainiac").eval()
    load_encoder_weights(encoder, path)
    scan = torch.randn(1, 1, 96, 96, 96, generator=torch_rng("scan"))
    with torch.inference_mode():
        tokens, _ = reference(scan)
        expected = tokens.transpose(1, 2).reshape(1, 768, 6, 6, 6)
        assert (encoder(scan) - expected).norm() <= 1e-5 * expected.norm()


def test_its_licence_must_be_accepted_before_its_weights_are_used() -> None:
    assert not encoder_spec("brainiac").permissive
    assert ModelSection(encoder="brainiac").weights == "random"
    with pytest.raises(ValidationError, match=r"non-commercial.*accept_licence: true"):
        ModelSection(encoder="brainiac", weights=Path("BrainIAC.ckpt"))
    assert ModelSection(encoder="brainiac", weights=Path("BrainIAC.ckpt"), accept_licence=True).accept_licence
