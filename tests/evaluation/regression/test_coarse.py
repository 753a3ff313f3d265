import pytest

from fedtune3d.evaluation.regression.coarse import coarse_step, to_half_octave, to_step


def test_values_are_rounded_to_steps_or_half_octaves_or_not_at_all() -> None:
    assert coarse_step((40.0, 100.0)) == 10.0
    assert [to_step(value, 2.5) for value in (0.0, 1.2, 1.3, 37.4)] == [0.0, 0.0, 2.5, 37.5]
    assert [to_half_octave(value, 2.5) for value in (0.0, 1.1, 1.3, 900.0)] == pytest.approx([0, 1, 2**0.5, 1024])
    assert (to_step(1.2, 0.0), to_half_octave(1234.5, 0.0)) == (1.2, 1234.5)
