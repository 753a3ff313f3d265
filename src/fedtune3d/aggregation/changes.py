"""Changes of the trainable parameters in a round: Δ = w_k − w, in float64."""

from collections.abc import Sequence

from fedtune3d._utils.state_dicts import State
from fedtune3d.aggregation.average import cast_like
from fedtune3d.aggregation.contract import Memory, RuleContext
from fedtune3d.aggregation.sums import SumRule

PARAMETERS = "parameters"
"""Key in a rule's memory for the names of the parameters that are trained by gradient."""


class ChangeRule(SumRule):
    """Base class of rules that look at changes of the trained parameters, whose names they remember."""

    def start(self, state: State, context: RuleContext) -> tuple[State, Memory]:
        """Return the state unchanged, and a memory with the names of the trained parameters."""
        return state, Memory({PARAMETERS: parameters_at_start(state, context)})


def parameters_at_start(state: State, context: RuleContext) -> list[str]:
    """Return the names in the state that are trained by gradient, sorted: the context's, or all floating-point ones."""
    names = set(context.parameters) or {name for name, tensor in state.items() if tensor.is_floating_point()}
    return sorted(names & state.keys())


def parameters_of(state: State, memory: Memory) -> list[str]:
    """Return the names of the trained parameters from the memory, or all floating-point ones if it has none."""
    return memory.read(PARAMETERS, list[str], []) or parameters_at_start(state, RuleContext())


def change(state: State, after: State, names: Sequence[str]) -> State:
    """Compute `after` − `state` over `names`, in float64."""
    return {name: after[name].double() - state[name].double() for name in names}


def moved(state: State, means: State, steps: State) -> State:
    """Return `state` + `steps` for the names in `steps` and `means` for the others, in the dtypes of `state`."""
    return {
        name: cast_like(tensor.double() + steps[name] if name in steps else means[name], tensor)
        for name, tensor in state.items()
    }
