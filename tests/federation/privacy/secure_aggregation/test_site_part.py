"""Each act of a malicious server is refused by the site, or leaves it with noise."""

from dataclasses import replace

import pytest
import torch
from masked_sums import FIRST, VIEW, Members, assert_uniform, plan_of

from fedtune3d.federation.privacy.refusal import Refusal
from fedtune3d.federation.privacy.secure_aggregation.fixed_point import to_values
from fedtune3d.federation.privacy.secure_aggregation.identity import Identity
from fedtune3d.federation.privacy.secure_aggregation.messages import Attempt, needed_again, threshold_of
from fedtune3d.federation.privacy.secure_aggregation.site_part import SiteAttempt, SitePart

NAMES = ("A", "B", "C", "D")
EQUAL = dict.fromkeys(NAMES, 0.25)
VALUES = {name: torch.full((400,), float(number), dtype=torch.float64) for number, name in enumerate(NAMES)}


@pytest.fixture
def begun() -> Members:
    members = Members(NAMES)
    members.begin()
    return members


@pytest.fixture
def dealt(begun: Members) -> Members:
    begun.deal()
    return begun


@pytest.fixture
def masked(dealt: Members) -> Members:
    dealt.words = dealt.mask(VALUES, EQUAL)
    return dealt


def refused(call, *arguments, line: str) -> None:
    with pytest.raises(Refusal, match=line):
        call(*arguments)


def test_a_second_list_of_survivors_is_refused(masked: Members) -> None:
    part = masked.parts["A"]
    kept, signature = part.confirm(masked.kept["A"], NAMES)
    assert part.confirm(kept, NAMES) == (kept, signature)  # asked again for the same, it answers the same
    refused(part.confirm, kept, ("A", "B", "C"), line="a second list of survivors")


def test_nobody_is_both_alive_and_lost(masked: Members) -> None:
    part, kept = masked.parts["A"], masked.kept["A"]
    refused(part.confirm, kept, ("A", "B", "C", "C"), line="names a site twice")
    refused(part.confirm, kept, ("C", "B", "A"), line="names a site twice")
    refused(part.confirm, kept, ("A", "B", "C", "E"), line="one that did not mask")
    refused(part.confirm, kept, ("B", "C", "D"), line="this site counts as lost")
    revealed = masked.reveal(("A", "B", "C"))
    for shares in revealed.values():
        assert not shares.seeds.keys() & shares.keys.keys()
        assert shares.seeds.keys() | shares.keys.keys() == set(NAMES)


def test_lists_that_differ_from_site_to_site_unmask_nothing(masked: Members) -> None:
    lists = {"A": NAMES, "B": ("A", "B", "C"), "C": ("A", "B", "C"), "D": NAMES}
    signatures = {}
    for name, survivors in lists.items():
        masked.kept[name], signatures[name] = masked.parts[name].confirm(masked.kept[name], survivors)
    for name in NAMES:
        refused(masked.parts[name].reveal, masked.kept[name], signatures, line="sites have signed this list, 3 are")


def test_shares_are_given_up_only_for_what_enough_sites_have_signed(masked: Members) -> None:
    part = masked.parts["A"]
    refused(part.reveal, masked.kept["A"], {}, line="no list of survivors was confirmed")
    kept, own = part.confirm(masked.kept["A"], NAMES)
    _, of_b = masked.parts["B"].confirm(masked.kept["B"], NAMES)
    refused(part.reveal, kept, {"A": own, "B": of_b}, line="2 sites have signed")
    refused(part.reveal, kept, {"A": own, "B": of_b, "C": of_b}, line="2 sites have signed")
    refused(part.reveal, kept, {"A": own, "B": of_b, "E": of_b}, line="2 sites have signed")


