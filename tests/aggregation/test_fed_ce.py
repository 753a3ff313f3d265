import dataclasses

import pytest
import torch

from fedtune3d.aggregation.contract import Memory, RuleContext
from fedtune3d.aggregation.fed_ce import LEAVE_ONE_OUT_SCORE, SENT_STATE, FedCE, LeaveOneOutStep, leave_one_out_state
from fedtune3d.aggregation.lora_factors import factor_pairs, to_products, zero_residuals
from fedtune3d.aggregation.site_scores import SENT_SCORE, ScoreKind, SiteScore
from fedtune3d.federation.site.memory import SiteMemory

VALIDATED = {SENT_SCORE: SiteScore(0.7, "auc", 10)}


def _scored(score: float, kind: ScoreKind = "auc") -> dict[str, SiteScore]:
    return VALIDATED | {LEAVE_ONE_OUT_SCORE: SiteScore(score, kind, 10)}


def _start(rule, state_of):
    return rule.start(state_of({"w": [0.0, 0.0]}), RuleContext(sites=("A", "B", "C")))


def test_first_round_by_hand(state_of, make_update):
    rule = FedCE()
    state, memory = _start(rule, state_of)
    updates = [
        make_update("A", {"w": [1.0, 0.0]}, scores=VALIDATED),
        make_update("B", {"w": [1.0, 0.0]}, scores=VALIDATED),
        make_update("C", {"w": [0.0, 1.0]}, scores=VALIDATED),
    ]
    result = rule.aggregate(state, updates, memory)
    root = 2**-0.5  # A against B and C: cos((1, 0), (1, 1)); C is orthogonal to the others
    parts = [1 - root, 1 - root, 1.0]
    gradient = [part / sum(parts) for part in parts]
    expected = {site: (share + 1 / 3) / 2 for site, share in zip("ABC", gradient, strict=True)}
    assert result.weights == pytest.approx(expected)
    assert result.state["w"].tolist() == pytest.approx([expected["A"] + expected["B"], expected["C"]])
    assert result.signals["A"] == pytest.approx(
        {
            "cosine": root,
            "cosine_mean": root,
            "gradient_share": gradient[0],
            "data_share": 1 / 3,
            "leave_one_out_mean": 0,
        }
    )


def test_second_round_takes_scores_into_running_means(state_of, make_update):
    rule = FedCE()
    state, memory = _start(rule, state_of)
    same = {"w": [1.0, 1.0]}
    first = rule.aggregate(state, [make_update(site, same, scores=VALIDATED) for site in "AB"], memory)
    scores = {"A": 0.8, "B": 0.4}
    updates = [make_update(site, same, scores=_scored(score)) for site, score in scores.items()]
    second = rule.aggregate(first.state, updates, first.memory)
    # Means with the first round's 0: 0.4 and 0.2, so e ∝ 0.6 and 0.8; the cosines are equal.
    assert second.signals["A"]["leave_one_out_mean"] == pytest.approx(0.4)
    assert second.weights == pytest.approx({"A": (0.6 / 1.4 + 0.5) / 2, "B": (0.8 / 1.4 + 0.5) / 2})
    times = FedCE(mode="times").aggregate(first.state, updates, first.memory)
    assert times.weights == pytest.approx({"A": 0.6 / 1.4, "B": 0.8 / 1.4})


def test_the_site_scores_the_leave_one_out_state_once_it_has_a_weight_and_a_trained_state(state_of, make_update):
    rule = FedCE(score="balanced_accuracy")
    state, memory = _start(rule, state_of)
    assert rule.site_step(memory, "A") == LeaveOneOutStep(score_kind="balanced_accuracy")
    updates = [make_update(site, {"w": [1.0, 2.0]}, scores=VALIDATED) for site in "AB"]
    memory = rule.aggregate(state, updates, memory).memory
    step = rule.site_step(memory, "A")
    assert isinstance(step, LeaveOneOutStep)
    assert step.weight == pytest.approx(0.5)
    trained = state_of({"w": [1.0, 2.0]})
    remembered = step.to_remember(trained, {}, {})
    assert remembered[SENT_STATE] == trained
    assert list(step.states_to_score(state, remembered)) == [LEAVE_ONE_OUT_SCORE]
    assert step.states_to_score(state, {}) == {}
    assert rule.site_step(memory, "C").weight is None


