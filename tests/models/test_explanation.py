import pytest
import torch
from torch import nn

from fedtune3d._utils.seeds import torch_rng
from fedtune3d.models.classifier import Classifier
from fedtune3d.models.encoders import build_encoder
from fedtune3d.models.encoders.contract import initialise_random
from fedtune3d.models.explanation import grad_cam, integrated_gradients, occlusion, places_of, score_of, similarity
from fedtune3d.models.heads import build_head


def classifier(head: str, seed: int) -> Classifier:
    encoder = build_encoder("tiny")
    initialise_random(encoder, 0)
    return Classifier(encoder, build_head(head, encoder.out_channels, seed)).eval()


class Bright(nn.Module):
    """The positive class's logit is the mean of one cube."""

    def forward(self, scans: torch.Tensor) -> torch.Tensor:
        seen = scans[:, 0, 16:32, 32:48, 0:16].mean(dim=(1, 2, 3))
        return torch.stack([torch.zeros_like(seen), seen], dim=1)


class Product(nn.Module):
    """The margin is the product of two voxels, less a third."""

    def forward(self, scans: torch.Tensor) -> torch.Tensor:
        first, second, third = scans[:, 0, 0, 0, 0], scans[:, 0, 1, 2, 3], scans[:, 0, 3, 3, 3]
        return torch.stack([third, first * second], dim=1)


def features_of(model: Classifier, scan: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model.encoder(scan)


def test_occlusion_finds_the_one_cube_that_counts() -> None:
    scan = torch.full((1, 1, 64, 64, 64), 2.0)
    brain = torch.ones(64, 64, 64, dtype=torch.bool)
    expected = torch.zeros(4, 4, 4)
    expected[1, 2, 0] = 2.0
    torch.testing.assert_close(occlusion(Bright(), scan, brain, 16), expected)


def test_occlusion_tries_cubes_with_brain_only() -> None:
    brain = torch.zeros(64, 64, 64, dtype=torch.bool)
    brain[20:24, 34:36, 3:5] = True
    calls: list[tuple[int, int]] = []
    found = occlusion(Bright(), torch.ones(1, 1, 64, 64, 64), brain, 16, progress=lambda *now: calls.append(now))
    assert calls == [(1, 1)]
    assert found.nonzero().tolist() == [[1, 2, 0]]


def test_integrated_gradients_of_a_product_by_hand() -> None:
    """Along the straight path from 0 each factor of a product gets half of it, and a term of its own is its own."""
    scan = torch.randn(1, 1, 4, 4, 4, generator=torch_rng("scan"))
    found = integrated_gradients(Product(), scan, steps=3)
    product = scan[0, 0, 0, 0, 0] * scan[0, 0, 1, 2, 3]
    expected = torch.zeros(4, 4, 4)
    expected[0, 0, 0] = expected[1, 2, 3] = product / 2
    expected[3, 3, 3] = -scan[0, 0, 3, 3, 3]
    torch.testing.assert_close(found, expected)


def test_integrated_gradients_are_captums() -> None:
    attr = pytest.importorskip("captum.attr")
    net = nn.Sequential(nn.Conv3d(1, 3, 3), nn.GELU(), nn.Flatten(), nn.Linear(24, 2))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=torch_rng("net", parameter.numel())))
    scan = torch.randn(1, 1, 4, 4, 4, generator=torch_rng("scan"))

    def margin(scans: torch.Tensor) -> torch.Tensor:
        return net(scans)[:, 1] - net(scans)[:, 0]

    expected = attr.IntegratedGradients(margin).attribute(scan, n_steps=40, method="riemann_middle")[0, 0]
    torch.testing.assert_close(integrated_gradients(net, scan, steps=40), expected, atol=1e-4, rtol=1e-3)


def test_places_are_sums_over_cubes() -> None:
    volume = torch.arange(64.0).reshape(4, 4, 4)
    assert places_of(volume, 2)[1, 0, 1] == volume[2:4, 0:2, 2:4].sum()


def test_grad_cam_of_a_linear_head_is_its_weights_times_the_features() -> None:
    model = classifier("linear", seed=3)
    scan = torch.randn(1, 1, 128, 128, 128, generator=torch_rng("scan"))
    features = features_of(model, scan)
    weight = next(p for p in model.head.parameters() if p.ndim == 2)
    direction = (weight[1] - weight[0]).detach() / 512  # the head takes the mean over 512 places
    expected = torch.einsum("c,cxyz->xyz", direction, features[0]).relu()
    torch.testing.assert_close(grad_cam(model, features), expected, atol=1e-5, rtol=1e-4)


def test_the_map_changes_when_the_head_is_drawn_anew() -> None:
    scan = torch.randn(1, 1, 128, 128, 128, generator=torch_rng("scan"))
    features = features_of(classifier("conv_s", 1), scan)
    maps = [grad_cam(classifier("conv_s", seed), features) for seed in (1, 1, 2)]
    assert torch.equal(maps[0], maps[1])
    assert similarity(maps[0], maps[1]) == pytest.approx(1)
    assert similarity(maps[0], maps[2]) < 0.9


def test_a_constant_map_is_like_no_other() -> None:
    assert similarity(torch.zeros(3, 3, 3), torch.rand(3, 3, 3, generator=torch_rng("map"))) == 0


def test_a_map_explains_the_log_odds_of_a_class_or_the_number() -> None:
    two, three = torch.tensor([[1.0, 4.0]]), torch.log(torch.tensor([[1.0, 2.0, 5.0]]))
    assert (score_of(two).item(), score_of(two, 0).item()) == (3, -3)
    torch.testing.assert_close(score_of(three), torch.tensor([5 / 3]).log())
    torch.testing.assert_close(score_of(three, 0), torch.tensor([1 / 7]).log())
    assert score_of(torch.tensor([[0.25]])).item() == 0.25
