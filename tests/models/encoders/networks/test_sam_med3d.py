"""The encoder against `medim`'s `ImageEncoderViT3D` with the same weights."""

from functools import partial
from typing import Any

import pytest
import torch
from medim.models.sam_med3d import ImageEncoderViT3D

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.seeds import torch_rng
from fedtune3d.models.encoders import build_encoder
from fedtune3d.models.encoders.contract import initialise_random
from fedtune3d.models.encoders.networks.sam_med3d import ImageEncoder3D

VIT_B: dict[str, Any] = {
    "img_size": 128,
    "patch_size": 16,
    "embed_dim": 768,
    "depth": 12,
    "num_heads": 12,
    "out_chans": 384,
    "window_size": 14,
    "global_attn_indexes": (2, 5, 8, 11),
}
SMALL: dict[str, Any] = {
    "patch_size": 4,
    "embed_dim": 24,
    "depth": 3,
    "num_heads": 2,
    "out_chans": 12,
    "global_attn_indexes": (1,),
}


def reference_and_ours(**settings: Any) -> tuple[ImageEncoderViT3D, ImageEncoder3D]:
    norm = partial(torch.nn.LayerNorm, eps=1e-6)
    reference = ImageEncoderViT3D(norm_layer=norm, use_rel_pos=True, **settings)
    ours = ImageEncoder3D(**settings)
    with torch.no_grad():
        for name, parameter in ours.named_parameters():
            sigma = 0.3 if "rel_pos" in name or name.endswith("qkv.bias") else parameter[0].numel() ** -0.5
            parameter.copy_(torch.randn(parameter.shape, generator=torch_rng(name)) * min(sigma, 0.3))
            if "norm" in name and name.endswith("weight"):
                parameter.add_(1)
    reference.load_state_dict(ours.state_dict())
    return reference, ours


def relative_error(ours: torch.Tensor, reference: torch.Tensor) -> float:
    difference = (ours.detach().double() - reference.detach().double()).norm()
    return float(difference / reference.detach().double().norm())


def features_and_gradients(encoder: torch.nn.Module, scans: torch.Tensor) -> dict[str, torch.Tensor]:
    scans = scans.clone().requires_grad_()
    features = encoder(scans)
    weights = torch.randn(features.shape, generator=torch_rng("loss"))
    (features * weights).sum().backward()
    gradients = {name: parameter.grad for name, parameter in encoder.named_parameters()}
    return {"features": features, "scans": scans.grad, **gradients}


def assert_same(settings: dict[str, Any], batch: int) -> None:
    reference, ours = reference_and_ours(**settings)
    scans = torch.randn(batch, 1, *[settings["img_size"]] * 3, generator=torch_rng("scans"))
    expected, got = features_and_gradients(reference, scans), features_and_gradients(ours, scans)
    assert got.keys() == expected.keys()
    errors = {name: relative_error(got[name], expected[name]) for name in expected}
    assert max(errors.values()) <= 1e-5, max(errors.items(), key=lambda item: item[1])


@pytest.mark.parametrize(
    ("img_size", "window_size"),
    [
        pytest.param(16, 4, id="one window, nothing padded"),
        pytest.param(16, 7, id="one window, padded"),
        pytest.param(16, 2, id="eight windows, nothing padded"),
        pytest.param(20, 3, id="eight windows, seven of them padded on some axes"),
        pytest.param(28, 3, id="27 windows, whole and padded"),
    ],
)
def test_forward_and_every_gradient_equal_the_reference(img_size: int, window_size: int) -> None:
    assert_same({"img_size": img_size, "window_size": window_size, **SMALL}, batch=2)


def test_without_qkv_bias_equals_the_reference() -> None:
    settings = {"img_size": 16, "window_size": 7, "qkv_bias": False, **SMALL}
    reference, ours = reference_and_ours(**settings)
    scans = torch.randn(1, 1, 16, 16, 16, generator=torch_rng("scans"))
    assert relative_error(ours(scans), reference(scans)) <= 1e-5


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(
            VIT_B | {"embed_dim": 192, "num_heads": 3, "depth": 2, "global_attn_indexes": (1,)},
            id="a block of either kind with a quarter of the heads",
        ),
        pytest.param(VIT_B, id="all twelve blocks", marks=pytest.mark.slow),
    ],
)
def test_vit_b_forward_equals_the_reference(settings: dict[str, Any]) -> None:
    reference, ours = reference_and_ours(**settings)
    scans = torch.randn(1, 1, 128, 128, 128, generator=torch_rng("scans"))
    with torch.inference_mode():
        features = ours(scans)
        assert features.shape == (1, 384, 8, 8, 8)
        assert relative_error(features, reference(scans)) <= 1e-5


@pytest.mark.slow
def test_vit_b_in_bfloat16_stays_close_to_the_reference() -> None:
    reference, ours = reference_and_ours(**VIT_B)
    scans = torch.randn(1, 1, 128, 128, 128, generator=torch_rng("scans"))
    with torch.inference_mode():
        expected = reference(scans)
        with torch.autocast("cpu", torch.bfloat16):
            assert 1e-5 < relative_error(ours(scans), expected) <= 1e-2


@pytest.mark.slow
def test_vit_b_gradients_equal_the_reference() -> None:
    assert_same(VIT_B, batch=1)


def test_stages_chain_to_the_forward_pass() -> None:
    encoder = build_encoder("tiny")
    initialise_random(encoder, 1)
    scans = torch.randn(2, 1, 128, 128, 128, generator=torch_rng("scans"))
    with torch.no_grad():
        tokens = encoder.run_stages(scans, 0, 2)
        assert tokens.shape == (2, 8, 8, 8, encoder.embed_dim)
        assert encoder.run_stages(tokens, 2, 2) is tokens
        assert torch.equal(encoder.run_stages(tokens, 2, encoder.stage_count), encoder(scans))
    assert encoder(scans).shape == (2, encoder.out_channels, 8, 8, 8)
    with pytest.raises(ValueError, match="stages 2 to 5: expected 0 ≤ start ≤ stop ≤ 4"):
        encoder.run_stages(tokens, 2, 5)
    with pytest.raises(ValueError, match=r"scans of shape \(1, 1, 64, 64, 64\): expected \(B, 1, 128, 128, 128\)"):
        encoder(torch.zeros(1, 1, 64, 64, 64))


def test_registry_builds_by_name() -> None:
    tiny, vit_b = build_encoder("tiny"), build_encoder("vit_b")
    assert vit_b.stage_count == 14
    assert (vit_b.out_channels, tiny.out_channels) == (384, 384)
    beyond_patches = sum(value.numel() for name, value in tiny.named_parameters() if "patch_embed" not in name)
    assert beyond_patches < 1_000_000
    with pytest.raises(InputError, match="unknown encoder 'vit_h', did you mean 'vit_b'"):
        build_encoder("vit_h")


def test_random_weights_depend_on_the_seed_only() -> None:
    encoders = [build_encoder("tiny") for _ in range(3)]
    for encoder, seed in zip(encoders, (1, 1, 2), strict=True):
        initialise_random(encoder, seed)
    first, same, other = (encoder.state_dict() for encoder in encoders)
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["blocks.0.attn.qkv.weight"], other["blocks.0.attn.qkv.weight"])
    assert not torch.equal(first["blocks.0.attn.qkv.weight"], first["blocks.1.attn.qkv.weight"])
    features = encoders[0](torch.randn(1, 1, 128, 128, 128, generator=torch_rng("scans")))
    assert features.isfinite().all()
    assert features.std() > 0.1
