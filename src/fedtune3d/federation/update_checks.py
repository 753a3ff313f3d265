"""The check at the door: an update is whole, of the right shape and finite, or it is refused by name."""

import torch

from fedtune3d._utils.state_dicts import State
from fedtune3d.aggregation.checks import find_fault
from fedtune3d.aggregation.site_step import STATE, SiteStep
from fedtune3d.federation.messages import Answer
from fedtune3d.federation.tasks.train import TrainAnswer


def reason_to_refuse(answer: Answer, reference: State, step: SiteStep, max_norm: float) -> str | None:
    """Why a training answer cannot be accepted, in one line; None when it can.

    Args:
        answer: What came.
        reference: The global state that was sent: names, shapes and dtypes to match.
        step: The rule's part at the site, which says what must come back.
        max_norm: The greatest Euclidean norm of (state that came − state that was sent).
    """
    if not isinstance(answer.payload, TrainAnswer):
        return f"expected {TrainAnswer.__name__}, got {type(answer.payload).__name__}"
    if answer.payload.examples < 1:
        return f"expected at least 1 training example, got {answer.payload.examples}"
    if STATE not in answer.parts:
        return "the answer holds no state"
    wanted = step.expected_parts(reference)
    if answer.parts.keys() != wanted.keys():
        return f"expected the parts {', '.join(sorted(wanted))}, got {', '.join(sorted(answer.parts))}"
    for part, expected in sorted(wanted.items()):
        if fault := find_fault(expected, answer.parts[part]):
            return f"{part}: {fault}"
    if unknown := sorted(answer.payload.scores.keys() - step.score_names()):
        return f"expected the scores {', '.join(sorted(step.score_names()))}, got {', '.join(unknown)}"
    norm = change_norm(answer.parts[STATE], reference)
    if not norm <= max_norm:
        return f"the norm of the change is {norm:.3g}, over the bound of {max_norm:.3g}"
    return None


def change_norm(state: State, reference: State) -> float:
    """‖state − reference‖₂ over the floating-point tensors of `state`."""
    squares = [
        torch.dist(state[name], reference[name]).double().square()
        for name in sorted(state)
        if state[name].is_floating_point()
    ]
    return float(torch.stack(squares).sum().sqrt()) if squares else 0.0
