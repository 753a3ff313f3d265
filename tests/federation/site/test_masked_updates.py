"""A site's values are sent under the masks of their own attempt only, and a round has one training task."""

from pathlib import Path

import pytest
import torch

from fedtune3d._utils.folders import MaskingPaths
from fedtune3d._utils.state_dicts import State, load_state, save_state
from fedtune3d.federation.privacy.refusal import Refusal
from fedtune3d.federation.privacy.secure_aggregation.identity import Identity
from fedtune3d.federation.privacy.secure_aggregation.messages import Plan, SignedKeys
from fedtune3d.federation.privacy.secure_aggregation.site_part import SitePart
from fedtune3d.federation.privacy.secure_aggregation.vectors import layout_sha256
from fedtune3d.federation.site.masked_updates import VALUES, MaskedUpdates
from fedtune3d.training.faults import SiteFault

SITES = ("A", "B", "C")
EXPERIMENT, RECEIVED, TRAINING, RETRY = (letter * 64 for letter in "abcd")


def values(value: float) -> dict[str, State]:
    return {"state": {"weight": torch.full((5,), value)}}


def begin(site: MaskedUpdates, number: int) -> SignedKeys:
    return site.begin(1, number, 9, values(1.0), RECEIVED, TRAINING)


@pytest.fixture
def sites(tmp_path: Path) -> dict[str, MaskedUpdates]:
    return {
        name: MaskedUpdates(name, EXPERIMENT, MaskingPaths(tmp_path / name), SitePart(Identity.new(), None))
        for name in SITES
    }


def test_values_of_another_attempt_never_leave_under_the_same_masks(sites: dict[str, MaskedUpdates]) -> None:
    """A site that dies between its two files: the difference of two words under one mask is no secret."""
    roster = {name: begin(site, 1) for name, site in sites.items()}
    sealed = {name: site.deal(1, 1, roster).sealed["A"] for name, site in sites.items()}
    plan = Plan(dict.fromkeys(SITES, 1 / 3), RECEIVED, TRAINING, layout_sha256(values(1.0)))
    site = sites["A"]
    _, words = site.mask(1, 1, plan, sealed)
    assert torch.equal(site.mask(1, 1, plan, sealed)[1], words)
    save_state(site.paths.values, {VALUES: 2 * load_state(site.paths.values)[VALUES]}, durable=False)
    with pytest.raises(SiteFault, match="the update of this attempt is no longer kept"):
        site.mask(1, 1, plan, sealed)


@pytest.mark.parametrize("changed", [{"received": "e" * 64}, {"retry": "e" * 64}])
def test_a_second_attempt_at_a_round_is_at_the_same_task(
    sites: dict[str, MaskedUpdates], changed: dict[str, str]
) -> None:
    """Losses, scores and cosines leave with every attempt: crafted states would turn each retry into a question."""
    site, task = sites["A"], {"received": RECEIVED, "retry": RETRY}
    site.require_one_task(1, **task)
    with pytest.raises(Refusal, match="another training task in a second attempt at round 1"):
        site.require_one_task(1, **task | changed)
    site.require_one_task(1, **task)
    site.require_one_task(2, **task | changed)
    with pytest.raises(Refusal, match="round 1 comes before round 2"):
        site.require_one_task(1, **task)
