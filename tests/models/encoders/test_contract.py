from dataclasses import replace

import pytest
import torch
from torch import Tensor

from fedtune3d._utils.errors import InputError
from fedtune3d.config.preparation import PreparationSection
from fedtune3d.models.encoders import build_encoder, encoder_names, encoder_spec
from fedtune3d.models.encoders.contract import Encoder, InputSpec, initialise_random
from fedtune3d.models.encoders.networks.sam_med3d import ImageEncoder3D
from fedtune3d.preparation.settings import DEFAULT_SETTINGS
from fedtune3d.testing import check_encoder


@pytest.mark.parametrize("name", ["tiny", pytest.param("vit_b", marks=pytest.mark.slow)])
def test_sam_med3d_keeps_the_contract(name: str) -> None:
    check_encoder(name)


def test_a_spec_is_read_without_making_the_model() -> None:
    for name in encoder_names():
        assert encoder_spec(name).name == name
    assert build_encoder("tiny").spec == encoder_spec("tiny")


def test_an_unknown_encoder_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"unknown encoder .vit_h., did you mean .vit_b.\? \(known: .*tiny, "):
        build_encoder("vit_h")


def test_scans_for_the_released_model_are_prepared_as_ever() -> None:
    spec = encoder_spec("vit_b")
    assert (spec.input.size, spec.input.spacing_mm, spec.features.shape) == (128, 1.5, (384, 8, 8, 8))
    assert PreparationSection().settings(spec.input) == DEFAULT_SETTINGS
    expected = {"size": 128, "spacing_mm": 1.5, "steps": "auto", "intensity": "zscore", "device": "cpu"}
    assert DEFAULT_SETTINGS.causes() == expected


class _Broken(ImageEncoder3D):
    """The encoder of `tiny`, with a fault."""

    def __init__(self, fault: str) -> None:
        super().__init__(embed_dim=48, depth=2, num_heads=3, global_attn_indexes=(1,), neck_kernel_size=1)
        self.fault = fault
        if fault == "shape":
            self.spec = replace(self.spec, features=replace(self.spec.features, channels=96))

    def stage_of(self, name: str) -> int:
        return 0 if self.fault == "stages" else super().stage_of(name)

    def run_stage(self, x: Tensor, stage: int) -> Tensor:
        given = super().run_stage(x, stage)
        return given - given.mean(dim=0, keepdim=True) / 2 if self.fault == "batch" and stage == 1 else given

    def forward(self, scans: Tensor) -> Tensor:
        return super().forward(scans) * (2 if self.fault == "chain" else 1)


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        ("shape", "features .384, 8, 8, 8., expected .96, 8, 8, 8."),
        ("chain", "the chain of stages does not equal the forward pass"),
        ("stages", "stage 1 reads weights that stage_of places elsewhere"),
        ("batch", "a scan depends on its batch"),
    ],
)
def test_a_broken_encoder_is_found(fault: str, complaint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(name: str) -> Encoder:
        return _Broken(fault)

    monkeypatch.setattr("fedtune3d.models.encoder_checks.build_encoder", build)
    with pytest.raises(AssertionError, match=complaint):
        check_encoder("broken")


def test_fresh_weights_follow_from_the_seed_alone() -> None:
    first, second, other = (build_encoder("tiny") for _ in range(3))
    for encoder, seed in ((first, 1), (second, 1), (other, 2)):
        initialise_random(encoder, seed)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(first.get_parameter("pos_embed"), other.get_parameter("pos_embed"))
    assert first.get_parameter("pos_embed").std().item() == pytest.approx(0.02, rel=0.01)


def test_a_scan_of_another_size_is_refused() -> None:
    size = InputSpec().size // 2
    with pytest.raises(ValueError, match=r"expected .B, 1, 128, 128, 128."):
        build_encoder("tiny")(torch.zeros(1, 1, size, size, size))
