import json

import peft
import pytest
import torch
from safetensors.torch import load_file

from fedtune3d._utils.errors import InputError
from fedtune3d.aggregation.lora_factors import factor_pairs, to_products
from fedtune3d.models.classifier import Classifier
from fedtune3d.models.encoders import build_encoder
from fedtune3d.models.encoders.contract import initialise_random
from fedtune3d.models.heads import build_head
from fedtune3d.models.tuning import Frozen, Lora, Trainable, apply_tuning, read_state
from fedtune3d.models.tuning.adapters import merge, save_adapter
from fedtune3d.models.tuning.residuals import clear_residuals, write_residuals

pytestmark = pytest.mark.usefixtures("one_thread")

CHOICES = {
    "q and v": Lora(rank=3, alpha=5, projections=("q", "v"), blocks="all"),
    "k": Lora(rank=2, projections=("k",)),
    "qkv": Lora(projections=("q", "k", "v"), blocks="all"),
    "out and mlp": Lora(projections=("out", "mlp"), blocks="all"),
    "everything": Lora(rank=2, projections=("q", "k", "v", "out", "mlp"), blocks="all"),
}


def plain_encoder() -> torch.nn.Module:
    encoder = build_encoder("tiny")
    initialise_random(encoder, seed=1)
    return encoder.eval()


def trained_model(settings: Lora) -> Classifier:
    """LoRA with adapters that do something: B drawn at random, as after training."""
    model = Classifier(plain_encoder(), build_head("linear", 384))
    apply_tuning(model, settings)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".lora_B." in name:
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


@pytest.fixture(scope="module")
def scans():
    return torch.randn(2, 1, 128, 128, 128, generator=torch.Generator().manual_seed(1))


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize("settings", CHOICES.values(), ids=CHOICES)
@torch.inference_mode()
def test_peft_loads_the_adapter_on_a_plain_encoder(settings, scans, tmp_path):
    model = trained_model(settings)
    features = model.encoder(scans)
    save_adapter(model, tmp_path)
    loaded = peft.PeftModel.from_pretrained(plain_encoder(), tmp_path).eval()
    assert relative_error(plain_encoder()(scans), features) > 1e-4
    assert relative_error(loaded(scans), features) < 1e-5
    merged = loaded.merge_and_unload().state_dict()
    for name, tensor in merge(model).items():
        torch.testing.assert_close(tensor, merged[name], rtol=1e-5, atol=1e-6, msg=name)


@pytest.mark.parametrize("settings", CHOICES.values(), ids=CHOICES)
@torch.inference_mode()
def test_the_merged_state_is_a_plain_encoder_with_the_same_features(settings, scans):
    model = trained_model(settings)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    encoder = build_encoder("tiny").eval()
    encoder.load_state_dict(merge(model), strict=True)
    assert relative_error(encoder(scans), model.encoder(scans)) < 1e-5
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_merging_untrained_adapters_gives_the_encoder_to_the_bit():
    model = Classifier(plain_encoder(), build_head("linear", 384))
    apply_tuning(model, Lora(blocks="all", projections=("q", "v", "mlp")))
    merged, plain = merge(model), plain_encoder().state_dict()
    assert merged.keys() == plain.keys()
    assert all(torch.equal(merged[name], plain[name]) for name in plain)


def test_merging_without_adapters_gives_the_encoder():
    model = Classifier(plain_encoder(), build_head("linear", 384))
    apply_tuning(model, Frozen())
    assert all(torch.equal(tensor, plain_encoder().state_dict()[name]) for name, tensor in merge(model).items())


