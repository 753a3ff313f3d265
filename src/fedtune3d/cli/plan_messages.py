"""The messages between a site and the server, described by `plan --details` for ethics boards and IT departments."""

from dataclasses import dataclass

from rich import box
from rich.table import Table

from fedtune3d.config.class_names import names_of
from fedtune3d.evaluation.outcome import NumberOutcome, Outcome
from fedtune3d.federation.site.saliency import place_width
from fedtune3d.report.number_formatting import size
from fedtune3d.workflows.plan import RunPlan


@dataclass(frozen=True)
class Message:
    """A kind of message: when it is sent, and its content in each direction."""

    when: str
    down: str
    up: str


NOT_SENT = Message("not in this run", "nothing", "nothing")
MASKING_STEPS = ("share_secrets", "mask_update", "confirm_survivors", "reveal_shares")


def messages(plan: RunPlan) -> dict[str, Message]:
    """Describe every kind of task and its answer, by kind (`federation/tasks/`)."""
    costs = plan.costs
    sites = plan.experiment.sites
    whose = _listed([site.name for site in sites if site.policy.predictions_leave], len(sites))
    named = _listed([site.name for site in sites if site.policy.names_leave], len(sites))
    declare = any(site.policy.groups_leave for site in sites)
    groups = "pseudonyms of declared groups with counts per class; " if declare else ""
    return {
        "count_scans": Message("once", "nothing", f"number of scans; {groups}whether the scans are simulated"),
        "assign_splits": Message(
            "once",
            "the split of each pseudonym",
            "numbers of scans and people by split and class, and of those excluded by reason",
        ),
        "fingerprint_scans": Message(
            "once, and in `fedtune3d check`",
            "nothing",
            "for each scan, keyed hashes of its image, its person and its group, and its split; scans are named by the "
            f"site's own ids at {named} (policy names_leave), otherwise by eight digits",
        ),
        "describe_people": Message(
            "once, and in `fedtune3d check`",
            "nothing",
            "people by split, class and sex, mean and standard deviation of age, and public cohorts that the ids look "
            "like, for enough people",
        ),
        "profile_intensities": Message(
            "twice", "the range of all sites' intensities", "range, then density of brain intensities"
        ),
        "train": _training_message(plan),
        **_masking_messages(plan),
        "score": Message(
            "once, and in rounds in which the site does not train",
            f"the model's trained part ({size(costs.state_bytes)})",
            "validation scores, number of scans",
        ),
        "evaluate": Message(
            f"once for each of {', '.join(('federated', *plan.experiment.baselines))}",
            f"the model's trained part ({size(costs.state_bytes)})",
            f"{_test_results(plan.experiment.outcome)} of each test scan, without names, from {whose} (policy "
            "predictions_leave)",
        ),
        "describe_features": Message(
            "once",
            f"the model's trained part ({size(costs.state_bytes)})",
            "mean and covariance of the features of the training scans, for enough scans",
        ),
        "map_saliency": _saliency_message(plan),
    }


def _test_results(outcome: Outcome) -> str:
    """Describe the summary of test scans, up to what leaves of each of them."""
    if isinstance(outcome, NumberOutcome):
        return (
            "sums of true and predicted numbers and of errors, also by range of the true number, sex, age band and "
            "scanner, and numbers of people and scans, for enough people; true and predicted number"
        )
    if not outcome.is_binary:
        return (
            "AUC of each class and their mean with CI, counts of probabilities per class on a grid, confusion matrix, "
            "numbers of people and scans, AUC also by sex, age band and scanner for enough people; probabilities and "
            "class"
        )
    return (
        "AUC with CI, counts of probabilities per class on a grid, numbers of people and scans, the same by sex, age "
        "band and scanner for enough people; how well losses tell training from test people; probability and label"
    )


def _training_message(plan: RunPlan) -> Message:
    costs = plan.costs
    private = plan.experiment.privacy.differential is not None
    numbers = f"number of scans, {'' if private else 'loss, '}validation scores, seconds, memory"
    if plan.experiment.privacy.secure_aggregation:
        down = f"the model's trained part ({size(costs.state_bytes)}), parameters of the rule"
        return Message("each round", down, f"{numbers}, public keys; the new values stay at the site")
    down = f"the model's trained part ({size(costs.bytes_down)}), parameters of the rule"
    noised = " with noise" if private else ""
    return Message("each round", down, f"its new values{noised} ({size(costs.bytes_up)}), {numbers}")


def _masking_messages(plan: RunPlan) -> dict[str, Message]:
    """Describe the steps of secure aggregation."""
    if not plan.experiment.privacy.secure_aggregation:
        return dict.fromkeys(MASKING_STEPS, NOT_SENT)
    costs, each = plan.costs, "each round"
    return {
        "share_secrets": Message(each, "the sites' public keys", "encrypted shares of the masks' secrets"),
        "mask_update": Message(
            each,
            "the sites' weights, shares for this site",
            f"its new values under masks, of which only the sum can be read (all steps: {size(costs.bytes_up)})",
        ),
        "confirm_survivors": Message(each, "the list of the sites in the sum", "a signature"),
        "reveal_shares": Message(each, "the sites' signatures", "shares that unmask the sum"),
    }


def _mapped_scans(plan: RunPlan) -> str:
    outcome, explain = plan.experiment.outcome, plan.experiment.explain
    if isinstance(outcome, NumberOutcome):
        return "test scans"
    named = explain.of if explain is not None and explain.of is not None else names_of(plan.experiment).positive
    return f"{named} test scans"


def _saliency_message(plan: RunPlan) -> Message:
    explain, state = plan.experiment.explain, size(plan.costs.state_bytes)
    if explain is None:
        return NOT_SENT
    fine = explain.method == "integrated_gradients"
    place_mm = place_width(explain.method, plan.experiment.map_stride) * plan.experiment.input.spacing_mm
    sites = plan.experiment.sites
    mapped = _listed([site.name for site in sites if site.policy.maps_leave], len(sites))
    return Message(
        "twice, after the last round; not included in the times above",
        f"the model's trained part ({state})" + (", regions of an atlas" if fine else ""),
        f"mean saliency map of {_mapped_scans(plan)} (resolution {place_mm:g} mm), number of scans"
        + (", shares of regions" if fine else "")
        + f", for enough people, from {mapped} (policy maps_leave)",
    )


def _listed(names: list[str], all_sites: int) -> str:
    return "all sites" if len(names) == all_sites else ", ".join(names) or "no site"


def message_table(plan: RunPlan) -> Table:
    """One row per kind of message: when it is sent, and its content in each direction; only those of this run."""
    shown = _listed([site.name for site in plan.experiment.sites if site.policy.pictures_leave], len(plan.sites))
    title = (
        "Messages between the server and a site: no scans and no dates. In one process, the report also shows "
        f"slices of a few scans (policy pictures_leave), here from {shown}."
    )
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 1, 0), title_justify="left")
    for name in ("Message", "When", "To the site", "From the site"):
        table.add_column(name, overflow="fold")
    for kind, message in messages(plan).items():
        if message is not NOT_SENT:
            table.add_row(kind.replace("_", " "), message.when, message.down, message.up)
    return table
