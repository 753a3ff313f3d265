"""Before the rounds: what each site has, and who is in which split."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.typed_json import from_json
from fedtune3d.cohorts.flow import WHOLE_SITE, Flow
from fedtune3d.cohorts.splits import assign_splits
from fedtune3d.config.experiment import Experiment
from fedtune3d.federation.leak_audit import Ask
from fedtune3d.federation.messages import Answer, Task


def plan_and_split(experiment: Experiment, ask: Ask) -> tuple[dict[str, Mapping[str, Any]], dict[str, Flow]]:
    """Let every site read, prepare and split its scans; groups that sites declare are split once for all.

    Returns:
        What each site reports about its scans, and the flow of its participants.

    Raises:
        InputError: If nobody at any site is of one of the classes.
    """
    plan = {answer.site: answer.values for answer in ask(Task("plan"))}
    splits = split_shared(experiment, [values["declared_groups"] for values in plan.values()])
    flows = {answer.site: _flow_of(answer) for answer in ask(Task("split", values={"groups": splits}))}
    whole = [flow.splits[WHOLE_SITE] for flow in flows.values()]
    # A count that a site holds back is not 0.
    require_both_labels([any(classes.scans(label) != 0 for classes in whole) for label in (0, 1)])
    return plan, flows


def _flow_of(answer: Answer) -> Flow:
    try:
        return from_json(Flow, answer.values["flow"])
    except ValueError as error:
        raise InputError(f"site {answer.site}: its flow of participants cannot be read; {error}") from error


def split_shared(experiment: Experiment, counts: Iterable[Mapping[str, tuple[int, int]]]) -> dict[str, str]:
    """Group → split, of the groups that several sites may have; from each site's scans of them, by class."""
    shared: dict[str, tuple[int, int]] = {}
    for site in counts:
        for group, (negatives, positives) in site.items():
            before = shared.get(group, (0, 0))
            shared[group] = (before[0] + negatives, before[1] + positives)
    return assign_splits(shared, experiment.seed, "shared", experiment.splits.fractions())


def require_both_labels(found: Sequence[bool]) -> None:
    """Raises `InputError` where nobody at any site is negative, or nobody positive (`found`, in this order)."""
    for is_there, name in zip(found, ("negative", "positive"), strict=True):
        if not is_there:
            raise InputError(
                f"labels.{name}: nobody at any site is {name}; `fedtune3d prepare` shows who was left out and why; "
                "correct the labels"
            )


def count_people(plan: Mapping[str, Mapping[str, Any]]) -> int:
    """How many people (or anatomies) stand behind the scans of all sites, each counted once."""
    declared = {group for values in plan.values() for group in values["declared_groups"]}
    return len(declared) + sum(values["own_groups"] for values in plan.values())
