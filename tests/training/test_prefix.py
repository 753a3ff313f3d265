import dataclasses
from pathlib import Path

import pytest
import torch

from fedtune3d._utils.errors import InputError
from fedtune3d.models.classifier import Classifier
from fedtune3d.models.encoders.contract import InputSpec
from fedtune3d.models.encoders.networks.sam_med3d import ImageEncoder3D
from fedtune3d.models.tuning import Frozen, Full, Lora
from fedtune3d.training import prefix
from fedtune3d.training.dataset import LabelledScan, open_scans, read_view
from fedtune3d.training.features import FeatureCache
from fedtune3d.training.prefix import Prefix, prefix_weights


def test_frozen_tuning_keeps_the_whole_encoder_and_its_heads_share_the_key(build_model) -> None:
    linear, trainable = build_model(Frozen(), "linear")
    conv, conv_answer = build_model(Frozen(), "conv_s")
    assert set(prefix_weights(linear, trainable.prefix_end)) == {
        f"encoder.{name}" for name in linear.encoder.state_dict()
    }
    assert Prefix(linear, trainable).key("a", "0") == Prefix(conv, conv_answer).key("a", "0")


def test_lora_keeps_what_comes_before_the_first_adapted_block(build_model) -> None:
    model, trainable = build_model(Lora(blocks="last:1"))
    names = set(prefix_weights(model, trainable.prefix_end))
    assert names == {
        f"encoder.{name}" for name in model.encoder.state_dict() if name.startswith(("pos", "patch", "blocks.0."))
    }
    assert not names & set(trainable.names)


def test_full_tuning_has_no_prefix(build_model) -> None:
    model, trainable = build_model(Full())
    assert prefix_weights(model, trainable.prefix_end) == {}


def test_weights_of_the_prefix_and_no_others_change_the_key(build_model) -> None:
    keys = []
    for changed in (None, "encoder.blocks.0.norm1.bias", "encoder.neck.0.weight", "head.weight"):
        model, trainable = build_model(Lora(blocks="last:1"))
        if changed:
            next(p for name, p in model.named_parameters() if name.startswith(changed.removesuffix("weight"))).data += 1
        keys.append(Prefix(model, trainable).key("a", "0"))
    assert keys[0] != keys[1]
    assert keys[0] == keys[2] == keys[3]


def test_prefix_and_rest_give_what_the_whole_model_gives(build_model, scans: list[LabelledScan]) -> None:
    for tuning in (Frozen(), Lora(blocks="last:1")):
        model, trainable = build_model(tuning)
        voxels = read_view(scans[0], InputSpec(), 0, None, 0)
        kept = Prefix(model, trainable).encode(voxels)
        rest = model.run_stages(kept[None], trainable.prefix_end, model.stage_count)
        assert torch.equal(rest, model(voxels[None]))


def test_encoding_alone_or_after_others_gives_the_same_bits(build_model, scans: list[LabelledScan]) -> None:
    model, trainable = build_model()
    prefix = Prefix(model, trainable)
    alone = prefix.encode(read_view(scans[3], InputSpec(), 0, None, 0))
    for scan in scans[:3]:
        prefix.encode(read_view(scan, InputSpec(), 0, None, 0))
    assert torch.equal(prefix.encode(read_view(scans[3], InputSpec(), 0, None, 0)), alone)


def test_threads_are_part_of_the_key(build_model) -> None:
    prefix = Prefix(*build_model())
    one = prefix.key("a", "0")
    torch.set_num_threads(2)
    assert prefix.key("a", "0") != one


class _OtherCode(ImageEncoder3D):
    """The weights of `tiny`, and other features."""

    def run_stage(self, x: torch.Tensor, stage: int) -> torch.Tensor:
        return 2 * super().run_stage(x, stage) if stage == 0 else super().run_stage(x, stage)


def test_two_encoders_of_equal_weights_do_not_share_features_in_one_cache(
    tmp_path: Path, build_model, scans: list[LabelledScan]
) -> None:
    model, trainable = build_model()
    first = open_scans(scans[:1], Prefix(model, trainable), FeatureCache(tmp_path), InputSpec()).inputs([0], [0])
    other = _OtherCode(embed_dim=48, depth=2, num_heads=3, global_attn_indexes=(1,), neck_kernel_size=1)
    other.load_state_dict(model.encoder.state_dict())
    other.spec = dataclasses.replace(model.encoder.spec, name="other")
    prefix = Prefix(Classifier(other, model.head), trainable)
    assert prefix.weights_sha256 == Prefix(model, trainable).weights_sha256
    read = open_scans(scans[:1], prefix, FeatureCache(tmp_path), InputSpec()).inputs([0], [0])
    assert torch.equal(read[0], prefix.encode(read_view(scans[0], InputSpec(), 0, None, 0)).half().float())
    assert not torch.allclose(read, first)


@pytest.mark.parametrize("change", [{"name": "other"}, {"version": 99}, {"code_sha256": "ab"}])
def test_the_key_changes_with_what_the_encoder_is(build_model, change: dict[str, object]) -> None:
    model, trainable = build_model()
    before = Prefix(model, trainable).key("scan", "0")
    model.encoder.spec = dataclasses.replace(model.encoder.spec, **change)
    assert Prefix(model, trainable).key("scan", "0").digest() != before.digest()


def test_bfloat16_has_keys_of_its_own_and_features_close_to_those_of_float32(
    build_model, scans: list[LabelledScan]
) -> None:
    model, trainable = build_model()
    exact, rounded = Prefix(model, trainable), Prefix(model, trainable, "bfloat16")
    assert exact.key("a", "0").digest() != rounded.key("a", "0").digest()
    voxels = read_view(scans[0], InputSpec(), 0, None, 0)
    features, near = exact.encode(voxels), rounded.encode(voxels)
    assert near.dtype == torch.float32
    assert 0 < (near - features).norm() / features.norm() < 2e-2


def test_bfloat16_is_refused_with_the_measured_error_where_it_is_too_coarse(
    build_model, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, trainable = build_model()
    monkeypatch.setattr(prefix, "MAX_ERROR", 1e-5)
    with pytest.raises(InputError, match=r"bfloat16 changes the features of encoder tiny .* by \d\.\de-0\d of their"):
        Prefix(model, trainable, "bfloat16").require_accuracy(128)
    Prefix(model, trainable).require_accuracy(128)
    monkeypatch.setattr(prefix, "MAX_ERROR", 0.1)
    Prefix(model, trainable, "bfloat16").require_accuracy(128)
