"""A rule's part at a site, as data: it survives the way to the site, and what cannot be sent is refused."""

from dataclasses import dataclass, field

import pytest
import torch

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.state_dicts import State
from fedtune3d.aggregation.site_step import KEPT_LOCAL, STATE, PackedStep, SiteStep, pack_step, unpack_step


@dataclass(frozen=True)
class PullStep(SiteStep):
    own_scores = ("pull_score",)
    strength: float = 0.5
    target: State = field(default_factory=dict)


def test_a_step_survives_its_way_to_the_site():
    step = PullStep(keep_local=("norm",), strength=0.25, target={"w": torch.ones(2)})
    packed = pack_step(step)
    assert packed.values == {"keep_local": ["norm"], "frozen": [], "score_kind": "auc", "strength": 0.25}
    rebuilt = unpack_step(PullStep, packed)
    assert isinstance(rebuilt, PullStep)
    assert (rebuilt.keep_local, rebuilt.strength) == (("norm",), 0.25)
    assert torch.equal(rebuilt.target["w"], torch.ones(2))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strength": "high"}, "site step: strength: Input should be a valid number"),
        ({"score_kind": "f1"}, "site step: score_kind: Input should be 'auc', 'balanced_accuracy' or 'loss'"),
        ({"surplus": 1}, "install the same version"),
    ],
)
def test_a_field_that_is_unknown_or_of_another_type_is_refused(changes, message):
    packed = pack_step(PullStep())
    with pytest.raises(InputError, match=message):
        unpack_step(PullStep, PackedStep(packed.values | changes, packed.parts))


def test_the_name_of_the_state_part_is_taken():
    with pytest.raises(TypeError, match="TakenStep: the field name 'state' is taken; choose another"):

        @dataclass(frozen=True)
        class TakenStep(SiteStep):
            state: State = field(default_factory=dict)


def test_scores_that_may_come():
    assert SiteStep.score_names() == {"received_score", "sent_score"}
    assert PullStep.score_names() == {"received_score", "sent_score", "pull_score"}


def test_names_that_stay_at_the_site_are_remembered_and_not_expected():
    trained = {"w": torch.ones(1), "norm": torch.zeros(1)}
    step = SiteStep(keep_local=("norm",))
    assert step.to_remember(trained, {}, {}) == {KEPT_LOCAL: {"norm": trained["norm"]}}
    assert step.expected_parts(trained)[STATE].keys() == {"w"}