def test_a_lone_site_has_no_leave_one_out_state(state_of, make_update):
    rule = FedCE()
    state, memory = _start(rule, state_of)
    result = rule.aggregate(state, [make_update("A", {"w": [1.0, 2.0]}, scores=VALIDATED)], memory)
    assert result.weights == {"A": 1.0}
    assert rule.site_step(result.memory, "A").weight is None


def test_a_site_without_a_validation_set_counts_as_the_mean_of_the_others(state_of, make_update):
    rule = FedCE()
    state, memory = _start(rule, state_of)
    same = {"w": [1.0, 1.0]}
    rounds = [dict.fromkeys("AB", VALIDATED) | {"C": {}}, {"A": _scored(0.9), "B": _scored(0.3), "C": {}}]
    for scores in rounds:
        result = rule.aggregate(state, [make_update(site, same, scores=scores[site]) for site in "ABC"], memory)
        state, memory = result.state, result.memory
    novelty = {"A": 0.55, "B": 0.85, "C": 0.7}
    assert {s: signals["data_share"] for s, signals in result.signals.items()} == pytest.approx(
        {site: value / 2.1 for site, value in novelty.items()}
    )
    assert "leave_one_out_mean" not in result.signals["C"]
    nobody = rule.aggregate(state, [make_update(site, same) for site in "AB"], Memory())
    assert nobody.weights == pytest.approx({"A": 0.5, "B": 0.5})


def test_the_ledger_says_that_a_one_class_set_is_scored_by_its_loss(state_of, make_update):
    rule = FedCE()
    state, memory = _start(rule, state_of)
    updates = [
        make_update("A", {"w": [1.0, 0.0]}, scores=_scored(0.6, "loss")),
        make_update("B", {"w": [0.0, 1.0]}, scores=_scored(0.6)),
    ]
    signals = rule.aggregate(state, updates, memory).signals
    assert (signals["A"]["leave_one_out_by_loss"], signals["B"]["leave_one_out_by_loss"]) == (1.0, 0.0)


def test_absent_sites_keep_their_weight_and_late_ones_begin_uniform(state_of, make_update):
    rule = FedCE()
    state, memory = _start(rule, state_of)
    both = [make_update("A", {"w": [1.0, 0.0]}), make_update("B", {"w": [3.0, 1.0]})]
    first = rule.aggregate(state, both, memory)
    second = rule.aggregate(state, [make_update("C", {"w": [1.0, 1.0]}), both[0]], first.memory)
    assert second.memory.values["weights"]["B"] == first.weights["B"]
    assert set(second.weights) == {"A", "C"}


def test_no_change_has_no_direction(state_of, make_update):
    rule = FedCE()
    state, memory = _start(rule, state_of)
    updates = [make_update("A", {"w": [0.0, 0.0]}), make_update("B", {"w": [1.0, 0.0]})]
    result = rule.aggregate(state, updates, memory)
    assert [result.signals[site]["cosine"] for site in "AB"] == [0.0, 0.0]


def test_cosines_are_over_trained_parameters_alone(state_of, make_update):
    rule = FedCE()
    state, memory = rule.start(state_of({"w": [0.0], "mean": [0.0]}), RuleContext(parameters=("w",)))
    updates = [make_update("A", {"w": [1.0], "mean": [9.0]}), make_update("B", {"w": [2.0], "mean": [-9.0]})]
    result = rule.aggregate(state, updates, memory)
    assert result.signals["A"]["cosine"] == pytest.approx(1.0)


def test_leave_one_out_state_undoes_the_average():
    received = {"w": torch.tensor([2.0]), "batches": torch.tensor(8), "norm": torch.tensor([5.0])}
    last = {"w": torch.tensor([5.0]), "batches": torch.tensor(2)}
    result = leave_one_out_state(received, last, weight=0.25)
    assert result["w"].item() == pytest.approx(1.0)  # 0.25 · 5 + 0.75 · 1 = 2
    assert result["batches"].item() == 8
    assert result["norm"].item() == 5.0
    with pytest.raises(ValueError, match="leave-one-out weight: expected a number of at least 0 and below 1, got 1"):
        leave_one_out_state(received, last, weight=1)


