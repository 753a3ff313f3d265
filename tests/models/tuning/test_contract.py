"""What every head under every tuning owes, on the tiny encoder."""

import copy

import pytest
import torch

from fedtune3d._utils.errors import InputError
from fedtune3d.models.classifier import Classifier
from fedtune3d.models.encoders import build_encoder
from fedtune3d.models.encoders.contract import initialise_random
from fedtune3d.models.heads import build_head, head_names
from fedtune3d.models.tuning import Frozen, Full, Lora, apply_tuning, read_state, write_state

pytestmark = pytest.mark.usefixtures("one_thread")

TUNINGS = {
    "frozen": Frozen(),
    "full": Full(),
    "full, checkpointed": Full(gradient_checkpointing=True),
    "lora": Lora(),
    "lora everywhere": Lora(rank=2, blocks="all", projections=("q", "k", "v", "out", "mlp"), dropout=0.1),
    "lora, one block": Lora(blocks=(0,), projections=("v", "out")),
}
PREFIX_ENDS = {"frozen": 4, "full": 0, "full, checkpointed": 0, "lora": 2, "lora everywhere": 1, "lora, one block": 1}


def new_model(head: str) -> Classifier:
    encoder = build_encoder("tiny")
    initialise_random(encoder, seed=1)
    return Classifier(encoder, build_head(head, 384, seed=1))


@pytest.fixture(scope="module")
def scans():
    return torch.randn(2, 1, 128, 128, 128, generator=torch.Generator().manual_seed(1))


CASES = [
    (head, tuning)
    for head in head_names()
    for tuning in TUNINGS
    if head == "linear" or tuning in ("frozen", "full", "lora")
]


@pytest.fixture(scope="module", params=CASES, ids=" / ".join)
def case(request, scans):
    """A model after a training step, with what it was before."""
    head, tuning = request.param
    model = new_model(head)
    with torch.inference_mode():
        untuned = model.eval()(scans)
    trainable = apply_tuning(model, TUNINGS[tuning], seed=3)
    with torch.inference_mode():
        tuned = model(scans)
    before = copy.deepcopy(model.state_dict())
    optimiser = torch.optim.AdamW([model.get_parameter(name) for name in trainable.parameters], lr=1e-2)
    model.train()
    for _ in range(2):  # in the first step A gets no gradient, since B is zero
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(model(scans), torch.tensor([0, 1])).backward()
        optimiser.step()
    return tuning, model.eval(), trainable, before, untuned, tuned


def test_tuning_leaves_the_outputs_as_they_were(case):
    _, _, _, _, untuned, tuned = case
    torch.testing.assert_close(tuned, untuned, rtol=1e-5, atol=1e-6)


def test_frozen_weights_stay_to_the_bit_and_all_else_trains(case):
    _, model, trainable, before, _, _ = case
    moved = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert moved == set(trainable.names)


def test_the_payload_is_what_trains(case):
    _, model, trainable, _, _, _ = case
    state = read_state(model, trainable)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert tuple(state) == trainable.names == tuple(sorted(trainable.names))
    assert set(trainable.parameters) == trained
    assert set(trainable.names) - trained <= {name for name, _ in model.named_buffers()}
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in state.items())


def test_writing_what_was_read_changes_nothing(case):
    _, model, trainable, _, _, _ = case
    state = read_state(model, trainable)
    disturbed = {name: tensor + 1 for name, tensor in state.items()}
    write_state(model, trainable, disturbed)
    assert all(torch.equal(tensor, disturbed[name]) for name, tensor in read_state(model, trainable).items())
    write_state(model, trainable, state)
    assert all(torch.equal(tensor, state[name]) for name, tensor in read_state(model, trainable).items())


def test_the_prefix_ends_where_stated(case, scans):
    tuning, model, trainable, _, _, _ = case
    assert trainable.prefix_end == PREFIX_ENDS[tuning]
    with torch.inference_mode():
        prefix = model.run_stages(scans, 0, trainable.prefix_end)
        assert torch.equal(model.run_stages(prefix, trainable.prefix_end, model.stage_count), model(scans))


def test_the_prefix_holds_nothing_trained(case, scans):
    _, model, trainable, _, _, _ = case
    assert not model.run_stages(scans, 0, trainable.prefix_end).requires_grad
    if trainable.prefix_end < model.stage_count:
        assert model.run_stages(scans, 0, trainable.prefix_end + 1).requires_grad


def test_every_trained_parameter_stands_after_the_prefix(case, scans):
    _, model, trainable, _, _, _ = case
    with torch.no_grad():
        prefix = model.run_stages(scans, 0, trainable.prefix_end)
    model.zero_grad()
    model.run_stages(prefix, trainable.prefix_end, model.stage_count).square().sum().backward()
    assert all(model.get_parameter(name).grad is not None for name in trainable.parameters)


class TestStates:
    @pytest.fixture
    def tuned(self):
        model = new_model("linear")
        trainable = apply_tuning(model, Frozen())
        return model, trainable, read_state(model, trainable)

    def test_reading_clones(self, tuned):
        model, trainable, state = tuned
        next(iter(state.values())).add_(1)
        assert not torch.equal(read_state(model, trainable)[trainable.names[0]], state[trainable.names[0]])

    def test_a_missing_name_is_named(self, tuned):
        model, trainable, state = tuned
        del state["head.2.bias"]
        with pytest.raises(
            InputError, match=r"expected the 2 trained tensors, but head\.2\.bias is missing \(1 missing, 0"
        ):
            write_state(model, trainable, state)

    def test_a_strange_name_is_named(self, tuned):
        model, trainable, state = tuned
        state["encoder.pos_embed"] = torch.zeros(1)
        with pytest.raises(
            InputError, match=r"encoder\.pos_embed does not train in this model \(0 missing, 1 strange\)"
        ):
            write_state(model, trainable, state)

    @pytest.mark.parametrize(
        ("bad", "got"), [(torch.zeros(3), r"\(3,\) torch.float32"), (torch.zeros(2).half(), r"\(2,\) torch.float16")]
    )
    def test_shapes_and_dtypes_are_strict_and_nothing_is_half_written(self, tuned, bad, got):
        model, trainable, state = tuned
        before = read_state(model, trainable)
        state = {"head.2.weight": torch.ones(2, 384), "head.2.bias": bad}
        with pytest.raises(InputError, match=rf"state: head\.2\.bias: expected \(2,\) torch\.float32, got {got}"):
            write_state(model, trainable, state)
        assert all(torch.equal(tensor, before[name]) for name, tensor in read_state(model, trainable).items())

    def test_running_statistics_of_a_trained_head_are_covered(self):
        model = new_model("linear")
        model.head = torch.nn.Sequential(torch.nn.BatchNorm3d(384), model.head)
        trainable = apply_tuning(model, Frozen())
        assert {"head.0.running_mean", "head.0.running_var", "head.0.num_batches_tracked"} == set(
            trainable.names
        ) - set(trainable.parameters)
