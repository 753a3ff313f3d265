"""The server gets the exact sum of the survivors, and from what it sees nothing else can be told."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from masked_sums import FIRST, Members, assert_uniform
from sklearn.linear_model import LogisticRegression

from fedtune3d.federation.privacy.secure_aggregation.fixed_point import to_values, to_words
from fedtune3d.federation.privacy.secure_aggregation.messages import Revealed, key_statement, threshold_of
from fedtune3d.federation.privacy.secure_aggregation.primitives import add_mask, derive
from fedtune3d.federation.privacy.secure_aggregation.server_part import (
    ServerAttempt,
    TooFewSitesError,
    WrongShareError,
)

NAMES = ("A", "B", "C", "D")
EQUAL = dict.fromkeys(NAMES, 0.25)


def drawn(names: tuple[str, ...], words: int = 40) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(5)
    return {name: torch.randn(words, generator=random, dtype=torch.float64) for name in names}


def exact_sum(values: dict[str, torch.Tensor], coefficients: dict[str, float], of: tuple[str, ...]) -> torch.Tensor:
    words = [to_words(values[name] * coefficients[name], len(coefficients)) for name in of]
    return torch.stack(words).sum(dim=0)


def summed(words: dict[str, torch.Tensor], of: tuple[str, ...]) -> torch.Tensor:
    return torch.stack([words[name] for name in of]).sum(dim=0)


@pytest.mark.parametrize("sites", [3, 4, 7, 10])
def test_the_threshold_is_over_two_thirds(sites: int) -> None:
    assert threshold_of(sites) == next(count for count in range(sites + 1) if 3 * count > 2 * sites)


@pytest.mark.parametrize("lost_before_dealing", [(), ("D",)])
@pytest.mark.parametrize("lost_before_masking", [(), ("C",)])
@pytest.mark.parametrize("silent", [(), ("A",)])
def test_the_exact_sum_of_the_survivors(
    lost_before_dealing: tuple[str, ...], lost_before_masking: tuple[str, ...], silent: tuple[str, ...]
) -> None:
    names = tuple("ABCDEFGHIJ")
    values, members = drawn(names), Members(names)
    members.begin()
    members.deal(lost_before_dealing)
    masking = tuple(name for name in names if name not in lost_before_dealing)
    coefficients = {name: (1 + number) / 100 for number, name in enumerate(masking)}
    words = members.mask(values, coefficients, lost_before_masking)
    survivors = tuple(name for name in masking if name not in lost_before_masking)
    revealed = members.reveal(survivors, silent)
    unmasked = members.server.unmask(summed(words, survivors), revealed)
    assert torch.equal(unmasked, exact_sum(values, coefficients, survivors))
    error = to_values(unmasked) - sum(values[name] * coefficients[name] for name in survivors)
    assert error.abs().max() < 1e-9 * len(survivors)


def test_a_site_that_dies_after_masking_counts_in_the_sum() -> None:
    values, members = drawn(NAMES), Members(NAMES)
    members.begin()
    members.deal()
    words = members.mask(values, EQUAL)
    revealed = members.reveal(NAMES, silent=("D",))
    assert torch.equal(members.server.unmask(summed(words, NAMES), revealed), exact_sum(values, EQUAL, NAMES))


def test_a_late_answer_is_never_unmasked() -> None:
    values, members = drawn(NAMES), Members(NAMES)
    members.begin()
    members.deal()
    words = members.mask(values, EQUAL)
    survivors = ("A", "B", "C")  # the words of D come too late
    revealed = members.reveal(survivors)
    unmasked = members.server.unmask(summed(words, survivors), revealed)
    assert torch.equal(unmasked, exact_sum(values, EQUAL, survivors))
    assert_uniform(members.server.unmask(summed(words, NAMES), revealed) - unmasked)
    with pytest.raises(WrongShareError, match="0 of 3 shares of D"):
        replace(members.server, survivors=NAMES).unmask(summed(words, NAMES), revealed)


def test_fewer_than_the_threshold_cannot_go_on() -> None:
    members = Members(NAMES)
    members.begin()
    with pytest.raises(TooFewSitesError, match="2 of 4 sites shared their secrets, and 3 are needed"):
        members.deal(lost=("C", "D"))
    members.deal()
    words = members.mask(drawn(NAMES), EQUAL, lost=("C", "D"))
    with pytest.raises(TooFewSitesError, match="2 of 4 sites sent masked values"):
        members.server.with_survivors(words)
    with pytest.raises(TooFewSitesError, match="2 sites offered keys, at least 3"):
        ServerAttempt(members.server.attempt).with_roster(dict(list(members.server.roster.items())[:2]))


def test_fewer_shares_than_the_threshold_unmask_nothing() -> None:
    values, members = drawn(NAMES, 4000), Members(NAMES)
    members.begin()
    members.deal()
    words = members.mask(values, EQUAL)
    two = dict(list(members.reveal(NAMES).items())[:2])
    with pytest.raises(TooFewSitesError, match="2 of 4 sites revealed their shares"):
        members.server.unmask(summed(words, NAMES), two)
    forged = replace(members.server, roster=dict(list(members.server.roster.items())[:2]))  # a threshold of 2
    seeds = {
        name: forged._joined(
            name,
            "seed",
            {by: shares.seeds[name] for by, shares in two.items()},
            members.server.dealings[name].seed_shares_sha256,
        )
        for name in NAMES
    }
    left = summed(words, NAMES)
    for name in NAMES:
        add_mask(left, derive(bytes.fromhex(seeds[name]), members.server.context), -1)
    assert_uniform(left)


def test_wrong_shares_are_left_out_and_named() -> None:
    names = ("A", "B", "C", "D", "E")
    values, members = drawn(names), Members(names)
    equal = dict.fromkeys(names, 0.2)
    members.begin()
    members.deal()
    words = members.mask(values, equal)
    revealed = members.reveal(names)
    spoilt = Revealed(dict.fromkeys(names, "00" * 32), {})
    assert torch.equal(
        members.server.unmask(summed(words, names), revealed | {"B": spoilt}), exact_sum(values, equal, names)
    )
    with pytest.raises(WrongShareError, match="3 of 4 shares of A; wrong ones came from B, E"):
        members.server.unmask(summed(words, names), revealed | {"B": spoilt, "E": spoilt})


@pytest.mark.parametrize(
    ("secret", "lost", "line"),
    [
        ("seed", (), "the recovered seed of B does not match its commitment"),
        ("masking", ("B",), "the recovered key of B does not match the key that it signed"),
    ],
)
def test_a_site_that_deals_another_secret_than_its_own_is_named(secret: str, lost: tuple[str, ...], line: str) -> None:
    members = Members(NAMES)
    members.begin()
    members.deal()
    honest = members.server.dealings["B"]
    lying = replace(members.kept["B"], dealing=None, **{secret: "11" * 32})
    _, dealt = members.parts["B"].deal(lying, members.server.roster)
    dealings = members.server.dealings | {"B": replace(dealt, seed_sha256=honest.seed_sha256)}
    members.server = replace(members.server, dealings=dealings)
    words = members.mask(drawn(NAMES), EQUAL, lost)
    survivors = tuple(words)
    revealed = members.reveal(survivors)
    with pytest.raises(WrongShareError, match=line):
        members.server.unmask(summed(words, survivors), revealed)


def test_keys_and_dealings_are_checked_at_the_server() -> None:
    members = Members(NAMES)
    members.begin()
    keys = members.kept["A"].keys
    assert members.server.why_not_keys("A", keys) is None
    assert members.server.why_not_keys("B", keys) == "its keys are not signed for this attempt"
    assert members.server.why_not_keys("A", replace(keys, masking="00" * 32)) is not None
    assert members.server.why_not_keys("A", keys, [members.kept["B"].keys]) is None
    members.deal()
    dealing = members.server.dealings["A"]
    assert members.server.why_not_dealt(dealing) is None
    assert members.server.why_not_dealt(replace(dealing, sealed={})) is not None
    for sealed in ("", dealing.sealed["B"] + "00"):
        short = replace(dealing, sealed=dealing.sealed | {"B": sealed})
        assert members.server.why_not_dealt(short) == "its sealed shares are of another length than two shares have"


SMALL_ORDER = ("00" * 32, "01" + "00" * 31, "ec" + "ff" * 30 + "7f")


@pytest.mark.parametrize("name", ["encryption", "masking"])
@pytest.mark.parametrize("key", ["another's", "its other", *SMALL_ORDER])
def test_keys_at_which_every_other_site_would_fail_cost_their_own_site_only(name: str, key: str) -> None:
    """Signed by a hostile site, as they should be: with them, the others could deal no shares, and nobody be named."""
    members = Members(NAMES)
    members.begin()
    own, of_a = members.kept["B"].keys, members.kept["A"].keys
    given = {"another's": of_a.encryption, "its other": own.masking if name == "encryption" else own.encryption}
    offered = replace(own, **{name: given.get(key, key)})
    statement = key_statement(FIRST, "B", offered.encryption, offered.masking)
    offered = replace(offered, signature=members.parts["B"].identity.sign(statement))
    assert members.server.why_not_keys("B", offered, [of_a]) is not None


# -- transcripts: two worlds with the same sum and other single updates ------------------------------------------------

TRIO = ("A", "B", "C")
WORLDS = (
    {"A": 3.0, "B": -1.0, "C": 4.0},
    {"A": -2.0, "B": 7.0, "C": 1.0},
)
THIRDS = dict.fromkeys(TRIO, 1 / 4)
LENGTH = 8


def transcript(members: Members, world: dict[str, float], masked: bool = True) -> np.ndarray:
    """Each site's words as the server can at best make them: received, without the self-mask that it takes away."""
    values = {name: torch.full((LENGTH,), world[name], dtype=torch.float64) for name in TRIO}
    if not masked:
        return torch.stack([to_words(values[name] * THIRDS[name], 3) for name in TRIO]).numpy()
    members.kept = {}
    members.begin()
    members.deal()
    words = members.mask(values, THIRDS)
    for name in TRIO:  # the seeds are what the shares of the survivors make
        add_mask(words[name], derive(bytes.fromhex(members.kept[name].seed), members.server.context), -1)
    assert torch.equal(to_values(summed(words, TRIO)), torch.full((LENGTH,), 1.5, dtype=torch.float64))
    return torch.stack([words[name] for name in TRIO]).numpy()


