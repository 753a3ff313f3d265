"""What secure aggregation costs per round: seconds at a site and at the server, and bytes, with and without it.

Plays the protocol's steps in memory, on vectors as long as a head or LoRA adapters, without training and the network:
python benchmarks/secure_aggregation.py [--sites 4 32] [--json FILE]
"""

import argparse
import dataclasses
import json
import time
from pathlib import Path

import torch

from fedtune3d.federation.messages import Payload
from fedtune3d.federation.privacy.secure_aggregation.identity import Identity
from fedtune3d.federation.privacy.secure_aggregation.messages import Attempt, Plan
from fedtune3d.federation.privacy.secure_aggregation.server_part import ServerAttempt
from fedtune3d.federation.privacy.secure_aggregation.site_part import OwnView, SitePart
from fedtune3d.federation.serialisation import to_text
from fedtune3d.federation.tasks.confirm_survivors import Confirmation, ConfirmSurvivors
from fedtune3d.federation.tasks.mask_update import MaskedUpdate, MaskUpdate
from fedtune3d.federation.tasks.reveal_shares import RevealedShares, RevealShares
from fedtune3d.federation.tasks.share_secrets import SharedSecrets, ShareSecrets

PARAMETERS = {"CONV S": 1_709_442, "LoRA": 147_456}
"""Lengths of the vectors: the default head on 384 channels; LoRA of rank 4 on q and v of twelve blocks, width 768."""
FLOAT, WORD = 4, 8
VIEW = OwnView("aa" * 32, "bb" * 32, "cc" * 32)


@dataclasses.dataclass(frozen=True)
class Cost:
    """One round with one site in the mean; the plain round sends the state down and the update up.

    Attributes:
        what: What trains.
        sites: Sites of the round.
        site_seconds: Processor time per site for the masks, without training.
        server_seconds: Processor time at the server, to unmask the sum.
        plain_up: Bytes up per site without masks.
        up: Bytes up per site with masks.
        plain_both: Bytes both ways per site without masks.
        both: Bytes both ways per site with masks.
    """

    what: str
    sites: int
    site_seconds: float
    server_seconds: float
    plain_up: int
    up: int
    plain_both: int
    both: int


def measure(what: str, sites: int) -> Cost:
    """Play one round without lost sites."""
    length, names = PARAMETERS[what], [f"site-{number:02d}" for number in range(sites)]
    parts = {name: SitePart(Identity.new(), None) for name in names}
    attempt, generator = Attempt("ee" * 32, 1, 1), torch.Generator().manual_seed(1)
    values = torch.randn(length, generator=generator, dtype=torch.float64)
    up, down = length * WORD, length * FLOAT
    began = time.process_time()
    kept = {name: parts[name].begin(name, attempt, None) for name in names}
    roster = {name: kept[name].keys for name in names}
    server = ServerAttempt(attempt).with_roster(roster)
    dealings = {}
    for name in names:
        kept[name], dealings[name] = parts[name].deal(kept[name], server.roster)
    site_seconds = time.process_time() - began
    server = server.with_dealings(dealings)
    plan = Plan(dict.fromkeys(names, 1 / sites), VIEW.received_sha256, VIEW.training_sha256, VIEW.layout_sha256)
    server = dataclasses.replace(server, plan=plan)
    total = torch.zeros(length, dtype=torch.int64)
    began = time.process_time()
    for name in names:
        kept[name], words = parts[name].mask(kept[name], plan, server.sealed_for(name), VIEW, values)
        total += words
    survivors = tuple(names)
    server, signatures = server.with_survivors(names), {}
    for name in names:
        kept[name], signatures[name] = parts[name].confirm(kept[name], survivors)
    revealed = {name: parts[name].reveal(kept[name], signatures) for name in names}
    site_seconds += time.process_time() - began
    began = time.process_time()
    server.unmask(total, revealed)
    server_seconds = time.process_time() - began
    first = names[0]
    asked = (
        ShareSecrets(attempt=1, roster=server.roster),
        MaskUpdate(attempt=1, plan=plan, sealed=server.sealed_for(first)),
        ConfirmSurvivors(attempt=1, survivors=survivors),
        RevealShares(attempt=1, signatures=signatures),
    )
    answered: tuple[Payload, ...] = (
        SharedSecrets(dealing=dealings[first]),
        MaskedUpdate(people=50),
        Confirmation(signature=signatures[first]),
        RevealedShares(revealed=revealed[first]),
    )
    down += sum(len(to_text(message)) for message in asked)
    up += sum(len(to_text(message)) for message in answered) + len(json.dumps(dataclasses.asdict(roster[first])))
    plain = length * FLOAT
    return Cost(what, sites, site_seconds / sites, server_seconds, plain, up, 2 * plain, up + down)


def main() -> None:
    """Print the table, and write it as JSON where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sites", type=int, nargs="+", default=[4, 32])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    costs = [measure(what, sites) for what in PARAMETERS for sites in options.sites]
    print(
        f"{'trained':<22}{'sites':>6}{'s per site':>12}{'s at server':>13}"
        f"{'MB up':>8}{'×':>6}{'MB both ways':>14}{'×':>6}"
    )
    for cost in costs:
        print(
            f"{cost.what:<22}{cost.sites:>6}{cost.site_seconds:>12.3f}{cost.server_seconds:>13.2f}{cost.up / 1e6:>8.2f}"
            f"{cost.up / cost.plain_up:>6.2f}{cost.both / 1e6:>14.2f}{cost.both / cost.plain_both:>6.2f}"
        )
    if options.json:
        options.json.write_text(json.dumps([dataclasses.asdict(cost) for cost in costs], indent=2) + "\n")


if __name__ == "__main__":
    main()
