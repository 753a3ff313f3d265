import numpy as np
import torch

from fedtune3d.simulation.deformation import affine_points, exponentiate, random_velocity, sample

SHAPE = (30, 34, 28)


def jacobian_determinants(displacement: np.ndarray, spacing_mm: float) -> np.ndarray:
    gradients = np.stack([np.stack(np.gradient(one, spacing_mm)) for one in displacement])
    return np.linalg.det(np.moveaxis(gradients, (0, 1), (-2, -1)) + np.eye(3))


def test_the_exponential_of_a_constant_velocity_is_that_displacement() -> None:
    velocity = np.broadcast_to(np.array([3.0, -1.5, 0.25], np.float32).reshape(3, 1, 1, 1), (3, *SHAPE)).copy()
    np.testing.assert_allclose(exponentiate(velocity, 3.0), velocity, atol=1e-4)


def test_the_exponential_of_a_linear_velocity_is_exponential_growth() -> None:
    axis = np.arange(SHAPE[0], dtype=np.float32) - 14.5
    velocity = np.zeros((3, *SHAPE), np.float32)
    velocity[0] = 0.2 * axis[:, None, None]
    displacement = exponentiate(velocity, 1.0)
    inner = slice(4, 26)  # the flow leaves the grid nearer to its border
    expected = axis[inner] * (np.exp(0.2) - 1)
    np.testing.assert_allclose(displacement[0, inner, 10, 10], expected, rtol=0.01, atol=1e-3)


def test_the_flow_of_the_negated_velocity_is_the_inverse() -> None:
    velocity = random_velocity(SHAPE, 3.0, ((20.0, 3.0), (7.0, 1.3)), np.random.default_rng(0))
    there, back = (torch.from_numpy(exponentiate(sign * velocity, 3.0)) / 3.0 for sign in (1, -1))
    points = affine_points(np.eye(4), SHAPE)
    residual = (there + sample(back, points + there))[:, 6:-6, 6:-6, 6:-6]
    assert residual.abs().mean() < 0.02 * there.abs().mean()


def test_a_persons_deformation_neither_tears_nor_folds() -> None:
    for seed in range(3):
        velocity = random_velocity(SHAPE, 3.0, ((25.0, 3.5), (7.0, 1.3)), np.random.default_rng(seed))
        determinants = jacobian_determinants(exponentiate(velocity, 3.0), 3.0)
        assert determinants.min() > 0.05
        assert determinants.std() > 0.05


def test_a_random_velocity_has_the_amplitude_asked_for() -> None:
    velocity = random_velocity((60, 60, 60), 3.0, ((6.0, 2.0),), np.random.default_rng(1))
    np.testing.assert_allclose(velocity.std(axis=(1, 2, 3)), 2.0, rtol=0.1)


def test_samples_at_voxels_are_the_voxels_and_between_them_their_mean() -> None:
    maps = torch.from_numpy(np.random.default_rng(2).random((2, 4, 5, 6), np.float32))
    torch.testing.assert_close(sample(maps, affine_points(np.eye(4), (4, 5, 6))), maps)
    between = torch.tensor([1.5, 2.0, 3.0])[:, None, None, None]
    torch.testing.assert_close(sample(maps, between)[:, 0, 0, 0], (maps[:, 1, 2, 3] + maps[:, 2, 2, 3]) / 2)
    outside = torch.tensor([-2.0, 2.0, 3.0])[:, None, None, None]
    assert sample(maps, outside, outside="zeros").eq(0).all()
    torch.testing.assert_close(sample(maps, outside)[:, 0, 0, 0], maps[:, 0, 2, 3])


def test_affine_points_are_right_for_a_turned_grid() -> None:
    affine = np.array([[0, -2.0, 0, 5], [1.5, 0, 0, -1], [0, 0, 1, 3], [0, 0, 0, 1]])
    points = affine_points(affine, (3, 4, 5))
    np.testing.assert_allclose(points[:, 2, 3, 4].numpy(), (affine @ [2, 3, 4, 1])[:3], rtol=1e-6)