def accuracy(transcripts: np.ndarray, worlds: np.ndarray) -> float:
    """Of a classifier of the bytes of the words, trained on one half of the transcripts and tested on the other."""
    features = np.ascontiguousarray(transcripts.reshape(len(transcripts), -1)).view(np.uint8) / 255
    half = len(worlds) // 2
    model = LogisticRegression(C=0.01, max_iter=200).fit(features[:half], worlds[:half])
    return float(model.score(features[half:], worlds[half:]))


@pytest.mark.ci
@pytest.mark.parametrize("count", [200, pytest.param(1000, marks=pytest.mark.slow)])
def test_transcripts_with_the_same_sum_cannot_be_told_apart(count: int) -> None:
    worlds = np.random.default_rng(3).integers(0, 2, count)
    members = Members(TRIO)
    transcripts = np.stack([transcript(members, WORLDS[world]) for world in worlds])
    assert abs(accuracy(transcripts, worlds) - 0.5) < 4 * 0.5 / np.sqrt(count / 2)  # four standard errors of a coin
    plain = np.stack([transcript(members, WORLDS[world], masked=False) for world in worlds])
    assert accuracy(plain, worlds) > 0.99  # so the classifier would have noticed
    for world in (0, 1):
        assert_uniform(torch.from_numpy(transcripts[worlds == world][:, :2].copy()))
