"""The tables of the page other than the AUC table, as rows ready to print."""

from collections.abc import Mapping, Sequence
from typing import Any

from fedtune3d.report.number_formatting import METHODS, duration, plural, size
from fedtune3d.report.run_contents import RunContents
from fedtune3d.report.run_statistics import statistic_methods
from fedtune3d.report.table import shown_methods


def operating_rows(metrics: Mapping[str, Any], method: str) -> list[dict[str, Any]]:
    """Balanced accuracy, sensitivity and specificity of a method at its threshold, per site and pooled."""
    found = metrics["methods"][method]
    parts = {**found["sites"], **({"Pooled": found["pooled"]} if found["pooled"] else {})}
    return [
        {
            "name": name,
            "threshold": "–" if part["threshold"] is None else f"{part['threshold']:.3f}",
            **{key: part[key] for key in ("balanced_accuracy", "sensitivity", "specificity")},
        }
        for name, part in parts.items()
    ]


def interval_methods(metrics: Mapping[str, Any]) -> list[str]:
    """Every way in which an interval of the run was made, once, sorted."""
    found = set()
    for name in shown_methods(metrics):
        method = metrics["methods"][name]
        found.add(method["mean_auc"]["method"])
        for part in (*method["sites"].values(), *([method["pooled"]] if method["pooled"] else [])):
            found |= {part[key]["method"] for key in ("auc", "balanced_accuracy", "sensitivity", "specificity")}
    return sorted((found | statistic_methods(metrics)) - {""})


def bad_scans(contents: RunContents) -> list[dict[str, str]]:
    """The scans that were left out as faulty, and why; only of sites whose predictions may leave: both name people."""
    return [
        {"site": site, "scan": bad.scan, "why": bad.why}
        for site, faults in contents.faults.items()
        if contents.policy(site, "predictions_leave")
        for bad in faults
    ]


def round_rows(contents: RunContents) -> list[dict[str, Any]]:
    """Every round: how many of the sites' updates were in it, who was at fault, the mean validation AUC after it."""
    scored = {line.validation.state_round: line.validation.mean_auc for line in contents.ledger}
    return [
        {
            "round": line.round,
            "updates": f"{sum(entry.participated for entry in line.sites.values())} of {len(contents.sites)}",
            "faults": ", ".join(site for site, entry in line.sites.items() if entry.fault) or "–",
            "auc": scored.get(line.round),
            "seconds": line.seconds,
            "time": duration(line.seconds),
        }
        for line in contents.ledger
        if line.trains
    ]


def left_out_rows(contents: RunContents) -> list[dict[str, Any]]:
    """Every round that a site did not take part in because of a fault, and the fault."""
    rows = []
    for line in contents.ledger:
        for faults in line.faults_before:
            rows += [{"round": line.round, "site": site, "why": why} for site, why in sorted(faults.items())]
        for site, entry in line.sites.items():
            if entry.fault:
                rows.append({"round": line.round, "site": site, "why": entry.fault})
    return rows


def cost_rows(contents: RunContents) -> list[dict[str, str]]:
    """Per site, over the rounds: bytes each way a round, bytes in all, seconds, greatest memory."""
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


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def what_ran(contents: RunContents) -> list[tuple[str, str]]:
    """The run in a few lines: name and value."""
    config, environment, metrics = contents.config, contents.environment, contents.metrics
    trained = sum(line.trains for line in contents.ledger)
    rounds = config.get("training", {}).get("rounds", trained)
    lines = [
        ("Experiment", config["name"]),
        ("Sites", f"{len(contents.sites)} ({', '.join(contents.sites)})"),
        ("Rounds", f"{trained} of {rounds} done" + _best(metrics)),
        ("Time in rounds", duration(sum(line.seconds for line in contents.ledger))),
        ("Encoder", config.get("model", {}).get("encoder", "–")),
        ("Weights", contents.facts.get("weights", {}).get("source", "not recorded yet")),
        ("Device", f"{environment.get('device', '–')}, {plural(environment.get('threads', 1), 'thread')}"),
        ("Seed", str(config.get("seed", "–"))),
    ]
    if metrics:
        lines.insert(2, ("Methods", ", ".join(METHODS[name].lower() for name in shown_methods(metrics))))
        if metrics.get("groups") is not None:
            lines.insert(2, ("Groups", f"{metrics['groups']} (people or anatomies that are never split)"))
    return lines


def _best(metrics: Mapping[str, Any]) -> str:
    best = metrics.get("best_round")
    return "" if best is None else f"; evaluated: round {best}, the best by validation"


def cost_lines(cost: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What does not differ between sites: trainable parameters, traffic."""
    lines = []
    if "trainable_parameters" in cost:
        share = f" of {cost['parameters']:,}" if "parameters" in cost else ""
        lines.append(("Trainable parameters", f"{cost['trainable_parameters']:,}{share}"))
    if "bytes_per_round_and_site" in cost:
        lines.append(("Traffic per round and site, both ways", size(cost["bytes_per_round_and_site"])))
    return lines
