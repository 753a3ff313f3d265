"""Who trains in a round follows from the seed and the round alone."""

from fedtune3d.federation.participation import choose_participants

SITES = ("D", "B", "A", "C", "E")


def test_all_sites_take_part_at_a_fraction_of_one() -> None:
    assert choose_participants(SITES, 1.0, 0, 1) == ("A", "B", "C", "D", "E")


def test_the_number_of_sites_is_rounded_up() -> None:
    assert [len(choose_participants(SITES, fraction, 0, 1)) for fraction in (0.01, 0.2, 0.21, 0.6, 0.61)] == [
        *(1, 1, 2, 3, 4)
    ]


def test_the_draw_follows_from_seed_and_round_whatever_the_order_of_the_sites() -> None:
    drawn = {(seed, round_): choose_participants(SITES, 0.4, seed, round_) for seed in (0, 1) for round_ in range(1, 9)}
    for (seed, round_), sites in drawn.items():
        assert choose_participants(tuple(sorted(SITES)), 0.4, seed, round_) == sites
        assert list(sites) == sorted(set(sites))
    assert len(set(drawn.values())) > 3  # ten pairs are possible
    assert [drawn[0, round_] for round_ in range(1, 9)] != [drawn[1, round_] for round_ in range(1, 9)]
