from dataclasses import dataclass

from fedtune3d.evaluation.field_sums import add_fields


@dataclass(frozen=True)
class Sums:
    people: int
    total: float


def test_fields_are_added_without_loss_in_any_order() -> None:
    parts = [Sums(1, 1e16), Sums(2, 1.0), Sums(3, -1e16)]
    assert add_fields(Sums, parts) == add_fields(Sums, parts[::-1]) == Sums(6, 1.0)


def test_without_parts_there_are_zeros_of_each_type() -> None:
    nothing = add_fields(Sums, [])
    assert (nothing, type(nothing.people), type(nothing.total)) == (Sums(0, 0.0), int, float)
