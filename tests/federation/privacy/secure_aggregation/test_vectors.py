"""Named tensors become a vector and come back; two layouts never pass for one."""

import pytest
import torch

from fedtune3d.federation.privacy.secure_aggregation.vectors import flatten, layout_sha256, length_of, unflatten

PARTS = {
    "state": {"b": torch.arange(6.0).reshape(2, 3), "a": torch.tensor([True, False]), "n": torch.tensor(7)},
    "control": {"b": torch.tensor([0.5])},
}


def test_tensors_come_back_from_the_vector() -> None:
    values = flatten(PARTS)
    assert values.tolist() == [0.5, 1, 0, 0, 1, 2, 3, 4, 5, 7]
    assert length_of(PARTS) == len(values)
    back = unflatten(values, PARTS)
    for part, state in PARTS.items():
        for name, tensor in state.items():
            assert torch.equal(back[part][name], tensor.double())
    with pytest.raises(ValueError, match="expected 10 values, got 9"):
        unflatten(values[:9], PARTS)


def test_nothing_is_an_empty_vector() -> None:
    assert flatten({"state": {}}).shape == (0,)


@pytest.mark.parametrize(
    "other",
    [
        PARTS | {"control": {"c": torch.tensor([0.5])}},
        PARTS | {"control": {"b": torch.zeros(1, 1)}},
        {"state": PARTS["state"]},
        {"state": PARTS["state"], "contro": {"l/b": torch.tensor([0.5])}},
    ],
)
def test_layouts_differ_by_part_name_and_shape(other: dict) -> None:
    assert layout_sha256(other) != layout_sha256(PARTS)
    assert layout_sha256({part: dict(reversed(state.items())) for part, state in PARTS.items()}) == layout_sha256(PARTS)
