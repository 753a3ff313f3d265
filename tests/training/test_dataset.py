from pathlib import Path

import numpy as np
import pytest
import torch

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.seeds import torch_rng
from fedtune3d.models.encoders.contract import InputSpec
from fedtune3d.models.tuning import Frozen, Full
from fedtune3d.training.augmentation import augment
from fedtune3d.training.dataset import FeatureSet, LabelledScan, PreparedSet, open_scans, pool, read_view
from fedtune3d.training.features import FeatureCache
from fedtune3d.training.prefix import Prefix
from fedtune3d.training.settings import AugmentationSettings

AUGMENTED = AugmentationSettings(rotation_degrees=0, scaling=0, translation_mm=0)


def test_cached_features_are_those_of_the_encoder_in_order(build_model, scans, tmp_path: Path) -> None:
    model, trainable = build_model()
    data = open_scans(scans[:3], Prefix(model, trainable), FeatureCache(tmp_path), InputSpec())
    with torch.no_grad():
        expected = model.encoder(read_view(scans[2], InputSpec(), 0, None, 0)[None])
    assert torch.equal(data.inputs([2], [0]), expected.half().float())
    assert data.labels.tolist() == [0, 1, 0]
    assert data.first_stage == trainable.prefix_end


def test_each_scan_is_encoded_once_whatever_set_it_is_in(build_model, scans, tmp_path: Path) -> None:
    prefix, cache = Prefix(*build_model()), FeatureCache(tmp_path)
    steps: list[tuple[int, int]] = []
    open_scans(scans[:2], prefix, cache, InputSpec(), progress=lambda *step: steps.append(step))
    open_scans(scans[:3], prefix, cache, InputSpec(), progress=lambda *step: steps.append(step))
    open_scans(scans[:3], prefix, FeatureCache(tmp_path), InputSpec(), progress=lambda *step: steps.append(step))
    assert steps == [(1, 2), (2, 2), (1, 1)]


@pytest.mark.ci
def test_cached_views_are_the_scan_and_seeded_augmentations(build_model, scans, tmp_path: Path) -> None:
    prefix = Prefix(*build_model())
    data = open_scans(scans[:1], prefix, FeatureCache(tmp_path), InputSpec(), augmentation=AUGMENTED, views=3, seed=5)
    assert isinstance(data, FeatureSet)
    voxels = read_view(scans[0], InputSpec(), 0, None, 0)
    expected = [voxels] + [augment(voxels, InputSpec(), AUGMENTED, 5, "A", "scan0", view) for view in (1, 2)]
    for view in range(3):
        assert torch.equal(data.inputs([0], [view])[0], prefix.encode(expected[view]).half().float())
    assert set(data.draw_views(100, torch_rng("views"))) == {0, 1, 2}
    plain = open_scans(scans[:1], prefix, FeatureCache(tmp_path), InputSpec())
    assert plain.files[0][0] == data.files[0][0]  # type: ignore[attr-defined]


@pytest.mark.ci
def test_full_tuning_reads_prepared_scans_and_augments_on_the_fly(build_model, scans) -> None:
    data = open_scans(scans[:2], Prefix(*build_model(Full())), None, InputSpec(), augmentation=AUGMENTED, seed=5)
    assert isinstance(data, PreparedSet)
    plain = data.inputs([0, 1], [0, 0])
    assert (plain.shape, plain.dtype) == ((2, 1, 128, 128, 128), torch.float32)
    assert torch.equal(plain[1, 0], torch.from_numpy(np.load(scans[1].path).astype(np.float32)))
    (view,) = data.draw_views(1, torch_rng("views"))
    assert view > 0
    assert torch.equal(data.inputs([0], [view]), data.inputs([0], [view]))
    assert not torch.equal(data.inputs([0], [view]), plain[:1])


def test_an_empty_set_is_a_set(build_model, tmp_path: Path) -> None:
    assert len(open_scans([], Prefix(*build_model()), FeatureCache(tmp_path), InputSpec())) == 0


def test_an_unreadable_prepared_scan_is_named(build_model, tmp_path: Path) -> None:
    (tmp_path / "bad.npy").write_bytes(b"not an array")
    bad = LabelledScan(tmp_path / "bad.npy", 1, "A")
    with pytest.raises(InputError, match=r"bad.npy: expected a prepared scan"):
        open_scans([bad], Prefix(*build_model()), FeatureCache(tmp_path / "cache"), InputSpec())


def test_views_without_augmentation_are_refused(build_model, scans, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="2 views need augmentation settings"):
        open_scans(scans, Prefix(*build_model()), FeatureCache(tmp_path), InputSpec(), views=2)


@pytest.mark.parametrize("tuning", [Frozen(), Full()], ids=["cached", "prepared"])
def test_pooled_sites_are_one_set_in_the_order_given(build_model, scans, features: Path, tuning) -> None:
    prefix, cache = Prefix(*build_model(tuning)), FeatureCache(features)
    apart = [open_scans(scans[:1], prefix, cache, InputSpec()), open_scans(scans[1:3], prefix, cache, InputSpec())]
    pooled, whole = pool(apart), open_scans(scans[:3], prefix, cache, InputSpec())
    assert pooled.labels.tolist() == whole.labels.tolist()
    assert torch.equal(pooled.inputs(range(3), [0] * 3), whole.inputs(range(3), [0] * 3))
    assert (type(pooled), pooled.first_stage) == (type(whole), whole.first_stage)
