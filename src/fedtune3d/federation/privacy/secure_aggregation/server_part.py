"""The server's part in an attempt at a sum: participation, relaying of shares, and unmasking of the sum."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import torch

from fedtune3d.federation.privacy.secure_aggregation.messages import (
    MIN_SITES,
    Attempt,
    Dealing,
    Plan,
    Revealed,
    SignedKeys,
    commitment,
    key_statement,
    mask_context,
    survivor_statement,
    threshold_of,
)
from fedtune3d.federation.privacy.secure_aggregation.primitives import (
    SEALED_SHARES_LENGTH,
    add_mask,
    derive,
    is_public_key,
    is_signed,
    join_secret,
    public_key,
)
from fedtune3d.federation.privacy.secure_aggregation.site_part import mask_sign, pair_mask_key


class TooFewSitesError(Exception):
    """Too few sites are left to continue an attempt; the message names the step."""


class WrongShareError(Exception):
    """A secret could not be recovered from its shares."""


@dataclass(frozen=True)
class ServerAttempt:
    """The server's view of an attempt; nothing in it is secret.

    Attributes:
        attempt: The attempt.
        roster: Site → the keys that it offered.
        dealings: Site → its shared secrets.
        plan: The terms of the sum, once decided.
        survivors: The sites whose masked values arrived in time, once decided.
    """

    attempt: Attempt
    roster: dict[str, SignedKeys] = field(default_factory=dict)
    dealings: dict[str, Dealing] = field(default_factory=dict)
    plan: Plan | None = None
    survivors: tuple[str, ...] = ()

    @property
    def threshold(self) -> int:
        """The minimum number of sites that can unmask."""
        return threshold_of(len(self.roster))

    @property
    def context(self) -> bytes:
        """The context of the masks."""
        return mask_context(self.attempt, self.roster, self.decided)

    @property
    def decided(self) -> Plan:
        """Return the plan. Raises `ValueError` before it is decided."""
        if self.plan is None:
            raise ValueError("expected a plan")
        return self.plan

    def why_not_keys(self, site: str, keys: SignedKeys, others: Iterable[SignedKeys] = ()) -> str | None:
        """Return why the keys of a site cannot be used, in one line; None if they can.

        Any of these reasons would have every other site refuse, or fail at, the keys of all.

        Args:
            site: The site.
            keys: The keys that it offered.
            others: The keys of the sites before it.
        """
        statement = key_statement(self.attempt, site, keys.encryption, keys.masking)
        if keys.site != site or not is_signed(keys.identity, keys.signature, statement):
            return "its keys are not signed for this attempt"
        if len(set(keys.public)) < len(keys.public) or any(set(keys.public) & set(other.public) for other in others):
            return "one of its keys stands for another, too"
        if not (is_public_key(keys.encryption) and is_public_key(keys.masking)):
            return "no secret can be agreed with its keys"
        return None

    def with_roster(self, roster: Mapping[str, SignedKeys]) -> "ServerAttempt":
        """Fix the sites of the attempt. Raises `TooFewSitesError` if there are fewer than three."""
        if len(roster) < MIN_SITES:
            raise TooFewSitesError(f"{len(roster)} sites offered keys, at least {MIN_SITES} are needed")
        return replace(self, roster=dict(sorted(roster.items())))

    def why_not_dealt(self, dealing: Dealing) -> str | None:
        """Return why a site's dealing cannot be used, in one line; None if it can."""
        for name in ("sealed", "seed_shares_sha256", "key_shares_sha256"):
            if getattr(dealing, name).keys() != self.roster.keys():
                return "its shares are not for exactly the sites of the attempt"
        if any(len(sealed) != SEALED_SHARES_LENGTH for sealed in dealing.sealed.values()):
            return "its sealed shares are of another length than two shares have"
        return None

    def with_dealings(self, dealings: Mapping[str, Dealing]) -> "ServerAttempt":
        """Fix the dealing sites. Raises `TooFewSitesError` if they are fewer than the threshold."""
        self._require_enough(dealings, "shared their secrets")
        return replace(self, dealings=dict(sorted(dealings.items())))

    def sealed_for(self, site: str) -> dict[str, str]:
        """Return dealer → sealed shares for a site, to be relayed to it."""
        return {dealer: dealing.sealed[site] for dealer, dealing in self.dealings.items()}

    def with_survivors(self, survivors: Iterable[str]) -> "ServerAttempt":
        """Fix the sites in the sum. Raises `TooFewSitesError` if they are fewer than the threshold."""
        names = tuple(sorted(survivors))
        self._require_enough(names, "sent masked values")
        return replace(self, survivors=names)

    def is_confirmed_by(self, site: str, signature: str) -> bool:
        """Return whether a site has signed the list of survivors."""
        return is_signed(self.roster[site].identity, signature, survivor_statement(self.context, self.survivors))

    def unmask(self, total: torch.Tensor, revealed: Mapping[str, Revealed]) -> torch.Tensor:
        """Return the sum of the survivors' words, given the sum of their masked words.

        Args:
            total: (n,) int64.
            revealed: Site → the shares that it revealed.

        Raises:
            TooFewSitesError: If fewer sites than the threshold revealed shares.
            WrongShareError: If a site's secret could not be recovered; names the site.
        """
        self._require_enough(revealed, "revealed their shares")
        words, context = total.clone(), self.context
        for site in self.survivors:
            add_mask(words, derive(bytes.fromhex(self._seed_of(site, revealed)), context), -1)
        for lost in self.decided.sites:
            if lost in self.survivors:
                continue
            private = self._masking_key_of(lost, revealed)
            for site in self.survivors:
                key = pair_mask_key(private, self.roster[site].masking, context)
                add_mask(words, key, -mask_sign(site, lost))
        return words

    def _seed_of(self, site: str, revealed: Mapping[str, Revealed]) -> str:
        committed = self.dealings[site].seed_shares_sha256
        seed = self._joined(site, "seed", {by: shares.seeds.get(site) for by, shares in revealed.items()}, committed)
        if commitment("seed", self.attempt, site, seed) != self.dealings[site].seed_sha256:
            raise WrongShareError(f"the recovered seed of {site} does not match its commitment")
        return seed

    def _masking_key_of(self, site: str, revealed: Mapping[str, Revealed]) -> str:
        committed = self.dealings[site].key_shares_sha256
        private = self._joined(site, "key", {by: shares.keys.get(site) for by, shares in revealed.items()}, committed)
        if public_key(private) != self.roster[site].masking:
            raise WrongShareError(f"the recovered key of {site} does not match the key that it signed")
        return private

    def _joined(self, site: str, what: str, shares: Mapping[str, str | None], committed: Mapping[str, str]) -> str:
        """Recover a secret from the shares that match their commitments."""
        good = {
            by: share
            for by, share in sorted(shares.items())
            if share is not None and commitment(f"{what} share {by}", self.attempt, site, share) == committed[by]
        }
        if len(good) < self.threshold:
            bad = ", ".join(sorted(shares.keys() - good.keys()))
            raise WrongShareError(f"{len(good)} of {self.threshold} shares of {site}; wrong ones came from {bad}")
        first = dict(list(good.items())[: self.threshold])
        return join_secret(first, sorted(self.roster))

    def _require_enough(self, sites: Iterable[str], what: str) -> None:
        count = len(list(sites))
        if count < max(MIN_SITES, self.threshold):
            raise TooFewSitesError(
                f"{count} of {len(self.roster)} sites {what}, and {self.threshold} are needed to unmask their sum"
            )
