"""Run folders with drawn predictions, whose numbers come from `summarise` at the sites and `combine`."""

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from other_statistics import Rows
from run_editing import change_config, change_metrics
from scipy.stats import norm

from fedtune3d._utils.folders import RunFolder
from fedtune3d._utils.sealed import write_sealed_text
from fedtune3d._utils.typed_json import write_typed
from fedtune3d.evaluation import Predictions, Summary, combine, summarise
from fedtune3d.evaluation.against_baselines import against_baselines
from fedtune3d.evaluation.membership import attack_membership
from fedtune3d.federation.site.predictions_table import write_predictions

SIZES = {"Amsterdam": (30, 25), "Boston": (22, 18), "Graz": (5, 4), "Lagos": (7, 0)}
SCANS_EACH = {"Amsterdam": 2, "Boston": 1, "Graz": 1, "Lagos": 1}
METHODS = {"federated": 0.82, "local": 0.72}


def draw_numbers(
    folder: Path, *, keeps: tuple[str, ...] = (), seed: int = 3, methods: dict[str, float] = METHODS
) -> None:
    """Give a run folder other numbers, of sites of which some keep their predictions.

    `methods` has the AUC that is drawn for each method, the federated one first. The people are always the same.
    """
    rng, sent = np.random.default_rng(seed), {}
    federated: dict[str, Predictions] = {}
    for method, auc in methods.items():
        sent[method] = {
            site: write_site(folder, site, method, auc, rng, site not in keeps, federated) for site in SIZES
        }
    for site in SIZES:
        write_typed(folder / "summaries" / f"{site}.json", {method: sent[method][site] for method in methods})
    combined = {method: combine(sent[method], 1, method != "local", recalibrate=True) for method in methods}
    change_metrics(folder, lambda metrics: replace(metrics, methods=combined, against=against_baselines(sent)))

    def keep_predictions(config: dict[str, Any]) -> None:
        for section in config["sites"]:
            section["policy"]["predictions_leave"] = section["name"] not in keeps

    change_config(folder, keep_predictions)


def write_site(
    folder: Path,
    site: str,
    method: str,
    auc: float,
    rng: np.random.Generator,
    share: bool,
    federated: dict[str, Predictions],
) -> Summary:
    """Draw a site's predictions, write its tables as a site does, and give its summary."""
    parts, rows, splits = {}, [], ["participant_id\tsession_id\tgroup_id\tlabel\tsplit"]
    for split in ("validation", "test", "train"):
        negatives, positives = SIZES[site] if split == "test" else (9, 8)
        each = SCANS_EACH[site]
        labels = np.repeat(np.r_[np.zeros(negatives, int), np.ones(positives, int)], each)
        probabilities = norm.cdf(rng.normal(labels * np.sqrt(2) * norm.ppf(auc) - 0.5, 1))
        names = [f"sub-{split}{row // each:03d}" for row in range(len(labels))]
        sessions = [f"ses-{row % each}" for row in range(len(labels))]
        scans = tuple(f"{name}_{session}" for name, session in zip(names, sessions, strict=True))
        parts[split] = Predictions(tuple(names), scans, labels, probabilities)
        table = list(zip(names, sessions, labels.tolist(), probabilities.tolist(), strict=True))
        rows += [(name, session, split, label, value) for name, session, label, value in table]
        splits += [f"{name}\t{session}\t{name}\t{label}\t{split}" for name, session, label, _ in table]
    half = RunFolder(folder).site(site)
    half.path.mkdir(parents=True, exist_ok=True)
    write_sealed_text(half.splits, "\n".join(splits) + "\n")
    write_predictions(half.predictions(method), rows)
    sex = [sex_of(name) for name in parts["test"].participants]
    other = federated.setdefault(site, parts["test"]) if method != "federated" else None
    if method == "federated":
        federated[site] = parts["test"]
    attack = attack_membership(parts["train"], parts["test"])
    return summarise(parts["validation"], parts["test"], 1, share, {"sex": sex}, federated=other, membership=attack)


def sex_of(name: str) -> str:
    return "M" if int(name[-3:]) % 3 else "F"


def read_rows(folder: Path, site: str, method: str, split: str) -> Rows:
    """The rows of a split in a site's table of predictions, as text."""
    with RunFolder(folder).site(site).predictions(method).open() as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["split"] == split]
    labels, probabilities = np.array([int(r["label"]) for r in rows]), np.array([float(r["probability"]) for r in rows])
    return Rows(labels, probabilities, np.array([f"{site}/{row['participant']}" for row in rows]))
