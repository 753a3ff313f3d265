"""A site's part in an attempt at a sum: its state, its messages and its refusals, without files or network.

An attempt has five steps, each taken once: `begin` (fresh signed keys), `deal` (secrets shared among the sites), `mask`
(masked values), `confirm` (signed list of survivors) and `reveal` (shares that unmask the sum). Each returns the state
that the site must save before its answer leaves; the same request is answered the same way again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated

import torch
from pydantic import Field

from fedtune3d.federation.privacy.refusal import Refusal
from fedtune3d.federation.privacy.secure_aggregation.fixed_point import to_words
from fedtune3d.federation.privacy.secure_aggregation.identity import Identity, fingerprint_of
from fedtune3d.federation.privacy.secure_aggregation.messages import (
    MIN_SITES,
    Attempt,
    Dealing,
    Hex32,
    Plan,
    Revealed,
    SignedKeys,
    commitment,
    digest,
    key_statement,
    mask_context,
    needed_again,
    survivor_statement,
    threshold_of,
    why_unsafe,
)
from fedtune3d.federation.privacy.secure_aggregation.primitives import (
    SECRET_BYTES,
    add_mask,
    agree,
    derive,
    is_signed,
    new_secret,
    public_key,
    seal,
    share_secret,
    unseal,
)


@dataclass(frozen=True)
class HeldShares:
    """A site's shares of another site's secrets: the seed of its self-mask, and its private masking key."""

    seed: Hex32
    key: Hex32


@dataclass(frozen=True)
class SiteAttempt:
    """A site's state of an attempt, including its secrets; it never leaves the site.

    Attributes:
        attempt: The attempt.
        keys: The public keys that it offered.
        encryption: The private key with which it decrypts its shares.
        masking: The private key from which pairwise masks follow.
        seed: The seed of its self-mask.
        roster: The keys of all sites of the attempt, once it has dealt.
        dealing: Its shared secrets.
        held: Site → the shares that it holds, once it has masked.
        plan: The terms of the sum, once it has masked.
        survivors: The list of survivors, once it has signed one.
        unsettled: Name → identity of the sites of an earlier attempt at the round that may be added up with this
            site's values and without its signature; empty once this is ruled out.
    """

    attempt: Attempt
    keys: SignedKeys
    encryption: Hex32
    masking: Hex32
    seed: Hex32
    roster: dict[str, SignedKeys] = field(default_factory=dict)
    dealing: Dealing | None = None
    held: dict[str, HeldShares] = field(default_factory=dict)
    plan: Plan | None = None
    survivors: tuple[str, ...] | None = None
    unsettled: dict[str, Hex32] = field(default_factory=dict)

    @property
    def site(self) -> str:
        """The site's name."""
        return self.keys.site

    @property
    def threshold(self) -> int:
        """The minimum number of sites that can unmask."""
        return threshold_of(len(self.roster))


@dataclass(frozen=True)
class OwnView:
    """The site's own values of the fields of `Plan`; a plan with other values is refused."""

    received_sha256: str
    training_sha256: str
    layout_sha256: str


