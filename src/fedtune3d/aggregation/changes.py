"""Changes of a state in a round, over the names that train: Δ = w_k − w, in float64."""

from collections.abc import Sequence

from fedtune3d._utils.state_dicts import State
from fedtune3d.aggregation.average import cast_like
from fedtune3d.aggregation.contract import Memory, RuleContext

PARAMETERS = "parameters"
"""Under this key of its memory's values a rule keeps the names that train by gradient."""


def parameters_at_start(state: State, context: RuleContext) -> list[str]:
    """The names in the state that train by gradient, sorted: those of the context, or all floating-point ones."""
    names = set(context.parameters) or {name for name, tensor in state.items() if tensor.is_floating_point()}
    return sorted(names & state.keys())


def parameters_of(state: State, memory: Memory) -> list[str]:
    """The names that train, as kept in the memory; all floating-point ones where it holds none."""
    return memory.read(PARAMETERS, list[str], []) or parameters_at_start(state, RuleContext())


def change(state: State, after: State, names: Sequence[str]) -> State:
    """`after` − `state` over `names`, in float64."""
    return {name: after[name].double() - state[name].double() for name in names}


def moved(state: State, means: State, steps: State) -> State:
    """`state` + `steps` where there is a step, the mean (float64) elsewhere, in the dtypes of `state`."""
    return {
        name: cast_like(tensor.double() + steps[name] if name in steps else means[name], tensor)
        for name, tensor in state.items()
    }
