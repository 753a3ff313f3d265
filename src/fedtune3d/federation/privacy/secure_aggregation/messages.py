"""Messages between sites and server in one attempt at a sum, and the limits that every site enforces.

Binary values are lower-case hexadecimal text, so that messages are plain JSON. The protocol is that of Bonawitz et al.
2017 (CCS, doi:10.1145/3133956.3133982), section 7.2, with signed keys and a signed list of survivors.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

MIN_SITES = 3
"""Minimum number of sites in a sum: with two, each site could subtract its own update and obtain the other's."""

MIN_PART = 0.01
"""Smallest coefficient of a site that counts towards `MIN_SITES`, as a part of the largest one: a site with less hides
nobody, and in fixed point it may add nothing at all."""

Hex = Annotated[str, Field(pattern=r"^([0-9a-f]{2})*$", max_length=4096)]
Hex16 = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Hex32 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Signature = Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]


def threshold_of(sites: int) -> int:
    """Return the minimum number of sites that can unmask: more than two thirds, so that no two groups can differ."""
    return 2 * sites // 3 + 1


def needed_again(sites: int) -> int:
    """Return how many sites of an attempt must be in the next one at the round for the first to be known as given up.

    A site that is in the next one signs no list of survivors of the first. With so many there, no `threshold_of` the
    sites can have signed or will sign one, even if a third of them say one thing and do the other.
    """
    return sites - threshold_of(sites) + sites // 3 + 1


@dataclass(frozen=True)
class Attempt:
    """One attempt at the sum of a round, with its own keys and masks.

    Attributes:
        experiment: SHA-256 of the experiment.
        round: The round, from 1.
        number: Number of the attempt at the round, from 1.
    """

    experiment: Hex32
    round: Annotated[int, Field(ge=1)]
    number: Annotated[int, Field(ge=1)]


@dataclass(frozen=True)
class SignedKeys:
    """A site's keys for one attempt.

    Attributes:
        site: The site's name.
        identity: The site's permanent Ed25519 public key.
        encryption: The X25519 public key with which others encrypt shares for it.
        masking: The X25519 public key from which pairwise masks follow.
        signature: Signature of the attempt, the name and both keys by the identity.
    """

    site: str
    identity: Hex32
    encryption: Hex32
    masking: Hex32
    signature: Signature

    @property
    def public(self) -> tuple[str, str, str]:
        """The three public keys, which all sites of an attempt have different from each other."""
        return self.identity, self.encryption, self.masking


@dataclass(frozen=True)
class Dealing:
    """A site's secrets, shared among all sites of the attempt.

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
    """The terms of the sum, equal for all sites; every mask depends on all fields.

    Attributes:
        coefficients: Site → factor of its values; the keys are the masking sites, all of which have dealt.
        received_sha256: SHA-256 of all tensors of the training task.
        training_sha256: SHA-256 of the rest of the training task, which is the same for every site.
        layout_sha256: SHA-256 of the names, dtypes and shapes of the summed tensors.
    """

    coefficients: dict[str, float]
    received_sha256: Hex32
    training_sha256: Hex32
    layout_sha256: Hex32

    @property
    def sites(self) -> tuple[str, ...]:
        """The masking sites, sorted."""
        return tuple(sorted(self.coefficients))


@dataclass(frozen=True)
class Revealed:
    """The shares that a site reveals: of each survivor's seed, and of each lost site's masking key.

    Attributes:
        seeds: Survivor → this site's share of its seed.
        keys: Site lost after dealing → this site's share of its private masking key.
    """

    seeds: dict[str, Hex32]
    keys: dict[str, Hex32]


def digest(kind: str, *values: object) -> bytes:
    """Return the SHA-256 of JSON values or dataclasses, with the kind of statement prepended (domain separation)."""
    return hashlib.sha256(json.dumps([f"fedtune3d {kind} 1", *map(_plain, values)], sort_keys=True).encode()).digest()


def key_statement(attempt: Attempt, site: str, encryption: str, masking: str) -> bytes:
    """Return the statement that a site signs when it offers its keys for an attempt."""
    return digest("keys", attempt, site, encryption, masking)


def survivor_statement(context: bytes, survivors: tuple[str, ...]) -> bytes:
    """Return the statement that a site signs when it accepts a list of survivors, given the context of the masks."""
    return digest("survivors", context.hex(), list(survivors))


def mask_context(attempt: Attempt, roster: Mapping[str, SignedKeys], plan: Plan) -> bytes:
    """Return the context from which masks are derived; masks of sites with different contexts do not cancel."""
    return digest("masks", attempt, [roster[site] for site in sorted(roster)], plan)


def commitment(kind: str, attempt: Attempt, dealer: str, secret: str) -> str:
    """Return a commitment to a high-entropy secret, in hexadecimal."""
    return digest(f"commitment to {kind}", attempt, dealer, secret).hex()


def why_unsafe(coefficients: Mapping[str, float], max_share: float) -> str | None:
    """Return why the sum of these sites would reveal too much about one of them, in one line; None if it would not."""
    least = MIN_PART * max(coefficients.values(), default=0.0)
    counted = [site for site in sorted(coefficients) if coefficients[site] > 0 and coefficients[site] >= least]
    if len(counted) < MIN_SITES:
        return (
            f"a sum of {len(counted)} sites would reveal too much about each; at least {MIN_SITES} are needed, each "
            f"with {MIN_PART:.0%} of the largest coefficient or more"
        )
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
