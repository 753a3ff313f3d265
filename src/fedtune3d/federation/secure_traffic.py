"""Bytes of a round under secure aggregation, counted by the same functions for the ledger and for a plan."""

import dataclasses
import json
from collections.abc import Mapping, Sequence

from fedtune3d._utils.state_dicts import State
from fedtune3d.federation.messages import Instruction, Payload, parts_bytes
from fedtune3d.federation.privacy.secure_aggregation.messages import Dealing, Plan, Revealed, SignedKeys
from fedtune3d.federation.privacy.secure_aggregation.primitives import SECRET_BYTES, seal
from fedtune3d.federation.serialisation import to_text
from fedtune3d.federation.tasks.confirm_survivors import Confirmation, ConfirmSurvivors
from fedtune3d.federation.tasks.mask_update import MaskedUpdate, MaskUpdate
from fedtune3d.federation.tasks.reveal_shares import RevealedShares, RevealShares
from fedtune3d.federation.tasks.share_secrets import SharedSecrets, ShareSecrets

WORD_BYTES = 8
"""Size of a masked value: a whole number modulo 2^64."""
_HASH, _SIGNATURE = "0" * 64, "0" * 128
_COEFFICIENT = 0.2857142857142857
"""A share of the weight that takes as many digits as most."""


def instruction_bytes(instruction: Instruction) -> int:
    """Count the bytes of an instruction's text."""
    return len(to_text(instruction).encode())


def answer_bytes(payload: Payload, parts: Mapping[str, State]) -> int:
    """Count the bytes of an answer's text and tensors."""
    return len(to_text(payload).encode()) + parts_bytes(parts)


def keys_bytes(keys: SignedKeys) -> int:
    """Count the bytes of the keys that a site offers in its training answer."""
    return len(json.dumps(dataclasses.asdict(keys)).encode())


def expected_traffic(sites: Sequence[str], values: int) -> tuple[int, int]:
    """Return the bytes to and from a site in a round without lost sites, in addition to the training task's tensors.

    Every message has its real form with keys, shares and signatures of zeros, which are as long as real ones.

    Args:
        sites: The names of the sites of the round.
        values: Length of the masked vector.
    """
    longest = max(sites, key=lambda name: len(name.encode()))
    keys = {site: SignedKeys(site, _HASH, _HASH, _HASH, _SIGNATURE) for site in sites}
    sealed = dict.fromkeys(sites, seal(bytes(SECRET_BYTES), bytes(2 * SECRET_BYTES), b""))
    hashes = dict.fromkeys(sites, _HASH)
    plan = Plan(dict.fromkeys(sites, _COEFFICIENT), _HASH, _HASH, _HASH)
    asked = (
        ShareSecrets(attempt=1, roster=keys),
        MaskUpdate(attempt=1, plan=plan, sealed=sealed),
        ConfirmSurvivors(attempt=1, survivors=tuple(sites)),
        RevealShares(attempt=1, signatures=dict.fromkeys(sites, _SIGNATURE)),
    )
    answered = (
        SharedSecrets(dealing=Dealing(sealed, _HASH, hashes, hashes)),
        MaskedUpdate(people=100),
        Confirmation(signature=_SIGNATURE),
        RevealedShares(revealed=Revealed(hashes, {})),
    )
    up = keys_bytes(keys[longest]) + sum(answer_bytes(payload, {}) for payload in answered) + WORD_BYTES * values
    return sum(instruction_bytes(instruction) for instruction in asked), up
