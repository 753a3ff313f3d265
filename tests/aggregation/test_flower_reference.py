"""Our rules against the strategies of flwr 1.41, over 20 rounds of random updates.

Both sides start each round from our state, in float64, so that neither hides behind the other's rounding.
"""

import gc
from collections.abc import Callable

import numpy as np
import pytest
import torch

from fedtune3d._utils.seeds import numpy_rng
from fedtune3d.aggregation.contract import Rule, RuleContext, Update
from fedtune3d.aggregation.registry import build_rule

pytestmark = pytest.mark.slow

ROUNDS, SITES = 20, tuple(f"site-{letter}" for letter in "ABCDEFG")
SHAPES = {"a.weight": (4, 3), "b.bias": (7,), "c.scale": ()}


@pytest.fixture
def strategies(monkeypatch):
    strategies = pytest.importorskip("flwr.serverapp.strategy")
    identity = pytest.importorskip("flwr.supercore.task_identity").TaskIdentity
    for key in ("_task_id", "_run_id", "_node_id"):  # a message cannot be made outside a run without them
        monkeypatch.setattr(identity, key, 1)
    gc.freeze()  # flwr's q-FedAvg collects garbage for each array that it reads
    yield strategies
    gc.unfreeze()


def _random_arrays(*causes: str | int, scale: float = 1.0) -> dict[str, np.ndarray]:
    rng = numpy_rng("flower reference", *causes)
    return {name: np.asarray(scale * rng.normal(size=shape)) for name, shape in SHAPES.items()}


def _ours(rule: Rule, state, memory, arrays, examples, losses):
    updates = [
        Update(
            site,
            examples[site],
            lambda part, own=arrays[site]: {name: torch.from_numpy(array.copy()) for name, array in own.items()},
            received_training_loss=losses[site],
        )
        for site in reversed(SITES)
    ]
    return rule.aggregate(state, updates, memory)


def _theirs(strategy, number: int, current, arrays, examples, losses):
    from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict

    def record(own):
        return ArrayRecord({name: Array(np.array(array)) for name, array in own.items()})

    if hasattr(strategy, "m_t"):
        strategy.current_arrays = {name: np.array(array) for name, array in current.items()}
    else:
        strategy.current_arrays = record(current)
    replies = [
        Message(
            RecordDict(
                {
                    "arrays": record(arrays[site]),
                    "metrics": MetricRecord({"num-examples": examples[site], "train_loss": losses[site]}),
                }
            ),
            dst_node_id=index + 1,
            message_type="train",
        )
        for index, site in enumerate(SITES)
    ]
    aggregated, _ = strategy.aggregate_train(number, replies)
    return {name: array.numpy() for name, array in aggregated.items()}


def _compare(rule: Rule, strategy, equal_counts: bool = False) -> None:
    state, memory = rule.start(
        {name: torch.from_numpy(array) for name, array in _random_arrays("start").items()}, RuleContext(sites=SITES)
    )
    moved = 0.0
    for number in range(1, ROUNDS + 1):
        rng = numpy_rng("flower reference", "round", number)
        examples = {site: 10 if equal_counts else int(rng.integers(1, 90)) for site in SITES}
        losses = {site: float(rng.uniform(0.05, 2.0)) for site in SITES}
        current = {name: tensor.numpy().copy() for name, tensor in state.items()}
        arrays = {}
        for site in SITES:
            steps = _random_arrays(site, number, scale=0.3)
            arrays[site] = {name: np.asarray(array + steps[name]) for name, array in current.items()}
        result = _ours(rule, state, memory, arrays, examples, losses)
        expected = _theirs(strategy, number, current, arrays, examples, losses)
        for name, array in expected.items():
            np.testing.assert_allclose(
                result.state[name].numpy(), array, rtol=0, atol=1e-6, err_msg=f"{name}, {number}"
            )
            moved += float(np.abs(array - current[name]).sum())
        state, memory = result.state, result.memory
    assert moved > 1e-2, "nothing moved, so nothing was compared"


CASES: dict[str, tuple[str, dict[str, object], str, dict[str, object]]] = {
    "FedAvg": ("fedavg", {}, "FedAvg", {}),
    "FedAvgM": (
        "fedavgm",
        {"rate": 0.7, "momentum": 0.8},
        "FedAvgM",
        {"server_learning_rate": 0.7, "server_momentum": 0.8},
    ),
    "FedAdam": ("fedadam", {"rate": 0.05, "tau": 0.002}, "FedAdam", {"eta": 0.05, "tau": 0.002}),
    "FedYogi": ("fedyogi", {"rate": 0.05, "beta_1": 0.8}, "FedYogi", {"eta": 0.05, "beta_1": 0.8}),
    "median": ("median", {}, "FedMedian", {}),
    "trimmed mean": ("trimmed_mean", {"trim": 0.3}, "FedTrimmedAvg", {"beta": 0.3}),
    "Krum": ("krum", {"malicious": 2}, "Krum", {"num_malicious_nodes": 2}),
    "q-FedAvg": ("qfedavg", {"q": 0.4, "rate": 0.5}, "QFedAvg", {"q": 0.4, "client_learning_rate": 0.5}),
    "q-FedAvg at q = 0": ("qfedavg", {"q": 0, "rate": 2}, "QFedAvg", {"q": 0.0, "client_learning_rate": 2.0}),
}


@pytest.mark.parametrize("case", CASES)
def test_equals_flower(strategies, case):
    name, options, strategy_name, strategy_options = CASES[case]
    build: Callable[..., object] = getattr(strategies, strategy_name)
    _compare(build_rule(name, options), build(**strategy_options))


def test_multi_krum_equals_flower_where_sites_have_equal_examples(strategies):
    strategy = strategies.MultiKrum(num_malicious_nodes=2, num_nodes_to_select=3)
    _compare(build_rule("krum", {"malicious": 2, "keep": 3}), strategy, equal_counts=True)


def test_the_comparison_fails_for_another_rule(strategies):
    with pytest.raises(AssertionError):
        _compare(build_rule("simpleavg"), strategies.FedAvg())
