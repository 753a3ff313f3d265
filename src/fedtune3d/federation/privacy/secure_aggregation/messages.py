"""What sites and server tell each other in one attempt at a sum, and the limits that every site keeps.

Binary values are lower-case hexadecimal text, so that a message is JSON as it stands. After Bonawitz et al. 2017 (CCS,
doi:10.1145/3133956.3133982), section 7.2, with signed keys and a signed list of survivors.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

MIN_SITES = 3
"""Fewest sites whose sum is ever unmasked: of two, each knows its own part and so the other's."""

Hex = Annotated[str, Field(pattern=r"^([0-9a-f]{2})*$", max_length=4096)]
Hex16 = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Hex32 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Signature = Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]


def threshold_of(sites: int) -> int:
    """The fewest of `sites` that can unmask: more than two thirds, so that no two groups can learn different things."""
    return 2 * sites // 3 + 1


@dataclass(frozen=True)
class Attempt:
    """One attempt at the sum of a round; keys and masks are made for it alone.

    Attributes:
        experiment: SHA-256 of the experiment.
        round: The round, from 1.
        number: Counts the attempts at the round, from 1.
    """

    experiment: Hex32
    round: Annotated[int, Field(ge=1)]
    number: Annotated[int, Field(ge=1)]


@dataclass(frozen=True)
class SignedKeys:
    """A site's keys for one attempt.

    Attributes:
        site: The site's name.
        identity: The Ed25519 public key that the site always signs with.
        encryption: The X25519 public key with which others encrypt shares for it.
        masking: The X25519 public key from which pairwise masks follow.
        signature: By the identity, over the attempt, the name and both keys.
    """

    site: str
    identity: Hex32
    encryption: Hex32
    masking: Hex32
    signature: Signature


@dataclass(frozen=True)
class Dealing:
    """A site's secrets, shared out among all sites of the attempt.

    Attributes:
        sealed: Site → its shares, encrypted so that only that site can read them.
        seed_sha256: Commitment to the seed of the self-mask.
        seed_shares_sha256: Site → commitment to its share of the seed.
        key_shares_sha256: Site → commitment to its share of the private masking key.
    """

    sealed: dict[str, Hex]
    seed_sha256: Hex32
    seed_shares_sha256: dict[str, Hex32]
    key_shares_sha256: dict[str, Hex32]


@dataclass(frozen=True)
class Plan:
    """What is added up, the same for all sites; every mask depends on all of it.

    Attributes:
        coefficients: Site → the factor of its values; its keys are the sites that mask, all of which have dealt.
        received_sha256: SHA-256 of all tensors that came with the training task.
        training_sha256: SHA-256 of what else the training task says to every site.
        layout_sha256: SHA-256 of the names, dtypes and shapes of the summed tensors.
    """

    coefficients: dict[str, float]
    received_sha256: Hex32
    training_sha256: Hex32
    layout_sha256: Hex32

    @property
    def sites(self) -> tuple[str, ...]:
        """The sites that mask, sorted."""
        return tuple(sorted(self.coefficients))


@dataclass(frozen=True)
class Revealed:
    """The shares that a site gives up: of the seed of each survivor, of the masking key of each other site.

    Attributes:
        seeds: Survivor → this site's share of its seed.
        keys: Site that fell out after dealing → this site's share of its private masking key.
    """

    seeds: dict[str, Hex32]
    keys: dict[str, Hex32]


def digest(kind: str, *values: object) -> bytes:
    """SHA-256 over a kind of statement and JSON values or dataclasses, so that no statement passes for another."""
    return hashlib.sha256(json.dumps([f"fedtune3d {kind} 1", *map(_plain, values)], sort_keys=True).encode()).digest()


def key_statement(attempt: Attempt, site: str, encryption: str, masking: str) -> bytes:
    """What a site signs when it offers its keys for an attempt."""
    return digest("keys", attempt, site, encryption, masking)


def survivor_statement(context: bytes, survivors: tuple[str, ...]) -> bytes:
    """What a site signs when it accepts a list of survivors, given the context of the masks."""
    return digest("survivors", context.hex(), list(survivors))


def mask_context(attempt: Attempt, roster: Mapping[str, SignedKeys], plan: Plan) -> bytes:
    """The context that keys every mask: sites that were told different things get masks that do not cancel."""
    return digest("masks", attempt, [roster[site] for site in sorted(roster)], plan)


def commitment(kind: str, attempt: Attempt, dealer: str, secret: str) -> str:
    """A commitment to a secret of high entropy, in hexadecimal."""
    return digest(f"commitment to {kind}", attempt, dealer, secret).hex()


def why_unsafe(coefficients: Mapping[str, float], max_share: float) -> str | None:
    """Why the sum of these sites would tell too much about one of them, in one line; None if it would not."""
    counted = [site for site in sorted(coefficients) if coefficients[site] > 0]
    if len(counted) < MIN_SITES:
        return f"a sum of {len(counted)} sites would tell about each; at least {MIN_SITES} are needed"
    total = sum(coefficients.values())
    site = max(counted, key=lambda name: coefficients[name])
    share = coefficients[site] / total
    if share > max_share:
        return f"{site} would have {share:.0%} of the sum, and policy.max_share is {max_share:.0%}"
    return None


def _plain(value: object) -> object:
    if isinstance(value, Attempt | SignedKeys | Plan):
        return vars(value)
    return [_plain(item) for item in value] if isinstance(value, list) else value