def test_leave_one_out_state_in_product_space():
    random = torch.Generator().manual_seed(3)
    names = {"q.lora_A.default.weight": (2, 5), "q.lora_B.default.weight": (4, 2)}
    received, last = ({n: torch.randn(s, generator=random) for n, s in names.items()} for _ in range(2))
    pairs = factor_pairs(received)
    received |= zero_residuals(received, pairs)
    last |= {"q.lora_residual.default.weight": torch.randn(4, 5, generator=random)}
    result = leave_one_out_state(received, last, weight=0.4, scaling=2.0)
    products = [to_products(state, pairs, 2.0)["q.lora_product.default.weight"] for state in (received, last, result)]
    torch.testing.assert_close(products[2], (products[0] - 0.4 * products[1]) / 0.6, rtol=0, atol=1e-5)
    for name in names:
        assert torch.equal(result[name], received[name])


def test_lagged_cosines_are_those_that_a_server_would_compute_one_round_later(state_of, make_update):
    rule = FedCE(lagged=True)
    state, memory = _start(rule, state_of)
    sent = {"A": {"w": [1.0, 2.0]}, "B": {"w": [-1.0, 0.5]}, "C": {"w": [0.3, 3.0]}}
    scores = {"A": _scored(0.2), "B": _scored(0.5), "C": _scored(0.9)}
    updates = [make_update(site, values, scores=scores[site]) for site, values in sent.items()]
    first = rule.aggregate(state, updates, memory)
    assert all("cosine" not in signals for signals in first.signals.values())
    changes = {site: torch.tensor(values["w"]).double() - state["w"].double() for site, values in sent.items()}
    consensus = sum(first.weights[site] * change for site, change in changes.items())
    for site, change in changes.items():
        step = rule.site_step(first.memory, site)
        remembered = step.to_remember(state_of(sent[site]), {}, {}) | step.received_to_remember(state)
        cosine = step.scalars(first.state, first.state, remembered)["cosine"]
        others = consensus - first.weights[site] * change
        assert cosine == pytest.approx(float(change @ others / change.norm() / others.norm()), abs=1e-6)
        assert step.scalars(first.state, first.state, {}) == {}


def test_what_the_lagged_form_remembers_can_be_saved_whatever_did_not_train(state_of, make_update, tmp_path):
    rule = FedCE(lagged=True)
    state, memory = _start(rule, state_of)
    step = rule.site_step(memory, "A")
    trained = dict(state)  # a frozen name comes back as the very tensor that came down
    kept = step.to_remember(trained, {}, {}) | step.received_to_remember(state)
    memory_of_site = SiteMemory(tmp_path)
    memory_of_site.save(1, kept)
    assert memory_of_site.load(1)[SENT_STATE].keys() == state.keys()


def test_a_site_that_was_away_adds_no_lagged_cosine(state_of, make_update):
    rule = FedCE(lagged=True)
    state, memory = _start(rule, state_of)
    scalars = {"A": 0.5, "B": -0.5}
    updates = [make_update(site, {"w": [1.0, 1.0]}, scores=VALIDATED) for site in "ABC"]
    first = rule.aggregate(state, updates, memory)
    second = rule.aggregate(
        first.state,
        [dataclasses.replace(u, scalars={"cosine": scalars[u.site]}) for u in updates if u.site in scalars],
        first.memory,
    )
    assert second.signals["A"]["cosine_mean"] == 0.5
    assert rule.site_step(second.memory, "C").last_weight is None
    assert rule.site_step(second.memory, "C").weight == pytest.approx(1 / 3)
    third = rule.aggregate(second.state, updates, second.memory)
    assert "cosine_mean" not in third.signals["C"]
    assert third.signals["C"]["gradient_share"] == pytest.approx(1 / 3)  # the mean of 1 − 0.5 and 1 + 0.5
