import pytest

from fedtune3d.simulation.site_effects import draw_site_effects


@pytest.mark.parametrize("count", [1, 4, 9])
def test_few_sites_are_spread_over_the_whole_of_each_range(count: int) -> None:
    """One site in each of `count` equal parts of a range (Latin hypercube sampling)."""
    effects = draw_site_effects(count, seed=3)
    for name, low, high in (("positive_share", 0.3, 0.7), ("mean_age", 70.0, 74.0), ("noise", 0.012, 0.035)):
        parts = [int(count * (getattr(effect, name) - low) / (high - low)) for effect in effects]
        assert sorted(parts) == list(range(count)), name


def test_effects_follow_from_seed_and_count() -> None:
    assert draw_site_effects(3, seed=1) == draw_site_effects(3, seed=1)
    assert draw_site_effects(3, seed=1) != draw_site_effects(3, seed=2)
