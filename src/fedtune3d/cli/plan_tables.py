"""Terminal tables of `plan`: what a run or a study takes, its answer last."""

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from fedtune3d.cli.plan_messages import message_table
from fedtune3d.report.experiment_lines import encoder_line, included_lines
from fedtune3d.report.number_formatting import duration, plural, size
from fedtune3d.report.site_name import SiteName
from fedtune3d.workflows.expected_price import expected_price
from fedtune3d.workflows.plan import RunPlan
from fedtune3d.workflows.plan_study import TRIAL_SECONDS, StudyPlan


def run_tables(plan: RunPlan, details: bool = False) -> RenderableType:
    """The plan of a run: scans and time per site, then the answer: time, disk, memory, what leaves, and warnings.

    Args:
        plan: The plan.
        details: Whether to list the content of each kind of message, too.
    """
    return Group(
        *([message_table(plan)] if details else []),
        _site_table(plan),
        *_private_parts(plan),
        *(Text(line) for line in (encoder_line(plan.experiment), *included_lines(plan.experiment))),
        *(Text(f"{name}: {value}") for name, value in _facts(plan)),
        Text(
            f"Times are estimates, from one random volume on this machine ({plan.costs.device}, threads: "
            f"{plan.experiment.threads})." + (DETAILED if details else " Content of each message: --details")
        ),
        *([Text()] if plan.warnings else []),
        *(Text(f"warning: {text}") for text in plan.warnings),
    )


NEAR_SECONDS = 0.5
"""Time per scan in which `check` looks for near duplicates (`preparation.near_fingerprints`)."""

DETAILED = (
    " Traffic counts tensors and the keys, shares and signatures of secure aggregation; other content adds a few "
    "kilobytes per message."
)


def _facts(plan: RunPlan) -> list[tuple[str, str]]:
    """The totals of a run, and what leaves each site in one line."""
    costs, rounds = plan.costs, plan.experiment.training.rounds
    baselines = ", baselines included" if plan.experiment.baselines else ""
    gpu = "none used" if costs.gpu_bytes is None else size(costs.gpu_bytes)
    slowest = max(rounds * site.round_seconds + site.evaluate_seconds + site.first_seconds for site in plan.sites)
    cache = sum(site.prepared_bytes + site.features_bytes for site in plan.sites)
    return [
        ("Trains", f"{costs.trainable_parameters:,} parameters, {plural(rounds, 'round')}"),
        *_cross_validation(plan),
        ("Scans still to prepare", _to_prepare(plan)),
        ("Time of check, before the run", _check_time(plan)),
        (f"Time of run, sites in turn{baselines}{', all folds' if plan.folds > 1 else ''}", _run_time(plan)),
        *_with_workers(plan),
        *([] if plan.folds > 1 else [("Time with sites in parallel, each on a machine like this", duration(slowest))]),
        ("Disk", f"run folder {size(plan.run_folder_bytes)}, cache of prepared scans and features {size(cache)}"),
        ("RAM per site", size(costs.host_bytes)),
        ("GPU memory per site", gpu),
        ("To each site, per round", size(costs.bytes_down)),
        ("From each site, per round", size(costs.bytes_up)),
        (
            "Total traffic per site, both directions",
            f"{size(plan.bytes_in_rounds)} in the rounds, as the report counts it; {size(plan.bytes_per_site)} in all",
        ),
        ("Leaves each site", _leaves(plan)),
    ]


def _check_time(plan: RunPlan) -> str:
    """Time to compare all scans with each other."""
    scans = sum(site.scans[0] for site in plan.sites)
    return f"about {duration(scans * NEAR_SECONDS)} after preparing, {NEAR_SECONDS:g} s per scan; less with --no-near"


def _run_time(plan: RunPlan) -> str:
    """Total time, and how much of it prepares and encodes what is not in the cache yet."""
    encoding = f", encoding {duration(plan.encode_seconds)}" if plan.costs.feature_bytes else ""
    return f"{duration(plan.seconds)}, of which preparing {duration(plan.prepare_seconds)}{encoding}"


def _to_prepare(plan: RunPlan) -> str:
    """Number of scans at all sites, and how many are prepared at once."""
    scans = sum(site.to_prepare for site in plan.sites)
    at_once = f", {plan.prepare_processes} at once" if scans and plan.prepare_processes > 1 else ""
    return f"{scans}{at_once}"


def _leaves(plan: RunPlan) -> str:
    """List what leaves a site, in one line."""
    privacy = plan.experiment.privacy
    noised = ", with noise" if privacy.differential is not None else ""
    update = "the sum of all updates is visible, not its own" if privacy.secure_aggregation else "its update"
    parts = [f"{update}{noised}", "counts, scores and averages"]
    sites = plan.experiment.sites
    for key, what in (
        ("predictions_leave", "test predictions without names"),
        ("pictures_leave", "slices of a few scans, for the report"),
        ("maps_leave", "mean saliency maps"),
    ):
        if key == "maps_leave" and plan.experiment.explain is None:
            continue
        allowed = [site.name for site in sites if getattr(site.policy, key)]
        if allowed:
            parts.append(what if len(allowed) == len(sites) else f"{what} ({', '.join(allowed)})")
    return f"{'; '.join(parts)}; no whole scan"


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
    table = Table(
        title="Scans, time and disk space per site", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left"
    )
    table.add_column("Site")
    for name in ("Scans", "Train + val. + test", "Per round", "Prepare, encode", "Prepared scans", "Features"):
        table.add_column(name, justify="right")
    for site in plan.sites:
        total, *parts = site.scans
        table.add_row(
            SiteName(site.site),
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
            SiteName(cost.site),
            str(cost.people),
            "all" if mechanism.sampling_rate == 1 else f"{mechanism.sampling_rate:.0%}",
            str(mechanism.steps),
            f"{mechanism.noise_multiplier:.3g}",
            f"{cost.affordable} of {cost.rounds}",
        )
    return [table, Text(expected_price(plan.experiment)), Text()]


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
        Text(f"Each trial's time includes {TRIAL_SECONDS} s to start its process and write its report."),
        Text(f"Preparing and encoding scans not in the cache: at most {duration(plan.first_seconds)}"),
        Text(f"Total with {plural(workers, 'worker')}: at most about {duration(total)}"),
        Text(f"Disk: cache {size(plan.cache_bytes)}, trials at most {size(plan.trials_bytes)}"),
        Text(f"Memory: up to {size(plan.host_bytes * workers)}"),
        *(Text(f"warning: {text}") for text in plan.warnings),
    )