@dataclass(frozen=True)
class SitePart:
    """A site's identity, trusted peers and policy, the same in all attempts.

    Attributes:
        identity: Its signing key.
        trusted: Name → fingerprint of the other sites, compared by people; None trusts every key, for simulations in
            one process.
        max_share: The largest share of a sum that any site may have.
    """

    identity: Identity
    trusted: Mapping[str, str] | None
    max_share: Annotated[float, Field(gt=0, le=1)] = 0.6

    def begin(self, site: str, attempt: Attempt, last: SiteAttempt | None) -> SiteAttempt:
        """Generate keys for an attempt.

        Args:
            site: The site's name.
            attempt: The attempt, which must be later than the last one.
            last: The site's state of the experiment's last attempt.

        Raises:
            Refusal: If the attempt was begun before, or the round may have been summed already.
        """
        if last is not None:
            _require_later(attempt, last)
        encryption, masking, seed = new_secret(), new_secret(), new_secret()
        public = public_key(encryption), public_key(masking)
        keys = SignedKeys(
            site, self.identity.public, *public, self.identity.sign(key_statement(attempt, site, *public))
        )
        return SiteAttempt(attempt, keys, encryption, masking, seed, unsettled=_unsettled_before(attempt, last))

    def deal(self, kept: SiteAttempt, roster: Mapping[str, SignedKeys]) -> tuple[SiteAttempt, Dealing]:
        """Share the site's secrets among all sites of the attempt, itself included.

        Raises:
            Refusal: If there are fewer than three sites, a key is not signed by a trusted site, an earlier attempt at
                the round may still be added up, or this is a second roster.
        """
        if kept.dealing is not None:
            if roster != kept.roster:
                raise Refusal("secure aggregation: a second list of keys for one attempt")
            return kept, kept.dealing
        self._require_trusted(kept, roster)
        _require_settled(kept, roster)
        names, threshold = sorted(roster), threshold_of(len(roster))
        seeds, keys = (share_secret(secret, threshold, names) for secret in (kept.seed, kept.masking))
        dealing = Dealing(
            sealed={name: _sealed(kept, roster[name], seeds[name] + keys[name]) for name in names},
            seed_sha256=commitment("seed", kept.attempt, kept.site, kept.seed),
            seed_shares_sha256={
                name: commitment(f"seed share {name}", kept.attempt, kept.site, seeds[name]) for name in names
            },
            key_shares_sha256={
                name: commitment(f"key share {name}", kept.attempt, kept.site, keys[name]) for name in names
            },
        )
        return replace(kept, roster=dict(roster), dealing=dealing), dealing

    def mask(
        self, kept: SiteAttempt, plan: Plan, sealed: Mapping[str, str], view: OwnView, values: torch.Tensor
    ) -> tuple[SiteAttempt, torch.Tensor]:
        """Return the site's weighted values in fixed point, under its self-mask and a pairwise mask per other site.

        Args:
            kept: The site's state.
            plan: The terms of the sum.
            sealed: Dealer → this site's shares of its secrets, for all sites of the plan.
            view: The site's own view of its training task and of its values.
            values: (n,) float64, without the coefficient.

        Returns:
            The state to keep, and (n,) int64 words.

        Raises:
            Refusal: If the plan would reveal too much about a site, contradicts the site's view, or is a second one.
            ValueError: If a value is too large.
        """
        if kept.plan not in (None, plan):
            raise Refusal("secure aggregation: a second plan for one attempt")
        self._require_sound(kept, plan, view)
        if sealed.keys() != plan.coefficients.keys():
            raise Refusal("secure aggregation: shares of other sites than those of the plan")
        held = {dealer: _held(kept, dealer, sealed[dealer]) for dealer in plan.sites}
        words = to_words(values * plan.coefficients[kept.site], len(plan.sites))
        context = mask_context(kept.attempt, kept.roster, plan)
        add_mask(words, derive(bytes.fromhex(kept.seed), context), 1)
        for other in plan.sites:
            if other != kept.site:
                pair = pair_mask_key(kept.masking, kept.roster[other].masking, context)
                add_mask(words, pair, mask_sign(kept.site, other))
        return replace(kept, plan=plan, held=held), words

    def confirm(self, kept: SiteAttempt, survivors: tuple[str, ...]) -> tuple[SiteAttempt, str]:
        """Sign the list of the sites in the sum; no other list is accepted afterwards.

        Raises:
            Refusal: If this is a second list, it has too few sites, or a site would have too large a share.
        """
        plan = _plan_of(kept)
        if kept.survivors not in (None, survivors):
            raise Refusal("secure aggregation: a second list of survivors for one attempt")
        if list(survivors) != sorted(set(survivors)) or not set(survivors) <= set(plan.sites):
            raise Refusal("secure aggregation: a list of survivors that names a site twice, or one that did not mask")
        if kept.site not in survivors:
            raise Refusal("secure aggregation: this site counts as lost, so it helps with no sum")
        if len(survivors) < max(MIN_SITES, kept.threshold):
            raise Refusal(f"secure aggregation: {len(survivors)} survivors, and {kept.threshold} are needed to unmask")
        if why := why_unsafe({site: plan.coefficients[site] for site in survivors}, self.max_share):
            raise Refusal(f"secure aggregation: {why}")
        context = mask_context(kept.attempt, kept.roster, plan)
        signature = self.identity.sign(survivor_statement(context, survivors))
        return replace(kept, survivors=survivors), signature

    def reveal(self, kept: SiteAttempt, signatures: Mapping[str, str]) -> Revealed:
        """Reveal the shares that unmask the sum over the survivors confirmed by this site.

        Args:
            kept: The site's state.
            signatures: Survivor → its signature of the same list, from at least `threshold` sites.

        Raises:
            Refusal: If the site has not confirmed a list, or too few others have confirmed the same one.
        """
        plan, survivors = _plan_of(kept), kept.survivors
        if survivors is None:
            raise Refusal("secure aggregation: no list of survivors was confirmed")
        statement = survivor_statement(mask_context(kept.attempt, kept.roster, plan), survivors)
        valid = [
            site
            for site in sorted(set(signatures) & set(survivors))
            if is_signed(kept.roster[site].identity, signatures[site], statement)
        ]
        if len(valid) < kept.threshold:
            raise Refusal(f"secure aggregation: {len(valid)} sites have signed this list, {kept.threshold} are needed")
        return Revealed(
            seeds={site: kept.held[site].seed for site in survivors},
            keys={site: kept.held[site].key for site in plan.sites if site not in survivors},
        )

    def _require_trusted(self, kept: SiteAttempt, roster: Mapping[str, SignedKeys]) -> None:
        if len(roster) < MIN_SITES:
            raise Refusal(f"secure aggregation: {len(roster)} sites, at least {MIN_SITES} are needed")
        if roster.get(kept.site) != kept.keys:
            raise Refusal("secure aggregation: this site's own keys are missing or exchanged")
        public = [key for keys in roster.values() for key in keys.public]
        if len(set(public)) < len(public):
            raise Refusal("secure aggregation: two sites with one key")
        for site, keys in sorted(roster.items()):
            if keys.site != site or not is_signed(
                keys.identity, keys.signature, key_statement(kept.attempt, site, keys.encryption, keys.masking)
            ):
                raise Refusal(f"secure aggregation: the keys of {site} are not signed for this attempt")
            if self.trusted is None or site == kept.site:
                continue
            if site not in self.trusted:
                raise Refusal(f"secure aggregation: {site} is not trusted here (`fedtune3d site trust`)")
            if self.trusted[site] != fingerprint_of(keys.identity):
                raise Refusal(f"secure aggregation: {site} signs with another key than the one that is trusted here")

    def _require_sound(self, kept: SiteAttempt, plan: Plan, view: OwnView) -> None:
        if kept.dealing is None:
            raise Refusal("secure aggregation: a plan before any keys were exchanged")
        if kept.site not in plan.coefficients or not plan.coefficients.keys() <= kept.roster.keys():
            raise Refusal("secure aggregation: a plan without this site, or with one that offered no keys")
        if len(plan.sites) < kept.threshold:
            raise Refusal(f"secure aggregation: {len(plan.sites)} sites in the plan, {kept.threshold} can unmask")
        if not all(0 <= coefficient <= 1 for coefficient in plan.coefficients.values()):
            raise Refusal("secure aggregation: expected coefficients from 0 to 1")
        if why := why_unsafe(plan.coefficients, self.max_share):
            raise Refusal(f"secure aggregation: {why}")
        for what in ("received", "training", "layout"):
            if getattr(plan, f"{what}_sha256") != getattr(view, f"{what}_sha256"):
                raise Refusal(f"secure aggregation: the plan's {what}_sha256 is not what this site has")


