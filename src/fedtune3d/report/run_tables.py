"""The tables of the page other than the AUC table, as rows ready to print."""

from collections.abc import Sequence

from fedtune3d.evaluation.metrics import ModelCost, RunMetrics
from fedtune3d.report.figures.drawing import Cell
from fedtune3d.report.number_formatting import (
    METHODS,
    duration,
    encoder_title,
    plural,
    pretraining_title,
    size,
    weights_title,
)
from fedtune3d.report.run_contents import RunContents
from fedtune3d.report.run_statistics import statistic_methods
from fedtune3d.report.shown_measure import validation_measure
from fedtune3d.report.table import shown_methods


def interval_methods(metrics: RunMetrics) -> list[str]:
    """Return the methods behind the CIs of the run, sorted."""
    methods = statistic_methods(metrics)
    for name in shown_methods(metrics):
        methods.add(metrics.methods[name].mean_auc.method)
        if (between := metrics.methods[name].heterogeneity) is not None:
            methods.add(between.new_site.method)
        if (attack := metrics.methods[name].membership) is not None:
            methods.add(attack.mean_auc.method)
            for attacked in attack.sites.values():
                methods |= {attacked.auc.method, attacked.recognised.rate.method}
        for test in metrics.methods[name].parts.values():
            estimates = (test.auc, test.balanced_accuracy, test.sensitivity, test.specificity)
            methods |= {estimate.method for estimate in estimates}
    for against in metrics.against.values():
        for tested in (against.mean, *against.sites.values()):
            methods.add(tested.comparison.difference.method)
    return sorted(methods - {""})


def bad_scans(contents: RunContents) -> list[dict[str, str]]:
    """Return the faulty scans and their reasons, as far as policies allow.

    Only of sites whose predictions may leave, as both name people, and whose number of such scans is not held back.
    """
    return [
        {"site": site, "scan": bad.scan, "why": bad.why}
        for site, faults in contents.faults.items()
        if contents.policy(site, "predictions_leave") and len(faults) >= contents.min_people(site)
        for bad in faults
    ]


def warning_rows(contents: RunContents) -> list[dict[str, str]]:
    """Return site, kind and number of unreadable values and files; numbers as far as the site's policy allows."""
    return [
        {
            "site": site,
            "what": warning.what,
            "count": str(warning.count) if warning.count >= contents.min_people(site) else "held back",
        }
        for site, warnings in contents.warnings.items()
        for warning in warnings
    ]


def round_rows(contents: RunContents) -> list[dict[str, Cell]]:
    """Return one row per round: updates, sites with a fault, and validation afterwards (mean AUC, or pooled error)."""
    by_auc = any(line.validation.mean_auc is not None for line in contents.ledger)
    measure = validation_measure(contents.outcome, by_auc)
    scored = {
        line.validation.state_round: line.validation.mean_auc if by_auc else line.validation.pooled_loss
        for line in contents.ledger
    }
    return [
        {
            "round": line.round,
            "updates": f"{sum(entry.participated for entry in line.sites.values())} of {len(contents.sites)}",
            "faults": ", ".join(site for site, entry in line.sites.items() if entry.fault) or "–",
            "measure": measure.head,
            "mean_over": "mean over sites" if by_auc else "over all sites",
            "validated": None if (value := scored.get(line.round)) is None else value * measure.factor,
            "digits": measure.digits,
            "seconds": line.seconds,
            "time": duration(line.seconds),
        }
        for line in contents.ledger
        if line.trains
    ]


def left_out_rows(contents: RunContents) -> list[dict[str, Cell]]:
    """Return one row per site and round, or step outside the rounds, missed because of a fault, with the fault."""
    rows: list[dict[str, Cell]] = [
        {"round": absence.step, "site": absence.site, "why": absence.reason} for absence in contents.absences
    ]
    for line in contents.ledger:
        for faults in line.faults_before:
            rows += [{"round": line.round, "site": site, "why": why} for site, why in sorted(faults.items())]
        for site, entry in line.sites.items():
            if entry.fault:
                rows.append({"round": line.round, "site": site, "why": entry.fault})
    return rows


