import pytest
import torch

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.seeds import torch_rng
from fedtune3d.aggregation.contract import RuleContext, Update
from fedtune3d.aggregation.fed_avg import FedAvg
from fedtune3d.aggregation.fed_ce import FedCE
from fedtune3d.aggregation.lora import AVERAGING_ERROR, LoraRule
from fedtune3d.aggregation.median import Median
from fedtune3d.aggregation.rate_my_lora import RateMyLoRA
from fedtune3d.aggregation.registry import rules
from fedtune3d.aggregation.scaffold import SCAFFOLD
from fedtune3d.aggregation.site_step import STATE

A, B, R, HEAD = "q.lora_A.default.weight", "q.lora_B.default.weight", "q.lora_residual.default.weight", "head.weight"
SCALING = 2.0
EXAMPLES = {"A": 10, "B": 30, "C": 20}


def _initial():
    return {A: torch.randn(2, 6, generator=torch_rng("A")), B: torch.zeros(5, 2), HEAD: torch.zeros(3)}


def _product(state) -> torch.Tensor:
    return (state[R].double() if R in state else 0) + SCALING * state[B].double() @ state[A].double()


def _train(state, step, site, number):
    trained = {
        name: tensor + 0.5 * torch.randn(tensor.shape, generator=torch_rng(site, number, name))
        for name, tensor in state.items()
        if name not in step.frozen
    }
    return trained, Update(site, EXAMPLES[site], lambda part: {STATE: trained}[part])


def _run(rule, rounds=3):
    """Per round: the state before, what each site's full state was, and the aggregate."""
    state, memory = rule.start(_initial(), RuleContext(parameters=(A, B, HEAD)))
    history = []
    for number in range(rounds):
        trained = {site: _train(state, rule.site_step(memory, site), site, number) for site in EXAMPLES}
        result = rule.aggregate(state, [update for _, update in trained.values()], memory)
        history.append((state, {site: state | own for site, (own, _) in trained.items()}, result))
        state, memory = result.state, result.memory
    return history


def _mean_product(trained):
    return sum(EXAMPLES[site] * _product(own) for site, own in trained.items()) / sum(EXAMPLES.values())


def test_factors_are_averaged_and_the_error_is_told():
    for _, trained, result in _run(LoraRule(FedAvg(), "factors", SCALING)):
        assert set(result.state) == {A, B, HEAD}
        mean = _mean_product(trained)
        error = float((_product(result.state) - mean).norm() / mean.norm())
        assert error > 0.05
        assert result.round_signals[AVERAGING_ERROR] == pytest.approx(error, rel=1e-4)


@pytest.mark.parametrize("mode", ["exact", "restart"])
def test_products_are_averaged_exactly_round_after_round(mode):
    for state, trained, result in _run(LoraRule(FedAvg(), mode, SCALING), rounds=5):
        torch.testing.assert_close(_product(result.state), _mean_product(trained), rtol=0, atol=1e-5)
        assert result.round_signals[AVERAGING_ERROR] > 0.05
        if mode == "restart":
            assert torch.equal(result.state[A], state[A])
            assert not result.state[B].any()
        else:
            mean_a = sum(EXAMPLES[site] * own[A] for site, own in trained.items()) / sum(EXAMPLES.values())
            torch.testing.assert_close(result.state[A], mean_a)


def test_exact_takes_any_rule_to_products():
    for _, trained, result in _run(LoraRule(Median(), "exact", SCALING)):
        median = torch.stack([_product(own) for own in trained.values()]).median(dim=0).values
        torch.testing.assert_close(_product(result.state), median, rtol=0, atol=1e-5)
        assert result.weights is None


def test_freeze_a_is_exact_and_a_neither_trains_nor_travels():
    rule = LoraRule(FedAvg(), "freeze_a", SCALING)
    for state, trained, result in _run(rule):
        assert torch.equal(result.state[A], state[A])
        torch.testing.assert_close(_product(result.state), _mean_product(trained), rtol=0, atol=1e-5)
        assert result.round_signals[AVERAGING_ERROR] < 1e-7
    _, memory = rule.start(_initial(), RuleContext())
    assert rule.site_step(memory, "A").frozen == (A,)


def test_residuals_start_at_zero_and_do_not_come_back():
    rule = LoraRule(FedAvg(), "exact", SCALING)
    state, memory = rule.start(_initial(), RuleContext())
    assert state[R].shape == (5, 6)
    assert not state[R].any()
    assert rule.site_step(memory, "A").frozen == (R,)
    with pytest.raises(ValueError, match=f"site A: {R} not expected"):
        rule.aggregate(state, [Update("A", 1, lambda part: dict(state))], memory)


def test_the_printed_rate_my_lora():
    """W_t = W_{t−1} + Σ_c w_t(c) |D^c| s B_c A_c / Σ_c |D^c|, with all ratings 1 in the first round, from B = 0."""
    state, trained, result = _run(LoraRule(RateMyLoRA(renormalise=False), "restart", SCALING), rounds=1)[0]
    printed = sum(EXAMPLES[s] * SCALING * own[B].double() @ own[A].double() for s, own in trained.items()) / 60
    torch.testing.assert_close(result.state[R].double(), state[R] + printed, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("mode", "in_products"), [("factors", False), ("freeze_a", False), ("exact", True)])
def test_fed_ce_s_cosine_and_leave_one_out_state_are_in_the_space_of_the_mode(mode, in_products):
    rule = LoraRule(FedCE(), mode, SCALING)
    state, trained, result = _run(rule, rounds=1)[0]

    def change(own):
        names = [name for name in (A, B, HEAD) if not (in_products and name in (A, B))]
        parts = [(own[name] - state[name]).double().flatten() for name in names]
        return torch.cat([*parts, (_product(own) - _product(state)).flatten()] if in_products else parts)

    changes = {site: change(own) for site, own in trained.items()}
    others = (changes["B"] + changes["C"]) / 3
    expected = float(torch.cosine_similarity(changes["A"], others, dim=0))
    assert result.signals["A"]["cosine"] == pytest.approx(expected, abs=1e-6)
    scaling = rule.site_step(result.memory, "A").scaling
    assert scaling == (SCALING if in_products else None)


def test_factors_of_a_wrong_shape_are_refused_by_site():
    rule = LoraRule(FedAvg(), "exact", SCALING)
    state, memory = rule.start(_initial(), RuleContext())
    bad = {A: torch.zeros(3, 6), B: torch.zeros(5, 2), HEAD: torch.zeros(3)}
    with pytest.raises(ValueError, match=r"site A: q.lora_A.default.weight: expected shape \(2, 6\), got \(3, 6\)"):
        rule.aggregate(state, [Update("A", 1, lambda part: bad)], memory)


def test_what_cannot_be_is_refused():
    with pytest.raises(InputError, match=r"rule scaffold: .* expected LoRA averaging factors or freeze_a, got exact"):
        LoraRule(SCAFFOLD(), "exact")
    with pytest.raises(InputError, match="rule fedavg: mode: expected one of factors, exact, freeze_a, restart"):
        LoraRule(FedAvg(), "product")
    with pytest.raises(InputError, match="rule fedavg: scaling: expected a number above 0 and at most"):
        LoraRule(FedAvg(), "exact", 0)
    with pytest.raises(InputError, match="choose tuning lora"):
        LoraRule(FedAvg(), "exact").start({HEAD: torch.zeros(1)}, RuleContext())


def test_the_wrapper_is_no_rule_of_its_own():
    assert not any(issubclass(rule, LoraRule) for rule in rules().values())
    wrapped = LoraRule(FedAvg(), "exact")
    assert wrapped.name == "fedavg"