def pair_mask_key(private: str, public: str, context: bytes) -> bytes:
    """Derive the key of the mask that two sites share; both sites, and the server for a lost one, get the same key."""
    return derive(agree(private, public), context)


def mask_sign(site: str, other: str) -> int:
    """Return the sign with which a site applies the mask that it shares with another, which uses the opposite sign."""
    return 1 if site < other else -1


def _require_later(attempt: Attempt, last: SiteAttempt) -> None:
    before = last.attempt
    if attempt.experiment != before.experiment:
        return
    if (attempt.round, attempt.number) <= (before.round, before.number):
        raise Refusal(
            f"secure aggregation: attempt {attempt.number} at round {attempt.round} does not come after attempt "
            f"{before.number} at round {before.round}; a new run needs another seed or name"
        )
    if attempt.round == before.round and last.survivors is not None:
        raise Refusal(
            f"secure aggregation: round {attempt.round} may have been added up, and no round is added up twice; a new "
            "run needs another seed or name"
        )


def _unsettled_before(attempt: Attempt, last: SiteAttempt | None) -> dict[str, Hex32]:
    if last is None or (attempt.experiment, attempt.round) != (last.attempt.experiment, last.attempt.round):
        return {}
    if last.plan is not None:
        return {site: keys.identity for site, keys in last.roster.items()}
    return last.unsettled if last.dealing is None else {}


def _require_settled(kept: SiteAttempt, roster: Mapping[str, SignedKeys]) -> None:
    """Raise `Refusal` unless the roster shows that the earlier attempt can no longer be added up."""
    again = sum(site in roster and roster[site].identity == identity for site, identity in kept.unsettled.items())
    if kept.unsettled and again < needed_again(len(kept.unsettled)):
        raise Refusal(f"secure aggregation: with {again} of its sites back, the last attempt may still be added up")


def _plan_of(kept: SiteAttempt) -> Plan:
    if kept.plan is None:
        raise Refusal("secure aggregation: this site has masked nothing in this attempt")
    return kept.plan


def _share_key(private: str, public: str, attempt: Attempt, dealer: str, holder: str) -> tuple[bytes, bytes]:
    about = digest("shares", attempt, dealer, holder)
    return derive(agree(private, public), about), about


def _sealed(kept: SiteAttempt, holder: SignedKeys, shares: str) -> str:
    key, about = _share_key(kept.encryption, holder.encryption, kept.attempt, kept.site, holder.site)
    return seal(key, bytes.fromhex(shares), about)


def _held(kept: SiteAttempt, dealer: str, sealed: str) -> HeldShares:
    key, about = _share_key(kept.encryption, kept.roster[dealer].encryption, kept.attempt, dealer, kept.site)
    content = unseal(key, sealed, about)
    if content is None or len(content) != 2 * SECRET_BYTES:
        raise Refusal(f"secure aggregation: the shares from {dealer} are not what that site sealed for this one")
    return HeldShares(content[:SECRET_BYTES].hex(), content[SECRET_BYTES:].hex())
