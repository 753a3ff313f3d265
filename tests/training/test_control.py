import torch

from fedtune3d.training.control import control_change, gradient_offset


def test_offset_is_the_difference_of_the_controls_and_a_new_site_has_zero() -> None:
    server = {"w": torch.tensor([1.0, 2.0]), "frozen": torch.tensor([9.0])}
    assert gradient_offset(server, {"w": torch.tensor([0.5, 3.0])}, ["w"])["w"].tolist() == [0.5, -1.0]
    assert gradient_offset(server, None, ["w"])["w"].tolist() == [1.0, 2.0]


def test_change_of_the_control_is_option_two_with_each_names_own_rate() -> None:
    server = {"a": torch.tensor([1.0]), "b": torch.tensor([0.0])}
    received = {"a": torch.tensor([3.0]), "b": torch.tensor([3.0])}
    sent = {"a": torch.tensor([1.0]), "b": torch.tensor([1.0])}
    change = control_change(server, received, sent, steps=4, rates={"a": 0.5, "b": 0.25})
    assert change == {"a": torch.tensor([0.0]), "b": torch.tensor([2.0])}
