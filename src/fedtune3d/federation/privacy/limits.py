"""Limits of a site's policy on an experiment as a whole, checked before anything is allocated for it."""

from fedtune3d.config.experiment import Experiment
from fedtune3d.config.policy import Policy
from fedtune3d.federation.privacy.refusal import Refusal
from fedtune3d.models.tuning import Lora


def require_within_limits(experiment: Experiment, policy: Policy) -> None:
    """Check an experiment's tuning, head, size and privacy against a site's policy.

    Raises:
        Refusal: Naming the key of the policy, its value and what the experiment has.
    """
    tuning, head = experiment.tuning.method, experiment.head_name()
    if policy.tunings is not None and tuning not in policy.tunings:
        raise Refusal(f"policy.tunings allows {', '.join(policy.tunings)}, but the experiment uses {tuning}")
    if policy.heads is not None and head not in policy.heads:
        raise Refusal(f"policy.heads allows {', '.join(policy.heads)}, but the experiment uses {head}")
    if policy.secure_aggregation == "required" and not experiment.privacy.secure_aggregation:
        raise Refusal(
            "policy.secure_aggregation is required, but the experiment would show the server each site's update "
            "(privacy.secure_aggregation)"
        )
    share, most = experiment.privacy.max_share, policy.max_share
    if experiment.privacy.secure_aggregation and share > most:
        raise Refusal(
            f"policy.max_share allows one site {most:.0%} of a sum, but the experiment up to {share:.0%}; expected "
            f"privacy.max_share: {most:g} or less"
        )
    _require_small_epsilon(experiment, policy)
    rank = experiment.tuning.rank if isinstance(experiment.tuning, Lora) else 0
    _require_at_most("max_rounds", policy.max_rounds, experiment.training.rounds, "rounds")
    _require_at_most("max_lora_rank", policy.max_lora_rank, rank, "as the rank of its LoRA adapters")
    _require_at_most("max_threads", policy.max_threads, experiment.threads, "threads")


def _require_small_epsilon(experiment: Experiment, policy: Policy) -> None:
    most, privacy = policy.max_epsilon, experiment.privacy.differential
    if most is None:
        return
    if privacy is None:
        raise Refusal(
            f"policy.max_epsilon is {most:g}, but the experiment trains without differential privacy (privacy.epsilon)"
        )
    if privacy.epsilon > most:
        raise Refusal(f"policy.max_epsilon is {most:g}, but the experiment has privacy.epsilon {privacy.epsilon:g}")
    if privacy.delta > policy.max_delta:
        raise Refusal(
            f"policy.max_delta is {policy.max_delta:g}, but the experiment has privacy.delta {privacy.delta:g}"
        )


def _require_at_most(key: str, most: int | None, value: int, what: str) -> None:
    if most is not None and value > most:
        raise Refusal(f"policy.{key} is {most}, but the experiment has {value} {what}")