def test_exchanged_keys_are_refused(begun: Members) -> None:
    part, kept, roster = begun.parts["A"], begun.kept["A"], begun.server.roster
    stranger = SitePart(Identity.new(), None)
    forged = stranger.begin("B", FIRST, None).keys
    invented = stranger.begin("E", FIRST, None).keys
    for changed, line in (
        (roster | {"B": forged}, "B signs with another key"),
        (roster | {"B": replace(roster["B"], masking=forged.masking)}, "the keys of B are not signed"),
        (roster | {"B": roster["C"]}, "two sites with one key"),
        ({name: roster[name] for name in "BCD"}, "own keys are missing or exchanged"),
        (roster | {"A": forged}, "own keys are missing or exchanged"),
        (roster | {"E": invented}, "E is not trusted here"),
        ({name: roster[name] for name in "AB"}, "2 sites, at least 3"),
    ):
        refused(part.deal, kept, changed, line=line)
    kept, dealing = part.deal(kept, roster)
    assert part.deal(kept, roster) == (kept, dealing)
    refused(part.deal, kept, {name: roster[name] for name in "ABC"}, line="a second list of keys")


def test_keys_of_another_round_or_attempt_are_refused(begun: Members) -> None:
    roster = begun.server.roster
    for later in (Attempt(FIRST.experiment, 2, 1), Attempt(FIRST.experiment, 1, 2)):
        kept = begun.parts["A"].begin("A", later, begun.kept["A"])
        replayed = roster | {"A": kept.keys}
        refused(begun.parts["A"].deal, kept, replayed, line="the keys of B are not signed for this attempt")


def test_a_replayed_round_is_refused(masked: Members) -> None:
    part, kept = masked.parts["A"], masked.kept["A"]
    refused(part.begin, "A", FIRST, kept, line="attempt 1 at round 1 does not come after attempt 1 at round 1")
    second = part.begin("A", Attempt(FIRST.experiment, 1, 2), kept)
    refused(part.begin, "A", FIRST, second, line="attempt 1 at round 1 does not come after attempt 2")
    other = part.begin("A", Attempt("dd" * 32, 1, 1), kept)
    assert other.attempt.experiment == "dd" * 32


def test_a_crafted_retry_gives_no_second_sum(masked: Members) -> None:
    part = masked.parts["A"]
    second = Attempt(FIRST.experiment, 1, 2)
    part.begin("A", second, masked.kept["A"])  # nothing was confirmed: a retry is harmless
    confirmed, _ = part.confirm(masked.kept["A"], ("A", "B", "C"))
    refused(part.begin, "A", second, confirmed, line="round 1 may have been added up")


def test_a_site_that_nobody_asked_to_sign_is_in_no_second_sum_either() -> None:
    """Seven signatures unmask the sum of ten. The other three, who alone count in it, are asked for another.

    Two sums over three updates, and one of the three sites that tells its own, would give away the other two.
    """
    members = Members(tuple("ABCDEFGHIJ"))
    members.begin()
    members.deal()
    weights = dict.fromkeys("ABCDEFG", 0.0) | {"H": 0.5, "I": 0.3, "J": 0.2}
    words = members.mask(dict.fromkeys(weights, VALUES["B"]), weights)
    revealed = members.reveal(members.names, silent=("H", "I", "J"))
    total = members.server.unmask(torch.stack(list(words.values())).sum(dim=0), revealed)
    assert torch.equal(to_values(total), VALUES["B"])
    second = Attempt(FIRST.experiment, 1, 2)
    again = {name: members.parts[name].begin(name, second, members.kept[name]) for name in "HIJ"}
    third = {name: members.parts[name].begin(name, Attempt(FIRST.experiment, 1, 3), again[name]) for name in "HIJ"}
    for kept in (again, third):
        line = "with 3 of its sites back, the last attempt may still be added up"
        refused(members.parts["H"].deal, kept["H"], {name: kept[name].keys for name in "HIJ"}, line=line)
    other = members.parts["H"].begin("H", Attempt(FIRST.experiment, 2, 1), again["H"])
    assert not other.unsettled


