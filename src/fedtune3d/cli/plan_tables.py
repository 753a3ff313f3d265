"""Terminal tables of `plan`, written for ethics boards and IT departments."""

from dataclasses import dataclass

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fedtune3d.evaluation.outcome import NumberOutcome
from fedtune3d.federation.site.saliency import place_width
from fedtune3d.report.number_formatting import duration, plural, size
from fedtune3d.workflows.expected_price import expected_price
from fedtune3d.workflows.plan import RunPlan
from fedtune3d.workflows.plan_study import StudyPlan


def run_tables(plan: RunPlan) -> RenderableType:
    """The plan of a run: costs per site, content of each kind of message, and totals."""
    costs, rounds = plan.costs, plan.experiment.training.rounds
    baselines = ", baselines included" if plan.experiment.baselines else ""
    gpu = "none used" if costs.gpu_bytes is None else size(costs.gpu_bytes)
    slowest = max(rounds * site.round_seconds + site.evaluate_seconds + site.first_seconds for site in plan.sites)
    facts = [
        ("Trains", f"{costs.trainable_parameters:,} parameters, {plural(rounds, 'round')}"),
        *_cross_validation(plan),
        ("To each site, per round", size(costs.bytes_down)),
        ("From each site, per round", size(costs.bytes_up)),
        ("Total traffic per site, both directions", size(plan.bytes_per_site)),
        ("RAM per site", size(costs.host_bytes)),
        ("GPU memory per site", gpu),
        ("Run folder (checkpoints)", size(plan.run_folder_bytes)),
        ("Scans still to prepare", f"{sum(site.to_prepare for site in plan.sites)}"),
        (f"Time in one process{baselines}{', all folds' if plan.folds > 1 else ''}", duration(plan.seconds)),
        *_with_workers(plan),
        *([] if plan.folds > 1 else [("Time with sites in parallel, each on a machine like this", duration(slowest))]),
    ]
    return Group(
        _site_table(plan),
        *(Text(f"warning: {text}") for text in plan.warnings),
        Text(),
        *(Text(f"{name}: {value}") for name, value in facts),
        Text(),
        *_private_parts(plan),
        _message_table(plan),
        Text(
            f"Measured on this machine with one random volume ({costs.device}, threads: {plan.experiment.threads}). "
            "Times are estimates. Traffic counts tensors and the keys, shares and signatures of secure aggregation; "
            "other content adds a few kilobytes per message."
        ),
    )


def _cross_validation(plan: RunPlan) -> list[tuple[str, str]]:
    """Number of trainings and their cost; nothing without a cross-validation."""
    if plan.folds == 1:
        return []
    each = plan.federated_seconds * (1 + len(plan.experiment.baselines))
    return [
        ("Cross-validation", f"{plan.folds} folds, {plural(plan.trainings, 'training')}, {duration(each)} per fold"),
        ("The numbers per site", "of one fold"),
    ]


def _with_workers(plan: RunPlan) -> list[tuple[str, str]]:
    """Time and memory of the experiment's workers; nothing without."""
    workers = plan.experiment.workers
    if workers == 1:
        return []
    if plan.folds > 1:
        return [(f"Time with {workers} folds at once, each with cores of its own", duration(plan.seconds_with_workers))]
    return [
        (f"Time with {workers} workers, each with cores of its own", duration(plan.seconds_with_workers)),
        (f"RAM of {workers} workers and the process that asks them", size((workers + 1) * plan.costs.host_bytes)),
    ]


def _site_table(plan: RunPlan) -> Table:
    table = Table(title="Per site", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left")
    table.add_column("Site")
    for name in ("Scans", "train + val. + test", "Time per round", "First time", "Prepared scans", "Features"):
        table.add_column(name, justify="right")
    for site in plan.sites:
        total, *parts = site.scans
        table.add_row(
            Text(site.site),
            str(total),
            " + ".join(map(str, parts)),
            duration(site.round_seconds),
            duration(site.first_seconds),
            size(site.prepared_bytes),
            size(site.features_bytes),
        )
    return table


def _private_parts(plan: RunPlan) -> list[RenderableType]:
    """Return the table and the price of differential privacy; nothing without."""
    privacy = plan.experiment.privacy.differential
    if privacy is None:
        return []
    title = f"Differential privacy: epsilon {privacy.epsilon:g}, delta {privacy.delta:g}, per person, over all rounds"
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left")
    table.add_column("Site")
    for name in ("People in training", "In a step", "Steps per round", "Noise multiplier", "Rounds affordable"):
        table.add_column(name, justify="right")
    for cost in plan.private:
        mechanism = cost.mechanism
        table.add_row(
            Text(cost.site),
            str(cost.people),
            "all" if mechanism.sampling_rate == 1 else f"{mechanism.sampling_rate:.0%}",
            str(mechanism.steps),
            f"{mechanism.noise_multiplier:.3g}",
            f"{cost.affordable} of {cost.rounds}",
        )
    return [table, Text(expected_price(plan.experiment)), Text()]


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
            "numbers of scans and people by split and class, and of those left out by reason",
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
            "AUC with CI, counts of probabilities per class on a grid, numbers of people and scans, the same by sex, "
            "age band and scanner for enough people; how well losses tell training from test people; probability and "
            "label of each test scan, without names, from "
            f"{whose} (policy predictions_leave)",
        ),
        "describe_features": Message(
            "once",
            f"the model's trained part ({size(costs.state_bytes)})",
            "mean and covariance of the features of the training scans, for enough scans",
        ),
        "map_saliency": _saliency_message(plan),
    }


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
    named = explain.of if explain is not None and explain.of is not None else outcome.names[-1]
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


def _message_table(plan: RunPlan) -> Table:
    shown = _listed([site.name for site in plan.experiment.sites if site.policy.pictures_leave], len(plan.sites))
    title = (
        "Content of the messages to and from a site: no scans and no dates. In one process, the report also shows "
        f"slices of a few scans (policy.pictures_leave), here from {shown}."
    )
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 1, 0), title_justify="left")
    for name in ("Message", "When", "To the site", "From the site"):
        table.add_column(name, overflow="fold")
    for kind, message in messages(plan).items():
        table.add_row(kind, message.when, message.down, message.up)
    return table


def study_tables(plan: StudyPlan, workers: int) -> RenderableType:
    """The plan of a study: trials and time per stage, and totals."""
    table = Table(title="Plan", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left")
    table.add_column("Stage")
    for name in ("Trials", "Done", "Time remaining"):
        table.add_column(name, justify="right")
    for stage in plan.stages:
        most = "at most " if stage.at_most and stage.seconds else ""
        table.add_row(stage.stage, str(stage.trials), str(stage.done), most + duration(stage.seconds))
    total = plan.first_seconds + sum(stage.seconds for stage in plan.stages) / workers
    return Group(
        table,
        Text(f"Preparing and encoding scans not in the cache: at most {duration(plan.first_seconds)}"),
        Text(f"Total with {plural(workers, 'worker')}: at most about {duration(total)}"),
        Text(f"Disk: cache {size(plan.cache_bytes)}, trials at most {size(plan.trials_bytes)}"),
        Text(f"Memory: up to {size(plan.host_bytes * workers)}"),
    )
