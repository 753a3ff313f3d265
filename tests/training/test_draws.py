"""Draws of differential privacy: repeatable from their causes in a simulation, and never from the system."""

from dataclasses import replace

import pytest
import torch
from scipy.stats import kstest

from fedtune3d.training.draws import Draws, SeededDraws, SystemDraws, system_draws
from fedtune3d.training.local import LocalRound

ROUND = LocalRound(seed=1, site="A", round=2, rounds=4)


@pytest.mark.parametrize("draws", [SeededDraws(ROUND), SystemDraws()], ids=["seeded", "system"])
def test_draws_follow_their_distributions(draws: Draws) -> None:
    """Kolmogorov and Smirnov's test; one of ten thousand right generators fails it."""
    uniform, normal = draws.uniform(20_000), draws.normal(20_000)
    assert (uniform.dtype, normal.dtype) == (torch.float64, torch.float64)
    assert 0 <= uniform.min() < 1e-3
    assert 1 - 1e-3 < uniform.max() < 1
    assert kstest(uniform.numpy(), "uniform").pvalue > 1e-4
    assert kstest(normal.numpy(), "norm").pvalue > 1e-4
    assert abs(torch.corrcoef(torch.stack([normal[:-1], normal[1:]]))[0, 1]) < 0.04
    assert len(draws.uniform(0)) == len(draws.normal(0)) == 0


def test_draws_of_a_simulation_follow_from_seed_site_and_round() -> None:
    first = SeededDraws(ROUND)
    assert torch.equal(first.normal(5), SeededDraws(ROUND).normal(5))
    assert torch.equal(first.uniform(5), SeededDraws(ROUND).uniform(5))
    for other in (replace(ROUND, seed=2), replace(ROUND, site="B"), replace(ROUND, round=3)):
        assert not torch.equal(SeededDraws(ROUND).normal(5), SeededDraws(other).normal(5))
        assert not torch.equal(SeededDraws(ROUND).uniform(5), SeededDraws(other).uniform(5))


def test_draws_of_the_system_follow_from_nothing() -> None:
    torch.manual_seed(0)
    before = system_draws(ROUND).normal(5)
    torch.manual_seed(0)
    assert not torch.equal(before, system_draws(ROUND).normal(5))
