"""What a model predicts: widths, scales and conversions, by hand."""

import numpy as np
import pytest

from fedtune3d._utils.typed_json import from_json, to_json
from fedtune3d.evaluation.outcome import BINARY, ClassOutcome, NumberOutcome

AGE = NumberOutcome("age", 40, 100, "years", "leave_out")
THREE = ClassOutcome(("CN", "MCI", "AD"))


def test_the_second_of_two_classes_is_positive() -> None:
    assert BINARY.names == BINARY.strata == ("negative", "positive")
    assert (BINARY.width, BINARY.is_binary) == (2, True)
    np.testing.assert_allclose(BINARY.predict(np.array([[0.0, 0.0], [1.0, 1.0 + np.log(3)]])), [0.5, 0.75])


def test_each_of_three_classes_has_a_probability() -> None:
    assert (THREE.width, THREE.is_binary) == (3, False)
    np.testing.assert_allclose(THREE.predict(np.log([[1.0, 2.0, 5.0]])), [[0.125, 0.25, 0.625]])


def test_a_number_is_learned_on_the_scale_of_its_range() -> None:
    assert (AGE.width, AGE.strata, AGE.is_binary) == (1, ("everyone",), False)
    assert [AGE.standardise(age) for age in (40, 70, 85, 100)] == [-1, 0, 0.5, 1]
    np.testing.assert_allclose(AGE.predict(np.array([[-1.0], [0.5], [1.5]])), [40, 85, 115])
    assert (AGE.shown(71.26), NumberOutcome("mmse", 0, 30, "", "error").shown(24, 0)) == ("71.3 years", "24")


@pytest.mark.parametrize("outcome", [BINARY, THREE, AGE])
def test_an_outcome_survives_a_file(outcome: ClassOutcome | NumberOutcome) -> None:
    assert from_json(dict[str, ClassOutcome | NumberOutcome], to_json({"outcome": outcome})) == {"outcome": outcome}
