import pytest
import torch

from fedtune3d.aggregation.average import in_site_order, shares, weighted_average
from fedtune3d.aggregation.contract import Update


def test_weights_by_amount(state_of, make_update):
    updates = [make_update("B", {"w": [4.0, 8.0]}), make_update("A", {"w": [0.0, 4.0]})]
    result = weighted_average(state_of({"w": [9.0, 9.0]}), updates, {"A": 3, "B": 1})
    assert result["w"].tolist() == [1.0, 5.0]


def test_loads_one_update_at_a_time_and_none_of_amount_zero(state_of):
    loaded: list[str] = []

    def load_of(site):
        def load(part):
            loaded.append(f"{site}:{part}")
            return state_of({"w": [1.0]})

        return load

    updates = [Update(site, 1, load_of(site)) for site in ("C", "A", "B")]
    weighted_average(state_of({"w": [0.0]}), updates, {"A": 1, "B": 0, "C": 2})
    assert loaded == ["A:state", "C:state"]


def test_integers_round_half_to_even_and_booleans_go_by_majority(state_of, make_update):
    state = {"count": torch.tensor(0), "on": torch.tensor([False, False, True])}
    updates = [
        make_update("A", {"count": torch.tensor(2), "on": torch.tensor([True, True, False])}),
        make_update("B", {"count": torch.tensor(3), "on": torch.tensor([False, True, False])}),
    ]
    result = weighted_average(state, updates, {"A": 1, "B": 1})
    assert result["count"].item() == 2
    assert result["count"].dtype == torch.int64
    assert result["on"].tolist() == [True, True, False]


def test_keeps_half_precision(make_update):
    state = {"w": torch.zeros(3, dtype=torch.float16)}
    updates = [make_update(site, {"w": torch.full((3,), 60000.0, dtype=torch.float16)}) for site in "AB"]
    result = weighted_average(state, updates, {"A": 7, "B": 7})
    assert result["w"].dtype == torch.float16
    assert result["w"].tolist() == [60000.0] * 3


def test_equals_the_exact_mean_where_float32_sums_would_drift(make_update):
    values = torch.rand(200, generator=torch.Generator().manual_seed(1)) * 1e4
    updates = [make_update(f"site-{index:03}", {"w": values[index : index + 1]}) for index in range(200)]
    result = weighted_average({"w": torch.zeros(1)}, updates, {update.site: 1 for update in updates})
    assert result["w"].item() == values.double().mean().float().item()


@pytest.mark.parametrize(
    ("received", "message"),
    [
        ({"w": [1.0], "v": [1.0]}, "site B: v not expected"),
        ({}, "site B: w missing"),
        ({"w": [1.0, 2.0]}, r"site B: w: expected shape \(1,\), got \(2,\)"),
        ({"w": torch.tensor([1.0], dtype=torch.float64)}, "site B: w: expected torch.float32, got torch.float64"),
        ({"w": [float("nan")]}, "site B: w: contains NaN or infinite values"),
        ({"w": [float("-inf")]}, "site B: w: contains NaN or infinite values"),
    ],
)
def test_refuses_an_update_by_the_name_of_its_site(state_of, make_update, received, message):
    updates = [make_update("A", {"w": [1.0]}), make_update("B", received)]
    with pytest.raises(ValueError, match=message):
        weighted_average(state_of({"w": [0.0]}), updates, {"A": 1, "B": 1})


def test_refuses_no_update_two_of_a_site_and_zero_examples(make_update):
    with pytest.raises(ValueError, match="no update"):
        in_site_order([])
    with pytest.raises(ValueError, match="site A: two updates"):
        in_site_order([make_update("A", {}), make_update("B", {}), make_update("A", {})])
    with pytest.raises(ValueError, match="site A: expected at least 1 example, got 0"):
        in_site_order([make_update("A", {}, examples=0)])


def test_shares_refuse_what_is_no_weight():
    assert shares({"B": 3, "A": 1}) == {"A": 0.25, "B": 0.75}
    with pytest.raises(ValueError, match="site A: expected a finite weight of at least 0, got -1"):
        shares({"A": -1, "B": 2})
    with pytest.raises(ValueError, match="site A: expected a finite weight"):
        shares({"A": float("nan")})
    with pytest.raises(ValueError, match="positive weight for at least one site"):
        shares({"A": 0.0})
