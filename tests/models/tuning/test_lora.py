import subprocess
import sys

import pytest
import torch

from fedtune3d._utils.errors import InputError
from fedtune3d.models.classifier import Classifier
from fedtune3d.models.encoders import build_encoder
from fedtune3d.models.encoders.contract import initialise_random
from fedtune3d.models.heads import build_head
from fedtune3d.models.tuning import Lora, apply_tuning, read_state
from fedtune3d.models.tuning.lora import chosen_blocks

pytestmark = pytest.mark.usefixtures("one_thread")

GLOBAL_BLOCKS = (2, 5, 8, 11)


def new_model() -> Classifier:
    encoder = build_encoder("tiny")
    initialise_random(encoder, seed=1)
    return Classifier(encoder, build_head("linear", 384))


@pytest.mark.parametrize(
    ("blocks", "numbers"),
    [("global", [2, 5, 8, 11]), ("last:2", [10, 11]), ("all", list(range(12))), ((7, 3, 7), [3, 7]), ((0,), [0])],
)
def test_blocks_by_name_and_by_number(blocks, numbers):
    assert chosen_blocks(blocks, 12, GLOBAL_BLOCKS) == numbers


@pytest.mark.parametrize("blocks", ["last:0", "last:13", "last:x", "last", "first:2", (), (12,), (-1,)])
def test_blocks_that_are_not_there_are_refused(blocks):
    with pytest.raises(
        InputError, match=r"lora\.blocks: expected block numbers from 0 to 11, 'global', 'all' or 'last:k', got"
    ):
        chosen_blocks(blocks, 12, GLOBAL_BLOCKS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 0}, r"lora\.rank: expected a whole number from 1 to 4,096, got 0"),
        ({"alpha": 0}, r"lora\.alpha: expected a number above 0 and at most 1,000,000, got 0"),
        ({"dropout": 1.0}, r"lora\.dropout: expected a number from 0 to below 1, got 1\.0"),
        ({"projections": ("query",)}, r"lora\.projections: expected any of q, k, v, out, mlp \(at least 1\), got"),
        ({"projections": ()}, r"lora\.projections: expected any of"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        Lora(**options)


@pytest.mark.parametrize(
    ("projections", "layers"),
    [
        (("q",), {"attn.qkv.q"}),
        (("v", "k"), {"attn.qkv.k", "attn.qkv.v"}),
        (("out",), {"attn.proj"}),
        (("mlp", "q"), {"mlp.lin1", "mlp.lin2", "attn.qkv.q"}),
    ],
)
def test_only_the_chosen_projections_of_the_chosen_blocks_train(projections, layers):
    model = new_model()
    trainable = apply_tuning(model, Lora(blocks=(0,), projections=projections))
    adapters = {f"encoder.blocks.0.{layer}.lora_{factor}.default.weight" for layer in layers for factor in "AB"}
    assert set(trainable.names) == adapters | {"head.2.weight", "head.2.bias"}
    assert trainable.prefix_end == 1


def test_a_rank_r_adapter_of_one_projection_has_rank_times_in_plus_out_parameters():
    model = new_model()
    trainable = apply_tuning(model, Lora(rank=3, blocks=(1,), projections=("q", "v")))
    adapters = [model.get_parameter(name).numel() for name in trainable.names if ".lora_" in name]
    assert sum(adapters) == 2 * 3 * (48 + 48)


def test_a_is_drawn_from_the_seed_and_b_is_zero():
    def adapters(seed: int) -> dict[str, torch.Tensor]:
        model = new_model()
        before = torch.get_rng_state()
        trainable = apply_tuning(model, Lora(blocks="all"), seed=seed)
        assert torch.equal(torch.get_rng_state(), before)
        return read_state(model, trainable)

    first, again, other = adapters(3), adapters(3), adapters(4)
    down = [name for name in first if ".lora_A." in name]
    assert len(down) == 4
    assert all(torch.equal(first[name], again[name]) and not torch.equal(first[name], other[name]) for name in down)
    assert all(first[name].std() > 0 for name in down)
    assert not any(first[name].any() for name in first if ".lora_B." in name)


def test_a_second_tuning_is_refused():
    model = new_model()
    apply_tuning(model, Lora())
    with pytest.raises(ValueError, match="the encoder has adapters already"):
        apply_tuning(model, Lora())


@pytest.mark.ci
def test_peft_is_imported_only_when_used():
    script = (
        "import sys; from fedtune3d.models.classifier import Classifier;"
        "from fedtune3d.models.tuning import Frozen, apply_tuning;"
        "from fedtune3d.models.encoders import build_encoder; from fedtune3d.models.heads import build_head;"
        "apply_tuning(Classifier(build_encoder('tiny'), build_head('linear', 384)), Frozen());"
        "assert not {'peft', 'transformers', 'monai'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_without_peft_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(
        InputError, match=r"'lora' needs the package peft; install it with: pip install 'fedtune3d\[lora\]'"
    ):
        apply_tuning(new_model(), Lora())
