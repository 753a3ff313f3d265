"""FedCE against nvflare 2.9's FedCEModelAggregator: the same updates and scores over 20 random rounds."""

import numpy as np
import pytest
import torch

from fedtune3d._utils.seeds import numpy_rng, torch_rng
from fedtune3d.aggregation.contract import Memory, RuleContext, Update
from fedtune3d.aggregation.fed_ce import LEAVE_ONE_OUT_SCORE, FedCE, leave_one_out_state
from fedtune3d.aggregation.site_scores import SENT_SCORE, SiteScore

pytestmark = pytest.mark.slow

ROUNDS, SITES = 20, tuple(f"site-{letter}" for letter in "ABCDE")
PARAMETERS = ("head.weight", "head.bias")


@pytest.fixture
def nvflare_fedce():
    return pytest.importorskip("nvflare.app_opt.pt.fedce")


def _taking_part(number: int, partial: bool) -> tuple[str, ...]:
    """Late comers and absent sites where asked: E begins in round 4, one of the others is away every third round."""
    if not partial:
        return SITES
    away = SITES[number % 4] if number % 3 == 0 and number > 1 else None
    return tuple(site for site in SITES if site != away and not (site == SITES[4] and number < 4))


def _changes(site: str, number: int) -> dict[str, np.ndarray]:
    """Changes that share a direction, so that cosines are neither all near 0 nor all near 1."""
    common, own = (numpy_rng("fedce", cause, number) for cause in ("all", site))
    shapes = {"head.weight": (6, 4), "head.bias": (6,), "norm.mean": (6,)}
    return {
        name: (common.normal(size=shape) + 2 * own.normal(size=shape)).astype(np.float32)
        for name, shape in shapes.items()
    }


@pytest.mark.parametrize("mode", ["plus", "times"])
@pytest.mark.parametrize("partial", [False, True], ids=["all sites", "partial"])
def test_weights_and_state_equal_nvflare(nvflare_fedce, mode, partial):
    from nvflare.app_common.abstract.fl_model import FLModel, ParamsType

    theirs = nvflare_fedce.FedCEModelAggregator(mode=mode, trainable_param_names=list(PARAMETERS))
    rule = FedCE(mode=mode)
    zeros = {name: torch.zeros(array.shape) for name, array in _changes("A", 0).items()}
    state, memory = rule.start(zeros, RuleContext(sites=SITES, parameters=PARAMETERS))
    history: dict[str, list[float]] = {site: [] for site in SITES}
    spread = 0.0
    for number in range(1, ROUNDS + 1):
        sites = _taking_part(number, partial)
        theirs.reset_stats()
        updates = []
        for site in sites:
            score = float(numpy_rng("fedce score", site, number).uniform(0.4, 0.95)) if history[site] else 0.0
            history[site].append(score)
            changes = _changes(site, number)
            meta = {
                "client_name": site,
                nvflare_fedce.FedCEConstants.MINUS_MODEL_SCORE: 1 - float(np.mean(history[site])),
            }
            theirs.accept_model(FLModel(params_type=ParamsType.DIFF, params=changes, meta=meta, current_round=number))
            scores = {SENT_SCORE: SiteScore(0.5, "auc", 10)}
            if len(history[site]) > 1:
                scores[LEAVE_ONE_OUT_SCORE] = SiteScore(score, "auc", 10)
            own = {name: state[name] + torch.from_numpy(change) for name, change in changes.items()}
            updates.append(Update(site, 5, lambda part, own=own: own, scores))
        expected = theirs.aggregate_model()
        result = rule.aggregate(state, updates[::-1], memory)

        weights = expected.meta[nvflare_fedce.FedCEConstants.CONTRIBUTION_WEIGHTS]
        assert result.memory.values["weights"] == pytest.approx(weights, abs=1e-6)
        assert result.weights == pytest.approx({site: weights[site] for site in sites}, abs=1e-6)
        for name, change in expected.params.items():
            np.testing.assert_allclose((result.state[name] - state[name]).numpy(), change, rtol=0, atol=1e-5)
        spread = max(spread, max(weights.values()) - min(weights.values()))
        state, memory = result.state, Memory(result.memory.values, result.memory.tensors)
    assert spread > 0.02, "all weights were alike, so little was compared"


def test_leave_one_out_state_equals_nvflare(nvflare_fedce):
    random = torch_rng("leave one out")
    model, last = torch.nn.Linear(5, 3), torch.nn.Linear(5, 3)
    for parameter in (*model.parameters(), *last.parameters()):
        torch.nn.init.normal_(parameter, generator=random)
    expected = nvflare_fedce.PTFedCEHelper.make_minus_model(model, last.state_dict(), 0.3).state_dict()
    for name, tensor in leave_one_out_state(model.state_dict(), last.state_dict(), 0.3).items():
        torch.testing.assert_close(tensor, expected[name], rtol=0, atol=1e-6)