def test_a_retry_goes_on_without_who_was_lost() -> None:
    """Seven of ten are enough: then at most three of them, who would have to lie, and three others can have signed."""
    members = Members(tuple("ABCDEFGHIJ"))
    members.begin()
    members.deal()
    equal = dict.fromkeys(members.names, 0.1)
    members.mask(dict.fromkeys(equal, VALUES["A"]), equal, lost=("H", "I", "J"))
    members.kept = {name: members.kept[name] for name in "ABCDEFG"}
    members.names = tuple("ABCDEFG")
    members.begin(Attempt(FIRST.experiment, 1, 2))
    assert len(members.kept["A"].unsettled) == 10
    members.deal()
    members.begin(Attempt(FIRST.experiment, 1, 3))
    assert not members.kept["A"].unsettled  # the second attempt has settled the first, and nobody masked in it


@pytest.mark.parametrize("sites", range(3, 40))
def test_no_third_of_the_sites_can_have_a_given_up_attempt_added_up(sites: int) -> None:
    honest = needed_again(sites) - sites // 3
    assert sites - honest < threshold_of(sites)
    assert needed_again(sites) <= threshold_of(sites)


def test_a_retry_has_fresh_masks(masked: Members) -> None:
    first = masked.words
    masked.begin(Attempt(FIRST.experiment, 1, 2))
    masked.deal()
    again = masked.mask(VALUES, EQUAL)
    for name in NAMES:
        assert_uniform(again[name] - first[name])


def words_with(members: Members, changed: dict[str, object], name: str = "A") -> torch.Tensor:
    """The sum of all masked words where one site was told something else, unmasked as if all had been told the same."""
    words = members.mask(VALUES, EQUAL)
    plan = replace(members.server.decided, **changed)
    view = replace(VIEW, **{key: value for key, value in changed.items() if key.endswith("sha256")})
    honest = members.kept[name]
    members.kept[name] = replace(honest, plan=None)
    kept, words[name] = members.mask_one(name, VALUES[name], plan, view)
    members.kept[name] = replace(kept, plan=honest.plan, held=honest.held)  # so that it helps to unmask at all
    revealed = members.reveal(NAMES)
    return members.server.unmask(torch.stack(list(words.values())).sum(dim=0), revealed)


@pytest.mark.parametrize(
    "changed",
    [
        {"received_sha256": "11" * 32},
        {"training_sha256": "11" * 32},
        {"layout_sha256": "11" * 32},
        {"coefficients": EQUAL | {"A": 0.2500001}},
        {"coefficients": dict.fromkeys("ABC", 0.25)},
    ],
)
def test_another_state_or_plan_for_one_site_leaves_noise(dealt: Members, changed: dict[str, object]) -> None:
    assert_uniform(words_with(dealt, changed))


def test_another_list_of_keys_for_one_site_leaves_noise(begun: Members) -> None:
    without_d = {name: keys for name, keys in begun.server.roster.items() if name != "D"}
    begun.deal()
    coefficients = dict.fromkeys("ABC", 0.25)
    words, honest = begun.mask(VALUES, coefficients), begun.kept["A"]
    begun.kept["A"] = replace(honest, roster=without_d, plan=None)
    _, words["A"] = begun.mask_one("A", VALUES["A"], begun.server.decided)
    begun.kept["A"] = honest
    revealed = begun.reveal(("A", "B", "C"))
    assert_uniform(begun.server.unmask(torch.stack(list(words.values())).sum(dim=0), revealed))


def test_a_plan_that_differs_from_what_the_site_has_is_refused(dealt: Members) -> None:
    for what in ("received", "training", "layout"):
        plan = replace(plan_of(EQUAL), **{f"{what}_sha256": "11" * 32})
        refused(dealt.mask_one, "A", VALUES["A"], plan, line=f"the plan's {what}_sha256 is not what this site has")


