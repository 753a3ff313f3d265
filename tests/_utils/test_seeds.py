import torch

from fedtune3d._utils.seeds import global_draws_from


def test_draws_follow_from_causes_and_leave_the_global_generator_as_it_was() -> None:
    before = torch.get_rng_state()
    draws = []
    for causes in [(1, "A"), (1, "A"), (1, "B")]:
        with global_draws_from(*causes):
            draws.append(torch.rand(3))
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert torch.equal(torch.get_rng_state(), before)
