import pytest
import torch

from fedtune3d._utils.errors import InputError
from fedtune3d.aggregation.lora_factors import averaging_error, factor_pairs, from_products, to_products, zero_residuals


def test_pairs_by_the_names_of_peft():
    names = ["m.q.lora_A.default.weight", "m.v.lora_A.weight"]
    state = {name: torch.zeros(2, 5) for name in names}
    state |= {name.replace("_A.", "_B."): torch.zeros(4, 2) for name in names}
    state["head.lora_A_like.weight"] = torch.zeros(1)
    pairs = factor_pairs(state)
    assert [pair.a for pair in pairs] == names
    assert pairs[0].b == "m.q.lora_B.default.weight"
    assert pairs[1].residual == "m.v.lora_residual.weight"
    assert zero_residuals(state, pairs)["m.q.lora_residual.default.weight"].shape == (4, 5)


def test_bad_factors_are_refused():
    a, b = "q.lora_A.weight", "q.lora_B.weight"
    with pytest.raises(InputError, match=r"expected LoRA factors .* got none; choose tuning lora"):
        factor_pairs({"w": torch.zeros(1)})
    with pytest.raises(InputError, match=r"q.lora_A.weight: expected the matching factor q.lora_B.weight"):
        factor_pairs({a: torch.zeros(2, 5)})
    with pytest.raises(InputError, match=r"shapes \(rank, in\) and \(out, rank\), got \(2, 5\) and \(4, 3\)"):
        factor_pairs({a: torch.zeros(2, 5), b: torch.zeros(4, 3)})


def test_products_and_back():
    random = torch.Generator().manual_seed(1)
    state = {
        "q.lora_A.weight": torch.randn(2, 5, generator=random),
        "q.lora_B.weight": torch.randn(4, 2, generator=random),
        "q.lora_residual.weight": torch.randn(4, 5, generator=random),
        "head": torch.randn(3, generator=random),
    }
    pairs = factor_pairs(state)
    products = to_products(state, pairs, scaling=2.0)
    assert set(products) == {"q.lora_product.weight", "head"}
    by_hand = state["q.lora_residual.weight"] + 2 * state["q.lora_B.weight"] @ state["q.lora_A.weight"]
    torch.testing.assert_close(products["q.lora_product.weight"].float(), by_hand)
    back = from_products(products, state, pairs, scaling=2.0)
    assert set(back) == set(state)
    for name, tensor in state.items():
        torch.testing.assert_close(back[name], tensor, rtol=0, atol=1e-6)


def test_averaging_error_by_hand(make_update):
    # Products 1·1 and 3·3 have the mean 5; the means 2 and 2 have the product 4.
    updates = [
        make_update(s, {"q.lora_A.weight": [[v]], "q.lora_B.weight": [[v]]}) for s, v in (("A", 1.0), ("B", 3.0))
    ]
    pairs = factor_pairs(updates[0].load("state"))
    assert averaging_error(updates, {"A": 0.5, "B": 0.5}, pairs) == pytest.approx(0.2)
    assert averaging_error(updates[:1], {"A": 1.0}, pairs) == 0.0
    nothing = make_update("A", {"q.lora_A.weight": [[1.0]], "q.lora_B.weight": [[0.0]]})
    assert averaging_error([nothing], {"A": 1.0}, pairs) == 0.0