def cost_rows(contents: RunContents) -> list[dict[str, str]]:
    """Return per site: bytes each way per round, total bytes, seconds per round and peak memory."""
    rows = []
    for site in contents.sites:
        entries = [line.sites[site] for line in contents.ledger if site in line.sites]
        trained = [entry for entry in entries if entry.participated]
        if not entries:
            continue
        seconds = [entry.seconds for entry in trained if entry.seconds is not None]
        memory = [entry.peak_memory_bytes for entry in entries if entry.peak_memory_bytes]
        rows.append(
            {
                "site": site,
                "rounds": str(len(trained)),
                "down": size(_mean([entry.bytes_down for entry in trained])),
                "up": size(_mean([entry.bytes_up for entry in trained])),
                "total": size(sum(entry.bytes_both_ways for entry in entries)),
                "seconds": duration(_mean(seconds)),
                "memory": size(max(memory, default=None)),
            }
        )
    return rows


def memory_of(device: str | None) -> str:
    """Describe the peak memory of training on a device: what it is the memory of."""
    if device == "cuda":
        return "of the GPU"
    return "of the host, above what the process held before its model"


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def what_ran(contents: RunContents) -> list[tuple[str, str]]:
    """Summarise the run as names and values."""
    config, environment, metrics = contents.config, contents.environment, contents.metrics
    trained = sum(line.trains for line in contents.ledger)
    rounds = config.get("training", {}).get("rounds", trained)
    lines = [
        ("Experiment", config["name"]),
        ("Sites", f"{len(contents.sites)} ({', '.join(contents.sites)})"),
        ("Rounds", f"{trained} of {rounds} done" + _best(metrics)),
        ("Server saw", server_saw(contents)),
        ("Time in rounds", duration(sum(line.seconds for line in contents.ledger))),
        ("Encoder", encoder_title(config.get("model", {}).get("encoder", "–"))),
        ("Weights", "not recorded yet" if contents.facts is None else weights_title(contents.facts.weights)),
        ("Device", "–" if environment is None else f"{environment.device}, {plural(environment.threads, 'thread')}"),
        ("Seed", str(config.get("seed", "–"))),
    ]
    if contents.facts is not None and contents.facts.weights.source != "random":
        lines.append(("Pre-trained on", pretraining_title(config.get("model", {}).get("encoder", "–"))))
    if metrics is not None:
        lines.insert(2, ("Methods", ", ".join(METHODS[name].lower() for name in METHODS if name in metrics.evaluated)))
        if metrics.groups is not None:
            lines.insert(2, ("Groups", f"{metrics.groups} (people or anatomies that are never split)"))
    return lines


def server_saw(contents: RunContents) -> str:
    """Describe how much of the updates the server saw, according to the ledger."""
    trained = [line for line in contents.ledger if line.trains]
    sums = [line.secure for line in trained if line.secure is not None]
    noised = contents.config.get("privacy", {}).get("epsilon") is not None
    if not sums or len(sums) < len(trained):
        return "each site's update" + (
            ", with noise; its counts and scores" if noised else ", its counts, losses and scores"
        )
    fewest = min(len(secure.summed) for secure in sums)
    adjusted = sorted({site for secure in sums for site in secure.adjusted})
    rounds = plural(sum(bool(secure.adjusted) for secure in sums), "round")
    cut = (
        f"; in {rounds} the weight of {' or '.join(adjusted)} was cut or raised (privacy.max_share)" if adjusted else ""
    )
    what = "counts and scores" if noised else "counts, losses and scores"
    return f"the sum of the updates, over {fewest} sites or more; each site's {what}{cut}"


def _best(metrics: RunMetrics | None) -> str:
    if metrics is None or metrics.best_round is None:
        return ""
    return f"; evaluated: round {metrics.best_round}, chosen by validation"


def cost_lines(cost: ModelCost) -> list[tuple[str, str]]:
    """Return the costs that are equal for all sites: trainable parameters and traffic."""
    return [
        ("Trainable parameters", f"{cost.trainable_parameters:,} of {cost.parameters:,}"),
        ("Traffic per round and site, both ways", size(cost.bytes_per_round_and_site)),
    ]
