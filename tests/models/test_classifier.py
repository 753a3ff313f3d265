import pytest
import torch

from fedtune3d.models.classifier import Classifier
from fedtune3d.models.encoders import build_encoder
from fedtune3d.models.encoders.contract import initialise_random
from fedtune3d.models.heads import build_head

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def model():
    encoder = build_encoder("tiny")
    initialise_random(encoder, seed=1)
    return Classifier(encoder, build_head("conv_s", 384))


@pytest.fixture
def scans():
    return torch.randn(2, 1, 128, 128, 128, generator=torch.Generator().manual_seed(1))


def test_state_names_are_those_of_encoder_and_head(model):
    assert {name.split(".")[0] for name in model.state_dict()} == {"encoder", "head"}


@pytest.mark.parametrize("cut", range(6))  # the tiny encoder has four stages
def test_stages_cut_anywhere_give_the_forward_pass(model, scans, cut):
    with torch.inference_mode():
        whole = model(scans)
        prefix = model.run_stages(scans, 0, cut)
        rest = model.run_stages(prefix, cut, model.stage_count)
    assert whole.shape == (2, 2)
    assert torch.equal(rest, whole)


def test_features_stand_before_the_last_stage(model, scans):
    with torch.inference_mode():
        features = model.run_stages(scans, 0, model.stage_count - 1)
    assert features.shape == (2, 384, 8, 8, 8)


def test_stages_out_of_range_are_refused(model, scans):
    with pytest.raises(ValueError, match=r"expected 0 <= start <= stop <= \d+, got 0 and 99"):
        model.run_stages(scans, 0, 99)


def test_gradient_checkpointing_gives_the_same_gradients(model, scans):
    model(scans).sum().backward()
    kept = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    model.gradient_checkpointing = True
    model(scans).sum().backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, kept[name], msg=name)


def test_gradient_checkpointing_keeps_less(model, scans):
    def saved_bytes() -> int:
        sizes = {}
        with torch.autograd.graph.saved_tensors_hooks(
            lambda tensor: sizes.setdefault(tensor.data_ptr(), tensor.untyped_storage().nbytes()) and tensor,
            lambda t: t,
        ):
            model(scans)
        return sum(sizes.values())

    plain = saved_bytes()
    model.gradient_checkpointing = True
    assert saved_bytes() < plain
