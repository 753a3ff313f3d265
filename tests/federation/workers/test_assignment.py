"""Which worker holds which sites."""

from fedtune3d.federation.workers.assignment import assign_sites, helped_before, last_sites


def test_large_sites_are_apart_by_hand() -> None:
    """141 | 104, 90 to the other, as 104 < 141, and 65 back to the first, as 141 < 194."""
    assert assign_sites({"A": 141, "B": 65, "C": 104, "D": 90}, 2) == {"A": 0, "C": 1, "D": 1, "B": 0}


def test_equal_sites_go_by_their_names_whatever_the_order() -> None:
    expected = {"A": 0, "B": 1, "C": 0, "D": 1}
    assert assign_sites(dict.fromkeys("ABCD", 50), 2) == expected
    assert assign_sites(dict.fromkeys("DBCA", 50), 2) == expected


def test_one_worker_holds_all_and_more_workers_than_sites_leave_some_without() -> None:
    assert assign_sites({"A": 3, "B": 5}, 1) == {"A": 0, "B": 0}
    assert assign_sites({"A": 3, "B": 5}, 4) == {"B": 0, "A": 1}


def test_graham_bound_holds_where_it_is_tight() -> None:
    """Two workers and 3, 3, 2, 2, 2: the best maximum is 6, the rule's is 7 = 6 · (4/3 − 1/6)."""
    sizes = {"A": 3, "B": 3, "C": 2, "D": 2, "E": 2}
    holders = assign_sites(sizes, 2)
    assert max(sum(size for site, size in sizes.items() if holders[site] == worker) for worker in (0, 1)) == 7


def test_the_last_site_of_a_worker_is_that_with_the_last_name() -> None:
    assert sorted(last_sites({"d": 0, "a": 1, "c": 1, "b": 0})) == ["c", "d"]
    assert last_sites({}) == []


def test_the_worker_with_fewer_scans_helps_where_that_evens_them_out_by_hand() -> None:
    """206 and 194 scans; a score of the last site of the first, C, counts as 0.12 · 104 = 12.48, which is above 12."""
    holders = {"A": 0, "B": 1, "C": 0, "D": 1}
    assert helped_before({"A": 102, "B": 97, "C": 104, "D": 97}, holders) == {}
    assert helped_before({"A": 103, "B": 97, "C": 104, "D": 97}, holders) == {"D": "C"}
    assert helped_before({"A": 50, "B": 97, "C": 104, "D": 97}, holders) == {"C": "D"}


def test_of_three_workers_the_least_busy_helps_the_busiest_and_one_helps_nobody() -> None:
    assert helped_before({"A": 90, "B": 50, "C": 70}, {"A": 0, "B": 1, "C": 2}) == {"B": "A"}
    assert helped_before({"A": 90, "B": 50}, {"A": 0, "B": 0}) == helped_before({}, {}) == {}
