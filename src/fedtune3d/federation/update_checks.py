"""Check an update on arrival: complete, right shapes, finite, bounded and in line, or refused with a reason."""

import math
from collections.abc import Mapping
from statistics import median

import torch

from fedtune3d._utils.state_dicts import State
from fedtune3d.aggregation.checks import find_fault
from fedtune3d.aggregation.site_step import STATE, SiteStep
from fedtune3d.federation.messages import Answer
from fedtune3d.federation.tasks.train import TrainAnswer

FEWEST_TO_COMPARE = 4
"""Updates of a round from which on one of them can be out of line."""


def reason_to_refuse(answer: Answer, reference: State, step: SiteStep, max_norm: float) -> str | None:
    """Return why a training answer cannot be accepted, in one line; None if it can.

    Args:
        answer: The site's answer.
        reference: The global state that was sent, with the expected names, shapes and dtypes.
        step: The rule's site step, which determines the expected parts.
        max_norm: Maximum Euclidean norm of (received state − reference), and of any other part; infinite for none.
    """
    if not isinstance(answer.payload, TrainAnswer):
        return f"expected {TrainAnswer.__name__}, got {type(answer.payload).__name__}"
    if fault := _reason_to_refuse_numbers(answer.payload, step):
        return fault
    if STATE not in answer.parts:
        return "the answer contains no state"
    expected_parts = step.expected_parts(reference)
    if answer.parts.keys() != expected_parts.keys():
        return f"expected the parts {', '.join(sorted(expected_parts))}, got {', '.join(sorted(answer.parts))}"
    for part, expected in sorted(expected_parts.items()):
        if fault := find_fault(expected, answer.parts[part]):
            return f"{part}: {fault}"
    if max_norm == math.inf:
        return None
    norm = change_norm(answer.parts[STATE], reference)
    if not norm <= max_norm:
        return f"the norm of the change is {norm:.3g}, above the limit of {max_norm:.3g}"
    for part in sorted(answer.parts.keys() - {STATE}):
        if not (norm := state_norm(answer.parts[part])) <= max_norm:
            return f"{part}: the norm is {norm:.3g}, above the limit of {max_norm:.3g}"
    return None


def reason_to_refuse_hidden(answer: Answer, step: SiteStep) -> str | None:
    """Return why an answer without its update, for a secure sum, cannot be accepted; None if it can.

    The site has checked the update itself (`reason_to_refuse`): here nobody sees it.
    """
    if not isinstance(answer.payload, TrainAnswer):
        return f"expected {TrainAnswer.__name__}, got {type(answer.payload).__name__}"
    if answer.parts:
        return f"expected no tensors outside the secure sum, got {', '.join(sorted(answer.parts))}"
    if answer.payload.keys is None:
        return "the answer contains no keys for the secure sum"
    return _reason_to_refuse_numbers(answer.payload, step)


def _reason_to_refuse_numbers(payload: TrainAnswer, step: SiteStep) -> str | None:
    if payload.examples is not None and payload.examples < 1:
        return f"expected at least 1 training example, got {payload.examples}"
    if unknown := sorted(payload.scores.keys() - step.score_names()):
        return f"expected the scores {', '.join(sorted(step.score_names()))}, got {', '.join(unknown)}"
    if unknown := sorted(payload.scalars.keys() - set(step.own_scalars)):
        return f"expected the numbers {', '.join(sorted(step.own_scalars)) or '(none)'}, got {', '.join(unknown)}"
    return None


def out_of_line(norms: Mapping[str, float], max_ratio: float) -> dict[str, str]:
    """The sites whose change is out of line with the others' of a round, each with the reason.

    Args:
        norms: Site → the norm of its change per local step.
        max_ratio: How many times the median it may be.

    Returns:
        None of fewer than `FEWEST_TO_COMPARE` sites, nor where half of them change nothing.
    """
    middle = median(norms.values()) if len(norms) >= FEWEST_TO_COMPARE else 0.0
    return {
        site: f"the norm of the change per local step is {norm / middle:.3g} times the round's median, above the limit "
        f"of {max_ratio:g} (participation.max_norm_ratio)"
        for site, norm in norms.items()
        if middle and norm > max_ratio * middle
    }


def state_norm(state: State) -> float:
    """‖state‖₂ over its floating-point tensors."""
    return change_norm(state, {name: torch.zeros_like(tensor) for name, tensor in state.items()})


def change_norm(state: State, reference: State) -> float:
    """Compute ‖state − reference‖₂ over the floating-point tensors of `state`."""
    squares = [
        torch.dist(state[name], reference[name]).double().square()
        for name in sorted(state)
        if state[name].is_floating_point()
    ]
    return float(torch.stack(squares).sum().sqrt()) if squares else 0.0
