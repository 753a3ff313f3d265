"""The check at the door: an update is whole, of the right shape and finite, or it is refused by name."""

from collections.abc import Mapping

import torch

from fedtune3d._utils.state_dicts import State
from fedtune3d.aggregation.checks import find_fault
from fedtune3d.aggregation.contract import RECEIVED_SCORE, SENT_SCORE
from fedtune3d.aggregation.fed_ce import LEAVE_ONE_OUT_SCORE
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
    if problem := _score_problem(answer.payload.metrics):
        return problem
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


def _score_problem(metrics: Mapping[str, float | str]) -> str | None:
    for name in (RECEIVED_SCORE, SENT_SCORE, LEAVE_ONE_OUT_SCORE):
        value = metrics.get(name, 0.0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            return f"{name}: expected a number from 0 to 1, got {value!r}"
    return None