@pytest.mark.parametrize(
    ("coefficients", "line"),
    [
        ({"A": 0.7, "B": 0.1, "C": 0.1, "D": 0.1}, "A would have 70% of the sum, and policy.max_share is 60%"),
        ({"A": 1.0, "B": 0.0, "C": 0.0, "D": 0.0}, "a sum of 1 sites"),
        ({"A": 0.5, "B": 0.5, "C": 0.0, "D": 0.0}, "a sum of 2 sites"),
        ({"A": 0.5, "B": -0.1, "C": 0.3, "D": 0.3}, "coefficients from 0 to 1"),
        ({"A": float("nan"), "B": 0.3, "C": 0.3, "D": 0.3}, "coefficients from 0 to 1"),
        ({"A": 1e9, "B": 0.3, "C": 0.3, "D": 0.3}, "coefficients from 0 to 1"),
        ({"A": 0.5, "B": 0.5}, "2 sites in the plan, 3 can unmask"),
        ({"B": 0.3, "C": 0.3, "D": 0.4}, "a plan without this site"),
        (EQUAL | {"E": 0.25}, "one that offered no keys"),
    ],
)
def test_weights_that_single_a_site_out_are_refused(dealt: Members, coefficients: dict[str, float], line: str) -> None:
    refused(dealt.mask_one, "A", VALUES["A"], plan_of(coefficients), line=line)


def test_the_share_among_the_survivors_counts_too() -> None:
    members = Members(("A", "B", "C", "D", "E", "F"))
    members.begin()
    members.deal()
    weights = {"A": 0.5, "B": 0.1, "C": 0.1, "D": 0.1, "E": 0.1, "F": 0.1}
    values = dict.fromkeys(weights, VALUES["A"])
    members.mask(values, weights)
    members.parts["B"] = replace(members.parts["B"], max_share=0.55)
    line = "A would have 56% of the sum, and policy.max_share is 55%"
    refused(members.parts["B"].confirm, members.kept["B"], tuple("ABCDE"), line=line)


def test_too_few_survivors_are_refused(masked: Members) -> None:
    refused(masked.parts["A"].confirm, masked.kept["A"], ("A", "B"), line="2 survivors, and 3 are needed")


def test_a_second_plan_is_refused(masked: Members) -> None:
    other = plan_of(EQUAL | {"A": 0.26})
    refused(masked.mask_one, "A", VALUES["A"], other, line="a second plan for one attempt")
    _, again = masked.mask_one("A", VALUES["A"], masked.server.decided)
    assert torch.equal(again, masked.words["A"])


def test_shares_that_the_server_made_up_are_refused(dealt: Members) -> None:
    sealed = dealt.server.sealed_for("A")
    part, kept, plan = dealt.parts["A"], dealt.kept["A"], plan_of(EQUAL)
    for changed, line in (
        (sealed | {"B": sealed["C"]}, "the shares from B are not what that site sealed"),
        (sealed | {"B": dealt.server.sealed_for("C")["B"]}, "the shares from B are not what that site sealed"),
        ({name: sealed[name] for name in "ABC"}, "shares of other sites than those of the plan"),
    ):
        refused(part.mask, kept, plan, changed, VIEW, VALUES["A"], line=line)


def test_steps_out_of_order_are_refused(begun: Members) -> None:
    part, kept = begun.parts["A"], begun.kept["A"]
    refused(part.mask, kept, plan_of(EQUAL), {}, VIEW, VALUES["A"], line="a plan before any keys")
    refused(part.confirm, kept, NAMES, line="masked nothing in this attempt")
    refused(part.reveal, kept, {}, line="masked nothing in this attempt")


def test_a_value_that_does_not_fit_is_refused(dealt: Members) -> None:
    for value in (float("inf"), float("nan"), 2.0**40):
        with pytest.raises(ValueError, match="expected finite values below"):
            dealt.mask_one("A", torch.full((3,), value, dtype=torch.float64), plan_of(EQUAL))


def test_what_a_site_keeps_survives_a_restart(masked: Members) -> None:
    from fedtune3d._utils.typed_json import from_json, to_json

    kept, _ = masked.parts["A"].confirm(masked.kept["A"], NAMES)
    assert from_json(SiteAttempt, to_json(kept)) == kept
