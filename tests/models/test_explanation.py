import pytest
import torch
from torch import nn

from fedtune3d.models.classifier import Classifier
from fedtune3d.models.encoder import build_encoder, initialise_random
from fedtune3d.models.explanation import CUBE, grad_cam, occlusion, similarity
from fedtune3d.models.heads import build_head
from fedtune3d.seeds import torch_rng


def classifier(head: str, seed: int) -> Classifier:
    encoder = build_encoder("tiny")
    initialise_random(encoder, 0)
    return Classifier(encoder, build_head(head, encoder.out_channels, seed)).eval()


class Bright(nn.Module):
    """The positive class's logit is the mean of one cube."""

    def forward(self, scans: torch.Tensor) -> torch.Tensor:
        seen = scans[:, 0, 16:32, 32:48, 0:16].mean(dim=(1, 2, 3))
        return torch.stack([torch.zeros_like(seen), seen], dim=1)


def test_occlusion_finds_the_one_cube_that_counts() -> None:
    scan = torch.full((1, 1, 64, 64, 64), 2.0)
    brain = torch.ones(64, 64, 64, dtype=torch.bool)
    expected = torch.zeros(64, 64, 64)
    expected[16:32, 32:48, 0:16] = 2.0
    torch.testing.assert_close(occlusion(Bright(), scan, brain), expected)


def test_occlusion_tries_cubes_of_brain_only_and_stays_inside_it() -> None:
    brain = torch.zeros(64, 64, 64, dtype=torch.bool)
    brain[20:24, 34:36, 3:5] = True
    calls: list[tuple[int, int]] = []
    found = occlusion(Bright(), torch.ones(1, 1, 64, 64, 64), brain, progress=lambda *now: calls.append(now))
    assert calls == [(1, 1)]
    assert torch.equal(found != 0, brain)


def test_overlapping_cubes_are_averaged() -> None:
    scan, brain = torch.ones(1, 1, 64, 64, 64), torch.ones(64, 64, 64, dtype=torch.bool)
    found = occlusion(Bright(), scan, brain, stride=CUBE // 2)
    assert found[24, 40, 8] == pytest.approx((1 + 3 * 0.5 + 3 * 0.25 + 0.125) / 8)


def test_grad_cam_of_a_linear_head_is_its_weights_times_the_features() -> None:
    model = classifier("linear", seed=3)
    scan = torch.randn(1, 1, 128, 128, 128, generator=torch_rng("scan"))
    with torch.no_grad():
        features = model.encoder(scan)[0]
    weight = next(p for p in model.head.parameters() if p.ndim == 2)
    direction = (weight[1] - weight[0]).detach() / 512  # the head takes the mean over 512 places
    expected = torch.einsum("c,cxyz->xyz", direction, features).relu()
    torch.testing.assert_close(grad_cam(model, scan), expected, atol=1e-5, rtol=1e-4)


def test_the_map_changes_when_the_head_is_drawn_anew() -> None:
    scan = torch.randn(1, 1, 128, 128, 128, generator=torch_rng("scan"))
    maps = [grad_cam(classifier("conv_s", seed), scan) for seed in (1, 1, 2)]
    assert torch.equal(maps[0], maps[1])
    assert similarity(maps[0], maps[1]) == pytest.approx(1)
    assert similarity(maps[0], maps[2]) < 0.9


def test_a_constant_map_is_like_no_other() -> None:
    assert similarity(torch.zeros(3, 3, 3), torch.rand(3, 3, 3, generator=torch_rng("map"))) == 0
