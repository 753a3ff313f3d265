import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from fedtune3d.evaluation.multiplicity import holm


def test_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == [0.03, 0.06, 0.06]


@pytest.mark.ci
def test_equals_statsmodels() -> None:
    rng = np.random.default_rng(0)
    for size in (1, 2, 7, 30):
        values = rng.uniform(0, 1, size) ** 3
        np.testing.assert_allclose(holm(list(values)), multipletests(values, method="holm")[1], atol=1e-15)


def test_a_test_that_was_not_made_does_not_count() -> None:
    assert holm([None, 0.02, None, 0.5]) == [None, 0.04, None, 0.5]
    assert holm([]) == []


def test_what_is_no_p_value_is_refused() -> None:
    with pytest.raises(ValueError, match="p-value 1 must be in"):
        holm([0.1, 1.2])
