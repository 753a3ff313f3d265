import numpy as np
import torch

from fedtune3d.models.pooling import pool_features


def test_the_mean_over_positions_of_scans_that_come_one_by_one():
    features = (5 + 3 * torch.randn(3, 4, 2, 2, 2, generator=torch.Generator().manual_seed(0))).half()
    pooled = pool_features(scan for scan in features)
    assert (pooled.shape, pooled.dtype) == ((3, 4), np.float64)
    np.testing.assert_allclose(pooled, features.double().mean(dim=(2, 3, 4)).numpy(), rtol=1e-14)


def test_no_scan_gives_no_row():
    assert pool_features([]).shape == (0, 0)
