"""Sites and a server that play the protocol of secure aggregation in memory, step by step."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.stats import chisquare

from fedtune3d.federation.privacy.secure_aggregation.identity import Identity
from fedtune3d.federation.privacy.secure_aggregation.messages import Attempt, Plan, Revealed
from fedtune3d.federation.privacy.secure_aggregation.server_part import ServerAttempt
from fedtune3d.federation.privacy.secure_aggregation.site_part import OwnView, SiteAttempt, SitePart

VIEW = OwnView("aa" * 32, "bb" * 32, "cc" * 32)
FIRST = Attempt("ee" * 32, 1, 1)


def plan_of(coefficients: Mapping[str, float], view: OwnView = VIEW) -> Plan:
    """A plan that agrees with what a site knows."""
    return Plan(dict(coefficients), view.received_sha256, view.training_sha256, view.layout_sha256)


@dataclass
class Members:
    """Sites that trust each other, and the server, in the state that the last step left them in."""

    names: tuple[str, ...]
    max_share: float = 0.6
    parts: dict[str, SitePart] = field(default_factory=dict)
    kept: dict[str, SiteAttempt] = field(default_factory=dict)
    server: ServerAttempt = field(default_factory=lambda: ServerAttempt(FIRST))

    def __post_init__(self) -> None:
        identities = {name: Identity.new() for name in self.names}
        trusted = {name: identity.fingerprint for name, identity in identities.items()}
        self.parts = {name: SitePart(identities[name], trusted, self.max_share) for name in self.names}

    def begin(self, attempt: Attempt = FIRST) -> None:
        """Every site offers keys, and the server fixes the roster."""
        self.kept = {name: self.parts[name].begin(name, attempt, self.kept.get(name)) for name in self.names}
        roster = {name: kept.keys for name, kept in self.kept.items()}
        self.server = ServerAttempt(attempt).with_roster(roster)

    def deal(self, lost: tuple[str, ...] = ()) -> None:
        """Every site that is not lost deals."""
        dealings = {}
        for name in self.names:
            if name not in lost:
                self.kept[name], dealings[name] = self.parts[name].deal(self.kept[name], self.server.roster)
        self.server = self.server.with_dealings(dealings)

    def mask(
        self, values: Mapping[str, torch.Tensor], coefficients: Mapping[str, float], lost: tuple[str, ...] = ()
    ) -> dict[str, torch.Tensor]:
        """Every site of the plan that is not lost masks its values; the words by site."""
        self.server = ServerAttempt(
            self.server.attempt, self.server.roster, self.server.dealings, plan_of(coefficients)
        )
        words = {}
        for name in sorted(coefficients):
            if name not in lost:
                self.kept[name], words[name] = self.mask_one(name, values[name], self.server.decided)
        return words

    def mask_one(self, name: str, values: torch.Tensor, plan: Plan, view: OwnView = VIEW):
        """One site masks its values by a plan."""
        sealed = {dealer: shares for dealer, shares in self.server.sealed_for(name).items() if dealer in plan.sites}
        return self.parts[name].mask(self.kept[name], plan, sealed, view, values)

    def reveal(self, survivors: tuple[str, ...], silent: tuple[str, ...] = ()) -> dict[str, Revealed]:
        """The survivors that are not silent confirm their list and give up their shares."""
        self.server = self.server.with_survivors(survivors)
        signatures = {}
        for name in survivors:
            if name not in silent:
                self.kept[name], signatures[name] = self.parts[name].confirm(self.kept[name], survivors)
                assert self.server.is_confirmed_by(name, signatures[name])
        return {name: self.parts[name].reveal(self.kept[name], signatures) for name in signatures}


def assert_uniform(words: torch.Tensor) -> None:
    """Check by χ² that words look drawn, all of their bits and the topmost ones, which small values would leave empty.

    Two in a million good runs fail.
    """
    octets = words.contiguous().flatten().view(torch.uint8).numpy()
    top = octets.reshape(-1, 8)[:, 7] >> 4
    for nibbles in (octets >> 4, octets & 15, top):
        assert chisquare(np.bincount(nibbles, minlength=16)).pvalue > 1e-6
