import sys

import pytest
import torch

from fedtune3d._utils.errors import InputError
from fedtune3d.models.references import ResNet18Reference
from fedtune3d.models.tuning import Frozen, Full, Lora, apply_tuning, read_state, write_state


@pytest.fixture(scope="module")
def model():
    return ResNet18Reference(seed=1)


def test_is_the_studys_size(model):
    assert sum(parameter.numel() for parameter in model.parameters()) == 33_161_026


@pytest.mark.ci
def test_scans_become_two_logits_in_one_stage(model):
    scans = torch.randn(1, 1, 128, 128, 128, generator=torch.Generator().manual_seed(0))
    model.eval()
    with torch.inference_mode():
        logits = model(scans)
        assert torch.equal(model.run_stages(scans, 0, model.stage_count), logits)
        assert model.run_stages(scans, 1, 1) is scans
    assert logits.shape == (1, 2)
    with pytest.raises(ValueError, match="expected 0 <= start <= stop <= 1, got 0 and 2"):
        model.run_stages(scans, 0, 2)


def test_a_training_step_changes_nothing_but_the_state(model):
    trainable = apply_tuning(model, Full())
    assert trainable.prefix_end == 0
    assert set(trainable.names) == set(model.state_dict())
    before = read_state(model, trainable)
    model.train()
    scan = torch.randn(1, 1, 64, 64, 64, generator=torch.Generator().manual_seed(0))
    optimiser = torch.optim.SGD([model.get_parameter(name) for name in trainable.parameters], lr=0.1)
    torch.nn.functional.cross_entropy(model(scan), torch.tensor([1])).backward()
    optimiser.step()
    after = read_state(model, trainable)
    moved = {name for name in trainable.names if not torch.equal(before[name], after[name])}
    assert {"network.bn1.running_mean", "network.bn1.running_var", "network.bn1.num_batches_tracked"} <= moved
    assert moved == set(trainable.names)
    write_state(model, trainable, before)
    assert all(torch.equal(tensor, before[name]) for name, tensor in read_state(model, trainable).items())


def test_the_seed_alone_decides_the_weights(model):
    before = torch.get_rng_state()
    other = ResNet18Reference(seed=2)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(other.network.conv1.weight, model.network.conv1.weight)
    torch.manual_seed(7)
    assert torch.equal(ResNet18Reference(seed=2).network.conv1.weight, other.network.conv1.weight)


@pytest.mark.parametrize("settings", [Frozen(), Lora()])
def test_has_no_encoder_to_keep(model, settings):
    with pytest.raises(InputError, match=r"ResNet18Reference has no encoder to keep, so '(frozen|lora)' does not fit"):
        apply_tuning(model, settings)


def test_without_monai_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "monai.networks.nets.resnet", None)
    with pytest.raises(
        InputError, match=r"needs the package monai; install it with: pip install 'fedtune3d\[reference\]'"
    ):
        ResNet18Reference()