def test_the_files_are_pefts_own(tmp_path):
    save_adapter(trained_model(CHOICES["q and v"]), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (config["peft_type"], config["r"], config["lora_alpha"]) == ("LORA", 3, 5)
    tensors = load_file(tmp_path / "adapter_model.safetensors")
    assert {name: tuple(tensor.shape) for name, tensor in tensors.items() if "blocks.0" in name} == {
        "base_model.model.blocks.0.attn.qkv.lora_A.weight": (6, 48),
        "base_model.model.blocks.0.attn.qkv.lora_B.weight": (144, 6),
    }
    untouched_third = tensors["base_model.model.blocks.0.attn.qkv.lora_B.weight"][48:96]
    assert not untouched_third.any()


def test_without_adapters_there_is_nothing_to_save(tmp_path):
    model = Classifier(plain_encoder(), build_head("linear", 384))
    with pytest.raises(InputError, match="expected a model tuned with LoRA to write its adapters; this one has none"):
        save_adapter(model, tmp_path / "adapter")
    assert not (tmp_path / "adapter").exists()


class TestResiduals:
    @pytest.fixture
    def model(self):
        return trained_model(Lora(blocks=(1,), projections=("q", "out")))

    @pytest.fixture
    def residuals(self):
        generator = torch.Generator().manual_seed(6)
        names = ("attn.qkv.q", "attn.proj")
        return {
            f"encoder.blocks.1.{name}.lora_residual.default.weight": torch.randn(48, 48, generator=generator)
            for name in names
        }

    def test_are_added_to_the_frozen_weights_once(self, model, residuals):
        before = merge(model)
        write_residuals(model, residuals)
        write_residuals(model, residuals)
        after = merge(model)
        torch.testing.assert_close(
            after["blocks.1.attn.proj.weight"] - before["blocks.1.attn.proj.weight"],
            residuals["encoder.blocks.1.attn.proj.lora_residual.default.weight"], rtol=1e-5, atol=1e-5,
        )  # fmt: skip
        moved = after["blocks.1.attn.qkv.weight"] - before["blocks.1.attn.qkv.weight"]
        torch.testing.assert_close(
            moved[:48], residuals["encoder.blocks.1.attn.qkv.q.lora_residual.default.weight"], rtol=1e-5, atol=1e-5
        )
        assert not moved[48:].any()
        write_residuals(model, {name: torch.zeros_like(tensor) for name, tensor in residuals.items()})
        assert all(torch.equal(tensor, before[name]) for name, tensor in merge(model).items())

    def test_are_gone_once_cleared(self, model, residuals):
        before = merge(model)
        clear_residuals(model)
        write_residuals(model, residuals)
        clear_residuals(model)
        assert all(torch.equal(tensor, before[name]) for name, tensor in merge(model).items())

    def test_are_those_of_exact_averaging(self, model, residuals):
        """In the adapted weight W + R + s B A, the rule's R and s are the model's."""
        names = tuple(sorted(name for name, _ in model.named_parameters() if ".lora_" in name))
        state = read_state(model, Trainable(names, names, prefix_end=2)) | residuals
        pairs = factor_pairs(state)
        assert {pair.residual for pair in pairs} == residuals.keys()
        write_residuals(model, residuals)
        moved = merge(model)["blocks.1.attn.proj.weight"] - plain_encoder().state_dict()["blocks.1.attn.proj.weight"]
        product = to_products(state, pairs, scaling=8 / 4)["encoder.blocks.1.attn.proj.lora_product.default.weight"]
        torch.testing.assert_close(moved, product.float(), rtol=1e-5, atol=1e-5)

    def test_leave_the_state_as_it_is(self, model, residuals):
        names = model.state_dict().keys()
        write_residuals(model, residuals)
        assert model.state_dict().keys() == names

    def test_forbid_an_adapter_file(self, model, residuals, tmp_path):
        write_residuals(model, residuals)
        with pytest.raises(InputError, match=r"exact LoRA averaging has changed the frozen weights.*export it merged"):
            save_adapter(model, tmp_path)

    def test_must_fit(self, model, residuals):
        name = "encoder.blocks.1.attn.proj.lora_residual.default.weight"
        with pytest.raises(InputError, match=rf"residuals: {name}: expected \(48, 48\), got \(2, 2\)"):
            write_residuals(model, {**residuals, name: torch.zeros(2, 2)})
        with pytest.raises(InputError, match=f"one per adapted layer, but {name} is missing"):
            write_residuals(model, {key: tensor for key, tensor in residuals.items() if key != name})
        with pytest.raises(InputError, match="but aaa belongs to no adapted layer"):
            write_residuals(model, {**residuals, "aaa": torch.zeros(2, 2)})
