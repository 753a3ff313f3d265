"""The price of differential privacy in AUC that was measured on simulated sites, to expect something before a run."""

from fedtune3d.config.experiment import Experiment

COMMAND = "python benchmarks/privacy_utility.py"
MEASURED = {"linear": {8.0: 0.014, 3.0: 0.045, 1.0: 0.151}}
"""Head → ε → mean loss of test AUC at 4 sites of 100 people in training, drawn at random; from docs/privacy.md."""


def expected_price(experiment: Experiment) -> str:
    """Say what an experiment's ε has cost on simulated sites: of the nearest smaller ε that was measured."""
    epsilon, head = experiment.privacy.epsilon, experiment.model.head
    assert epsilon is not None  # asked for by the caller
    measured = MEASURED.get(head) if experiment.tuning.method == "frozen" else None
    if measured is None:
        return f"Price in AUC: not measured for this head and tuning; compare with a run without ({COMMAND} measures)."
    known = [value for value in measured if value <= epsilon]
    nearest = max(known, default=min(measured))
    more = "" if known else ", and smaller epsilons cost more"
    return (
        f"Price in AUC: at simulated sites of 100 people in training, head {head} lost {measured[nearest]:.3f} at "
        f"epsilon {nearest:g}{more} ({COMMAND}); smaller sites lose more. Yours is found by a run without."
    )
