"""The adapted encoder against `medim`'s, whose weights it carries."""

from functools import partial

import peft
import pytest
import torch
from medim.models.sam_med3d import ImageEncoderViT3D
from torch import nn

from fedtune3d.models.classifier import Classifier
from fedtune3d.models.encoders.networks.sam_med3d import ImageEncoder3D
from fedtune3d.models.heads import build_head
from fedtune3d.models.tuning import Lora, apply_tuning
from fedtune3d.models.tuning.adapters import merge, save_adapter

SIZES = {
    "small": {
        "embed_dim": 24,
        "depth": 2,
        "num_heads": 2,
        "mlp_ratio": 2.0,
        "out_chans": 16,
        "global_attn_indexes": (1,),
    },
    "vit_b": {"embed_dim": 768, "depth": 12, "num_heads": 12, "out_chans": 384, "global_attn_indexes": (2, 5, 8, 11)},
}
EVERYWHERE = Lora(rank=2, blocks="all", projections=("q", "k", "v", "out", "mlp"))


def reference_and_ours(size: str) -> tuple[nn.Module, Classifier]:
    """`medim`'s encoder with large relative positions and `qkv` biases; a classifier on ours with the same weights."""
    options = SIZES[size]
    reference = ImageEncoderViT3D(
        img_size=128, use_rel_pos=True, window_size=14, norm_layer=partial(nn.LayerNorm, eps=1e-6), **options
    ).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in reference.named_parameters():
            if "rel_pos" in name or name.endswith("qkv.bias"):
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
            elif parameter.ndim > 1:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * parameter[0].numel() ** -0.5)
    encoder = ImageEncoder3D(**options)
    encoder.load_state_dict(reference.state_dict())
    return reference, Classifier(encoder, build_head("linear", in_channels=options["out_chans"])).eval()


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


@pytest.fixture(scope="module")
def scan():
    return torch.randn(1, 1, 128, 128, 128, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("size", ["small", pytest.param("vit_b", marks=pytest.mark.slow)])
@torch.inference_mode()
def test_zero_adapters_in_every_block_keep_the_features(size, scan):
    reference, model = reference_and_ours(size)
    trainable = apply_tuning(model, EVERYWHERE)
    assert sum(".lora_B." in name for name in trainable.names) == 6 * model.encoder.depth
    assert relative_error(model.encoder(scan), reference(scan)) < 1e-5


@torch.no_grad()
def test_trained_adapters_and_merged_weights_go_on_the_reference_too(scan, tmp_path):
    """That the padding's virtual key follows the adapters is seen here: the reference computes every padded token."""
    reference, model = reference_and_ours("small")
    apply_tuning(model, EVERYWHERE)
    generator = torch.Generator().manual_seed(2)
    for name, parameter in model.encoder.named_parameters():
        if ".lora_B." in name:
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    features = model.encoder(scan)
    assert relative_error(features, reference(scan)) > 0.01
    save_adapter(model, tmp_path)
    assert relative_error(features, peft.PeftModel.from_pretrained(reference, tmp_path).eval()(scan)) < 1e-5
    merged, _ = reference_and_ours("small")
    merged.load_state_dict(merge(model), strict=True)
    assert relative_error(features, merged(scan)) < 1e-5
