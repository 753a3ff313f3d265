"""A rule comes to the same result from sums as from the updates themselves."""

import pytest
import torch

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.state_dicts import State
from fedtune3d.aggregation.average import shares
from fedtune3d.aggregation.contract import Aggregate, Memory, Update
from fedtune3d.aggregation.fed_avg import FedAvg
from fedtune3d.aggregation.lora import MODES, LoraRule
from fedtune3d.aggregation.registry import build_rule, rules
from fedtune3d.aggregation.rule_checks import CONTEXT, SITES, first_state, make_update
from fedtune3d.aggregation.simple_avg import SimpleAvg
from fedtune3d.aggregation.site_step import STATE
from fedtune3d.aggregation.sums import KnownSums, LoadedSums, SumRule, on_sums, values_to_sum

UNIT = 2.0**-32
OF_SUMS = sorted(name for name, rule in rules().items() if issubclass(rule, SumRule))


def hidden(rule: SumRule, state: State, memory: Memory, updates: list[Update], of: tuple[str, ...]) -> Aggregate:
    """A round in which the rule sees numbers and sums only, in fixed point, over the sites `of`."""
    unreadable = [
        Update(u.site, u.examples, lambda part: pytest.fail("read"), u.scores, u.received_training_loss, u.scalars)
        for u in updates
    ]
    weighing = rule.weigh(unreadable, memory)
    coefficients = {site: share for site, share in shares(weighing.amounts).items() if site in of}
    sums: dict[str, State] = {}
    for update in updates:
        if update.site not in of:
            continue
        step = rule.site_step(memory, update.site)
        sent = {part: update.load(part) for part in step.expected_parts(state)}
        values = values_to_sum(rule.to_sum, step, state, state | sent[STATE], sent)
        for part, tensors in values.items():
            for name, tensor in tensors.items():
                term = (tensor * coefficients[update.site] / UNIT).round() * UNIT
                total = sums.setdefault(part, {})
                total[name] = total[name] + term if name in total else term
    known = KnownSums(rule.to_sum(state), sums, coefficients)
    left = [update for update in unreadable if update.site in of]
    return rule.step(state, known, left, weighing.of(of), memory)


def variants() -> list[SumRule]:
    plain = [on_sums(build_rule(name)) for name in OF_SUMS]
    adapted = [
        on_sums(LoraRule(build_rule(name), mode, 2.0))
        for name in ("fedavg", "fedce", "rate_my_lora", "fedadam")
        for mode in MODES
    ]
    return plain + adapted


@pytest.mark.parametrize("rule", variants(), ids=lambda rule: f"{rule.name}-{getattr(rule, 'mode', 'plain')}")
def test_a_rule_comes_to_the_same_from_sums(rule: SumRule) -> None:
    state, memory = rule.start(first_state(), CONTEXT)
    for number in range(3):
        updates = [make_update(state, rule.site_step(memory, site), site, number) for site in SITES]
        visible = rule.aggregate(state, updates, memory)
        summed = hidden(rule, state, memory, updates, SITES)
        assert summed.weights == visible.weights or summed.weights == pytest.approx(visible.weights)
        assert summed.signals == visible.signals
        for name, tensor in visible.state.items():
            rough = {torch.bfloat16: 2e-2, torch.float16: 2e-3}.get(tensor.dtype, 1e-6)
            assert torch.allclose(summed.state[name].double(), tensor.double(), rtol=rough, atol=1e-6), name
        state, memory = visible.state, visible.memory


@pytest.mark.parametrize("rule", [FedAvg(), SimpleAvg()], ids=lambda rule: rule.name)
def test_without_a_lost_site_the_average_is_that_of_the_others(rule: SumRule) -> None:
    state, memory = rule.start(first_state(), CONTEXT)
    updates = [make_update(state, rule.site_step(memory, site), site, 0) for site in SITES]
    visible = rule.aggregate(state, updates[1:], memory)
    summed = hidden(rule, state, memory, updates, SITES[1:])
    assert summed.weights == pytest.approx(visible.weights)
    assert torch.allclose(summed.state["head.weight"], visible.state["head.weight"], atol=1e-6)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("krum", "compares updates"), ("median", "a median is no sum"), ("trimmed_mean", "ranks updates")],
)
def test_rules_that_look_at_single_updates_are_refused_with_an_alternative(name: str, reason: str) -> None:
    for rule in (build_rule(name), LoraRule(build_rule(name), "factors")):
        with pytest.raises(InputError, match=f"rule {name} looks at each update alone.*{reason}.*Choose fedavg"):
            on_sums(rule)


def test_a_total_needs_sites_that_count_the_same() -> None:
    known = KnownSums({}, {"x": {"n": torch.ones(1, dtype=torch.float64)}}, {"A": 0.2, "B": 0.8})
    with pytest.raises(ValueError, match="expected sites that all count the same"):
        known.total("x", {"n": torch.zeros(1)})


def test_half_a_vote_stays_half_a_vote() -> None:
    state = {"mask": torch.tensor([False]), "count": torch.tensor([1])}
    just_below = {STATE: {"mask": torch.tensor([0.5 - UNIT]), "count": torch.tensor([1.5 - UNIT])}}
    known = KnownSums(state, {STATE: {n: t.double() for n, t in just_below[STATE].items()}}, {"A": 0.5, "B": 0.5})
    average = known.average(state)
    assert average["mask"].tolist() == [True]
    assert average["count"].tolist() == [2]


def test_sums_of_loaded_updates_name_the_site_at_fault() -> None:
    updates = [Update("A", 1, lambda part: {"n": torch.zeros(2)})]
    with pytest.raises(ValueError, match=r"site A: control: n: expected shape \(1,\), got \(2,\)"):
        LoadedSums(updates, {"A": 1.0}).total("control", {"n": torch.zeros(1)})
