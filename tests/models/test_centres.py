import numpy as np
import pytest
import torch

from fedtune3d._utils.errors import InputError
from fedtune3d.models.centres import ClassSums, add, centres, class_sums, distance_scores


@pytest.fixture
def scans():
    generator = torch.Generator().manual_seed(0)
    features = (5 + 3 * torch.randn(24, 384, 8, 8, 8, generator=generator)).half()
    return features, (torch.arange(24) % 3 == 0).long()


def constant_scans(*values: float) -> torch.Tensor:
    return torch.tensor(values).view(-1, 1, 1, 1, 1).expand(-1, 2, 2, 2, 2)


def test_sums_counts_centres_and_scores_by_hand():
    total = class_sums(constant_scans(1, 2, 6), [0, 0, 1])
    np.testing.assert_array_equal(total.sums, [[3, 3], [6, 6]])
    np.testing.assert_array_equal(total.counts, [2, 1])
    found = centres(total)
    np.testing.assert_array_equal(found, [[1.5, 1.5], [6, 6]])
    np.testing.assert_allclose(
        distance_scores(constant_scans(1.5, 6, 3.75), found), np.sqrt(2) * np.array([-4.5, 4.5, 0])
    )


@pytest.mark.parametrize("seed", range(5))
def test_any_split_of_the_scans_gives_the_same_centres(scans, seed):
    features, labels = scans
    whole = centres(class_sums(features, labels))
    rng = np.random.default_rng(seed)
    parts = np.array_split(rng.permutation(24), np.sort(rng.integers(1, 24, size=3)))
    total = add(class_sums(features[part], labels[part]) for part in parts if len(part))
    np.testing.assert_allclose(centres(total), whole, rtol=0, atol=1e-10)


def test_an_average_of_centres_would_be_wrong(scans):
    features, labels = scans
    parts = [slice(0, 4), slice(4, 24)]
    averaged = np.mean([centres(class_sums(features[part], labels[part])) for part in parts], axis=0)
    assert np.abs(averaged - centres(class_sums(features, labels))).max() > 1e-3


def test_scans_may_come_one_by_one(scans):
    features, labels = scans
    one_by_one = class_sums((scan.numpy() for scan in features), (int(label) for label in labels))
    np.testing.assert_array_equal(one_by_one.sums, class_sums(features, labels).sums)


def test_a_site_of_one_class_takes_part():
    total = class_sums(constant_scans(1, 3), [1, 1]) + class_sums(constant_scans(0), [0])
    np.testing.assert_array_equal(centres(total), [[0, 0], [2, 2]])


def test_no_scan_of_a_class_anywhere_is_refused():
    with pytest.raises(InputError, match="expected scans of both classes over all sites, got no negative one"):
        centres(ClassSums(np.ones((2, 3)), np.array([0, 4])))


@pytest.mark.parametrize(("values", "labels"), [((1, 2), [0]), ((), []), ((1, 2), [0, 2])])
def test_labels_that_do_not_fit_are_refused(values, labels):
    with pytest.raises(ValueError, match="expected a label 0 or 1 for each of"):
        class_sums(constant_scans(*values), labels)
