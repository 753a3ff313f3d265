"""A model is used only with the features that it was trained on."""

from dataclasses import replace

import pytest

from fedtune3d.config.feature_versions import FeatureVersions, find_other_features
from fedtune3d.models.encoders import encoder_spec
from fedtune3d.preparation.prepare_scan import PREPARATION_VERSION

HERE = FeatureVersions.here("deepbet")


def test_the_versions_are_those_of_the_encoder_and_of_the_preparation() -> None:
    assert FeatureVersions(encoder_spec("deepbet").version, PREPARATION_VERSION) == HERE
    assert FeatureVersions.here("resnet18") == FeatureVersions(0, PREPARATION_VERSION)
    assert find_other_features("deepbet", HERE) is None


@pytest.mark.parametrize(
    ("trained_on", "said"),
    [
        (replace(HERE, encoder=1), f"version 1 of encoder deepbet, but this is version {HERE.encoder}"),
        (replace(HERE, preparation=99), f"version 99 of the preparation, but this is version {HERE.preparation}"),
        (None, "does not say with which versions of encoder deepbet"),
    ],
    ids=["encoder", "preparation", "unknown"],
)
def test_others_are_named(trained_on: FeatureVersions | None, said: str) -> None:
    problem = find_other_features("deepbet", trained_on)
    assert problem is not None
    assert said in problem
    assert "use the fedtune3d that trained it" in problem


def test_both_are_named_together() -> None:
    problem = find_other_features("deepbet", FeatureVersions(1, 1))
    assert problem is not None
    assert "encoder deepbet, but" in problem
    assert "and version 1 of the preparation" in problem
