import pytest
import torch
from torch import nn

from fedtune3d._utils.errors import InputError
from fedtune3d.models.heads import build_head, head_names
from fedtune3d.testing import HEAD_CHECKS

pytestmark = pytest.mark.usefixtures("one_thread")

PARAMETERS = {"linear": 770, "conv_s": 1_709_442, "conv_l": 6_933_634}


@pytest.fixture
def features():
    return torch.randn(3, 384, 8, 8, 8, generator=torch.Generator().manual_seed(0))


def count(head: nn.Module) -> int:
    return sum(parameter.numel() for parameter in head.parameters())


def test_the_registry_finds_the_files():
    assert head_names() == ("conv_l", "conv_s", "linear")


def test_unknown_head_names_the_nearest():
    with pytest.raises(InputError, match=r"unknown head 'conv_x', did you mean 'conv_s'\? \(known: conv_l, conv_s"):
        build_head("conv_x", 384)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.ci if name == "conv_l" else ()) for name in head_names()]
)
class TestEveryHead:
    @pytest.mark.parametrize("check", HEAD_CHECKS, ids=lambda check: check.__name__)
    def test_holds_to_the_contract(self, name, check):
        check(name)

    def test_gives_two_logits_a_scan(self, name, features):
        assert build_head(name, 384)(features).shape == (3, 2)

    def test_gives_as_many_outputs_as_it_is_asked_for(self, name, features):
        assert [build_head(name, 384, outputs=outputs)(features).shape[1] for outputs in (1, 3)] == [1, 3]

    def test_has_the_stated_number_of_parameters(self, name, features):
        assert count(build_head(name, 384)) == PARAMETERS[name]

    def test_same_seed_same_weights_and_global_state_untouched(self, name, features):
        before = torch.get_rng_state()
        first, second, other = (build_head(name, 384, seed=seed).state_dict() for seed in (3, 3, 4))
        assert torch.equal(torch.get_rng_state(), before)
        assert all(torch.equal(first[key], second[key]) for key in first)
        assert any(not torch.equal(first[key], other[key]) for key in first)

    def test_a_scan_does_not_depend_on_its_batch(self, name, features):
        head = build_head(name, 384).train()
        torch.testing.assert_close(head(features)[1:2], head(features[1:2]), rtol=1e-4, atol=1e-5)

    def test_has_no_running_statistics(self, name, features):
        assert not list(build_head(name, 384).buffers())

    def test_learns_two_patterns_apart(self, name, features):
        generator = torch.Generator().manual_seed(2)
        labels = torch.arange(4) % 2
        common, differing = torch.randn(2, 1, 384, 8, 8, 8, generator=generator)
        channels = torch.randn(1, 384, 1, 1, 1, generator=generator)
        sign = (2.0 * labels - 1).view(-1, 1, 1, 1, 1)
        x = common + 0.2 * sign * (differing + channels) + 0.5 * torch.randn(4, 384, 8, 8, 8, generator=generator)
        head = build_head(name, 384)
        optimiser = torch.optim.AdamW(head.parameters(), lr=1e-3)
        for _ in range(10):
            optimiser.zero_grad()
            nn.functional.cross_entropy(head(x), labels).backward()
            optimiser.step()
        assert torch.equal(head(x).argmax(1), labels)


def test_the_studys_sizes_hold():
    assert count(build_head("linear", 384)) == 770
    assert 1.6e6 <= count(build_head("conv_s", 384)) <= 1.8e6
    assert 5e6 <= count(build_head("conv_l", 384)) <= 10e6


def test_other_channel_counts_fit():
    assert build_head("linear", in_channels=16)(torch.zeros(1, 16, 8, 8, 8)).shape == (1, 2)
