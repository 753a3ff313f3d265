"""Every number of the evaluation in a report, recomputed by other code than its own (scikit-learn, statsmodels, pair by
pair): from the tables of predictions where these may leave a site, and from the sites' summaries where not."""

import csv
import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import statsmodels.api as sm
from drawn_numbers import METHODS, SCANS_EACH, SIZES, draw_numbers, read_rows, sex_of
from html_tables import table_of, tables_in
from other_statistics import Rows, Z, direct_delong, ratio_statistic, score_variance
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import norm
from shared_folders import made_once
from sklearn.metrics import accuracy_score, brier_score_loss, confusion_matrix, precision_score, roc_auc_score
from sklearn.metrics import roc_curve as sklearn_roc
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint
from unrendered import unrendered_figures

from fedtune3d._utils.typed_json import from_json, to_json
from fedtune3d.evaluation import Summary, combine
from fedtune3d.report import write_report

PREVALENCES = (0.05, 0.2, 0.5)


class Run(NamedTuple):
    """A run folder and what was read back from it."""

    folder: Path
    keeps: tuple[str, ...]
    metrics: dict[str, Any]
    summaries: dict[str, dict[str, Any]]


@pytest.fixture(scope="module", params=[(), ("Boston",)], ids=["all predictions leave", "Boston keeps its own"])
def run(request: pytest.FixtureRequest, finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run whose numbers come from `summarise` at the sites and `combine`, with its report."""
    keeps = request.param

    def write(place: Path) -> None:
        folder = Path(shutil.copytree(finished_run, place / "run"))
        draw_numbers(folder, keeps=keeps)
        with unrendered_figures():
            write_report(folder)

    folder = made_once(tmp_path_factory, "-".join(("numbers", *keeps)), write) / "run"
    summaries = {site: json.loads((folder / "summaries" / f"{site}.json").read_text()) for site in SIZES}
    return Run(folder, keeps, json.loads((folder / "metrics.json").read_text()), summaries)


def table_rows(run: Run, site: str, method: str, split: str) -> Rows:
    """The rows of `predictions.tsv`; only of a site whose predictions may leave."""
    assert site not in run.keeps
    return read_rows(run.folder, site, method, split)


def counted_rows(counts: dict[str, dict[str, int]]) -> Rows:
    """Counts on the grid, each scan at the middle of its bin: 1,281 edges from logit −10 to 10."""
    labels, logits = [], []
    for label, name in enumerate(("negative", "positive")):
        for index, count in counts[name].items():
            labels += [label] * count
            logits += [min(10, max(-10, -10 + (int(index) - 0.5) / 64))] * count
    return Rows(np.array(labels), 1 / (1 + np.exp(-np.array(logits))), np.arange(len(labels)).astype(str))


def stacked(parts: Iterable[Rows]) -> Rows:
    return Rows(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def mean_losses(rows: Rows) -> np.ndarray:
    """The mean cross-entropy of each person, one by one."""
    losses = [-np.log(p if label else 1 - p) for label, p in zip(rows.labels, rows.probabilities, strict=True)]
    return np.array([np.mean(np.array(losses)[rows.people == person]) for person in np.unique(rows.people)])


def test_membership_attack_of_each_site(run: Run) -> None:
    for method in METHODS:
        found, recognised, aucs = run.metrics["methods"][method]["membership"], 0, []
        for site in SIZES:
            part = found["sites"][site]
            aucs.append(part["auc"]["value"])
            recognised += part["recognised"]["people"]
            if site in run.keeps:
                continue
            members, others = (mean_losses(table_rows(run, site, method, split)) for split in ("train", "test"))
            assert (part["members"], part["others"]) == (len(members), len(others)) == (17, sum(SIZES[site]))
            pairs = (members[:, None] < others) + 0.5 * (members[:, None] == others)
            assert part["auc"]["value"] == pytest.approx(pairs.mean())
            delong = np.var(pairs.mean(1), ddof=1) / len(members) + np.var(pairs.mean(0), ddof=1) / len(others)
            variance = score_variance(pairs.mean(), delong, len(others), len(members))
            for limit in (part["auc"]["low"], part["auc"]["high"]):
                assert (limit - pairs.mean()) ** 2 == pytest.approx(Z**2 * variance(limit), rel=1e-6)
            threshold = sorted(others)[len(others) // 20]
            assert part["recognised"]["people"] == sum(loss < threshold for loss in members)
            low, high = proportion_confint(part["recognised"]["people"], 17, method="wilson")
            rate = part["recognised"]["rate"]
            assert (rate["low"], rate["high"]) == pytest.approx((low, high))
        assert found["mean_auc"]["value"] == pytest.approx(np.mean(aucs))
        assert found["recognised"]["people"] == recognised


def test_the_page_shows_the_membership_attacks(run: Run, tables: dict[str, list[list[str]]]) -> None:
    def people(recognised: dict[str, Any]) -> str:
        low, high = (f"{100 * recognised['rate'][key]:.0f}%" for key in ("low", "high"))
        return f"{recognised['people']} of {recognised['members']} [{low}, {high}]"

    *sites, summary = table_of(tables, "Membership inference")
    attacks = [run.metrics["methods"][method]["membership"] for method in METHODS]
    for row, site in zip(sites, SIZES, strict=True):
        test, parts = sum(SIZES[site]), [attack["sites"][site] for attack in attacks]
        chance = 17 * (test // 20 + 1) / (test + 1)
        cells = [text for part in parts for text in (shown(part["auc"]), people(part["recognised"]))]
        assert row == [site, "17", str(test), f"{chance:.1f}", *cells]
    cells = [text for attack in attacks for text in (shown(attack["mean_auc"]), people(attack["recognised"]))]
    assert summary[4:] == cells


def split_rows(run: Run, method: str, split: str, sites: Iterable[str] = SIZES) -> Rows:
    """All scans of a split, by the tables where all of these sites let them leave, else by the counts of each."""
    if not set(run.keeps) & set(sites):
        return stacked(table_rows(run, site, method, split) for site in sites)
    summaries = [run.summaries[site][method] for site in sites]
    counts = [summary["validation"] if split == "validation" else summary["test"]["counts"] for summary in summaries]
    return stacked(counted_rows(part) for part in counts)


def test_metrics_follow_from_the_summaries_alone(run: Run) -> None:
    for method in METHODS:
        summaries = {site: from_json(Summary, run.summaries[site][method]) for site in SIZES}
        assert to_json(combine(summaries, 1, method != "local", recalibrate=True)) == run.metrics["methods"][method]
    for site in run.keeps:
        assert all(run.summaries[site][method]["test"]["predictions"] is None for method in METHODS)


def test_auc_of_each_site(run: Run) -> None:
    for method in METHODS:
        sites = run.metrics["methods"][method]["sites"]
        for site in SIZES:
            if site in run.keeps:
                assert sites[site]["auc"] == run.summaries[site][method]["test"]["auc"]
                rows = counted_rows(run.summaries[site][method]["test"]["counts"])
                assert sites[site]["auc"]["value"] == pytest.approx(direct_delong(rows)[0], abs=0.005)
                continue
            rows = table_rows(run, site, method, "test")
            assert (sites[site]["scans"], sites[site]["positives"]) == (len(rows.labels), rows.labels.sum())
            if len(set(rows.labels)) < 2:
                assert sites[site]["auc"]["undefined"] == f"one class only (all {len(rows.labels)} test scans negative)"
                continue
            assert sites[site]["auc"]["value"] == pytest.approx(roc_auc_score(rows.labels, rows.probabilities))
            auc, error = direct_delong(rows)
            delong = sites[site]["auc_delong"]
            assert (delong["value"], delong["low"]) == pytest.approx((auc, max(0, auc - Z * error)))
            assert delong["high"] == pytest.approx(min(1, auc + Z * error))
            variance = score_variance(auc, error**2, *SIZES[site])
            for limit in (sites[site]["auc"]["low"], sites[site]["auc"]["high"]):
                assert (limit - auc) ** 2 == pytest.approx(Z**2 * variance(limit), rel=1e-6)


def test_mean_auc_over_sites(run: Run) -> None:
    for method in METHODS:
        sites, found = run.metrics["methods"][method]["sites"], run.metrics["methods"][method]["mean_auc"]
        having = [site for site in SIZES if sites[site]["auc"]["value"] is not None]
        assert found["sites"] == having
        assert found["value"] == pytest.approx(np.mean([sites[site]["auc"]["value"] for site in having]))
        if run.keeps:
            continue
        by_site = {site: direct_delong(table_rows(run, site, method, "test")) for site in having}
        variances = [score_variance(auc, error**2, *SIZES[site]) for site, (auc, error) in by_site.items()]
        for limit in (found["low"], found["high"]):
            total = sum(variance(limit) for variance in variances) / len(having) ** 2
            assert (limit - found["value"]) ** 2 == pytest.approx(Z**2 * total, rel=1e-6)


def paired_error(first: Rows, second: Rows) -> float:
    """The standard error of a difference of AUCs, pair by pair, people as clusters (nobody is of both classes)."""
    psi = []
    for rows in (first, second):
        cases, controls = (rows.probabilities[rows.labels == label] for label in (1, 0))
        psi.append((cases[:, None] > controls) + 0.5 * (cases[:, None] == controls))
    variance, apart = 0.0, psi[0] - psi[1]
    for axis, label in ((1, 1), (0, 0)):
        parts, people = apart.mean(axis=axis) - apart.mean(), first.people[first.labels == label]
        sums = [parts[people == person].sum() for person in np.unique(people)]
        variance += len(sums) / (len(sums) - 1) * np.sum(np.square(sums)) / len(parts) ** 2
    return float(np.sqrt(variance))


def test_federated_minus_local(run: Run, tables: dict[str, list[list[str]]]) -> None:
    found = run.metrics["against"]["local"]
    differences, errors = [], []
    for site in (name for name in SIZES if SIZES[name][1]):
        got = found["sites"][site]["comparison"]
        aucs = [run.metrics["methods"][method]["sites"][site]["auc"]["value"] for method in METHODS]
        assert (got["first"], got["second"]) == pytest.approx(tuple(aucs))
        differences.append(aucs[0] - aucs[1])
        errors.append(got["standard_error"])
        if site not in run.keeps:
            error = paired_error(*(table_rows(run, site, method, "test") for method in METHODS))
            assert got["standard_error"] == pytest.approx(error)
        assert got["p_value"] == pytest.approx(2 * norm.sf(abs(differences[-1]) / errors[-1]))
        assert got["difference"]["low"] == pytest.approx(max(-1, differences[-1] - Z * errors[-1]))
    mean, error = found["mean"]["comparison"], np.sqrt(np.sum(np.square(errors))) / len(errors)
    assert mean["difference"]["value"] == pytest.approx(np.mean(differences))
    assert mean["p_value"] == pytest.approx(2 * norm.sf(abs(np.mean(differences)) / error))
    p_values = [found["sites"][site]["comparison"]["p_value"] for site in SIZES if SIZES[site][1]]
    adjusted = multipletests(p_values, method="holm")[1]
    assert [found["sites"][site]["p_holm"] for site in SIZES if SIZES[site][1]] == pytest.approx(adjusted.tolist())
    *rows, of_mean = table_of(tables, "minus that of the baseline")
    assert of_mean[5] == shown(mean["difference"], "+")
    assert [row[5] for row in rows] == [shown(found["sites"][s]["comparison"]["difference"], "+") for s in SIZES]


def test_thresholds_are_the_best_on_validation_scans(run: Run) -> None:
    found = run.metrics["methods"]["federated"]["pooled"]
    validation = split_rows(run, "federated", "validation")
    positive = validation.labels == 1

    def sensitivity_and_specificity(threshold: float) -> tuple[float, float]:
        called = validation.probabilities >= threshold
        return called[positive].mean(), (~called)[~positive].mean()

    every = [sensitivity_and_specificity(value) for value in [*validation.probabilities, 1.1]]
    assert sum(sensitivity_and_specificity(found["threshold"])) == pytest.approx(max(map(sum, every)))
    at = sensitivity_and_specificity(found["at_specificity"]["threshold"])
    assert at[1] >= 0.9
    assert at[0] == max(sensitivity for sensitivity, specificity in every if specificity >= 0.9)


def test_operating_points(run: Run) -> None:
    for method in METHODS:
        found = run.metrics["methods"][method]
        parts = [(found["sites"][site], (site,)) for site in SIZES]
        parts += [(found["pooled"], tuple(SIZES))] if found["pooled"] else []
        for part, sites in parts:
            rows = split_rows(run, method, "test", sites)
            people = np.sum([SIZES[site] for site in sites], axis=0)
            for point, threshold in (
                (part, part["threshold"]),
                (part["at_specificity"], part["at_specificity"]["threshold"]),
            ):
                called = rows.probabilities >= threshold
                for name, right in (
                    ("specificity", ~called[rows.labels == 0]),
                    ("sensitivity", called[rows.labels == 1]),
                ):
                    if not len(right):
                        assert point[name]["value"] is None
                        continue
                    n = int(people[int(name == "sensitivity")])
                    low, high = proportion_confint(float(right.mean() * n), n, method="wilson")
                    expected = (right.mean(), low, high)
                    assert [point[name][key] for key in ("value", "low", "high")] == pytest.approx(expected, abs=1e-9)
            check_counts(part, rows, people)
            if len(set(rows.labels)) == 2:
                balanced = (part["sensitivity"]["value"] + part["specificity"]["value"]) / 2
                assert part["balanced_accuracy"]["value"] == pytest.approx(balanced)


def check_counts(part: dict[str, Any], rows: Rows, people: np.ndarray) -> None:
    """The 2×2 tables at both thresholds, accuracy, and predictive values; nobody has scans of both classes."""
    everyone = int(np.sum(people))
    for point in (part, part["at_specificity"]):
        threshold = part["threshold"] if point is part else point["threshold"]
        called = (rows.probabilities >= threshold).astype(int)
        table = confusion_matrix(rows.labels, called, labels=[0, 1])
        names = ("true_negatives", "false_positives", "false_negatives", "true_positives")
        assert point["confusion"] == dict(zip(names, table.ravel().tolist(), strict=True))
    called = (rows.probabilities >= part["threshold"]).astype(int)
    right = accuracy_score(rows.labels, called)
    low, high = proportion_confint(right * everyone, everyone, method="wilson")
    assert [part["accuracy"][key] for key in ("value", "low", "high")] == pytest.approx([right, low, high], abs=1e-9)
    own = [rows.labels.mean()] if 0 < rows.labels.mean() < 1 else []
    assert [at["prevalence"] for at in part["predictive_values"]] == pytest.approx([*own, *PREVALENCES])
    for at in part["predictive_values"]:
        if not own:
            assert at["positive"]["undefined"] == at["negative"]["undefined"] == "no positive test scans"
            continue
        check_predictive_values(at, rows.labels, called, people)
    if own:
        ppv, npv = (precision_score(rows.labels, called, pos_label=label) for label in (1, 0))
        assert part["predictive_values"][0]["positive"]["value"] == pytest.approx(ppv)
        assert part["predictive_values"][0]["negative"]["value"] == pytest.approx(npv)


def check_predictive_values(at: dict[str, Any], labels: np.ndarray, called: np.ndarray, people: np.ndarray) -> None:
    """A million people at that prevalence, and limits that are z standard errors of the likelihood ratio away."""
    sick, well = 1e6 * at["prevalence"], 1e6 * (1 - at["prevalence"])
    for name, verdict, own, other in (("positive", 1, sick, well), ("negative", 0, well, sick)):
        right, wrong = (np.mean(called[labels == label] == verdict) for label in (verdict, 1 - verdict))
        assert at[name]["value"] == pytest.approx(own * right / (own * right + other * wrong))
        counts = [(right, people[verdict]), (wrong, people[1 - verdict])]
        assert (at[name]["low"] == 0, at[name]["high"] == 1) == (right == 0, wrong == 0)
        for limit in (at[name][end] for end in ("low", "high") if 0 < at[name][end] < 1):
            ratio = limit * other / ((1 - limit) * own)
            assert ratio_statistic(ratio, *counts) == pytest.approx(Z**2, rel=1e-3)


def recalibrated(rows: Rows, slope: bool) -> float:
    logits = np.log(rows.probabilities / (1 - rows.probabilities))
    design = np.stack([logits, np.ones_like(logits)], axis=1) if slope else np.ones((len(logits), 1))
    return sm.GLM(rows.labels, design, family=sm.families.Binomial(), offset=None if slope else logits).fit().params[0]


def intercept_statistic(rows: Rows, intercept: float) -> float:
    """The squared sum of residuals over its robust variance, people as clusters."""
    logits = np.log(rows.probabilities / (1 - rows.probabilities))
    residuals = rows.labels - 1 / (1 + np.exp(-logits - intercept))
    people = np.unique(rows.people)
    sums = np.array([residuals[rows.people == person].sum() for person in people])
    return residuals.sum() ** 2 / (np.sum(sums**2) * len(people) / (len(people) - 1))


def calibration_error(rows: Rows) -> float:
    bins = np.minimum((rows.probabilities * 10).astype(int), 9)
    return sum(abs(np.sum((rows.labels - rows.probabilities)[bins == index])) for index in range(10)) / len(bins)


def test_calibration_and_net_benefit(run: Run) -> None:
    for method in METHODS:
        found = run.metrics["methods"][method]
        parts = [(found["sites"][site], (site,)) for site in SIZES if site not in run.keeps]
        parts += [(found["pooled"], tuple(SIZES))] if found["pooled"] else []
        for part, sites in parts:
            rows, got = split_rows(run, method, "test", sites), part["calibration"]
            assert got["brier"]["value"] == pytest.approx(brier_score_loss(rows.labels, rows.probabilities))
            assert got["error"]["value"] == pytest.approx(calibration_error(rows))
            people = [len(set(rows.people[rows.labels == label])) for label in (0, 1)]
            if min(people) < 10:
                assert got["slope"]["value"] is got["intercept"]["value"] is None
            else:
                assert got["slope"]["value"] == pytest.approx(recalibrated(rows, slope=True), rel=1e-5)
                assert got["intercept"]["value"] == pytest.approx(recalibrated(rows, slope=False), rel=1e-5)
                if not run.keeps:
                    for limit in (got["intercept"]["low"], got["intercept"]["high"]):
                        assert intercept_statistic(rows, limit) == pytest.approx(Z**2, rel=1e-6)
    rows, pooled = split_rows(run, "federated", "test"), run.metrics["methods"]["federated"]["pooled"]
    for point in pooled["decision_curve"]:
        called, odds = rows.probabilities >= point["threshold"], point["threshold"] / (1 - point["threshold"])
        worth = np.where(rows.labels == 1, 1, -odds) * called
        assert point["net_benefit"]["value"] == pytest.approx(worth.mean())
        assert point["treat_all"] == pytest.approx(np.where(rows.labels == 1, 1, -odds).mean())
    for point in pooled["calibration_curve"]:
        inside = (rows.probabilities >= point["low_edge"]) & (rows.probabilities < point["high_edge"])
        assert point["scans"] == inside.sum()
        assert point["observed"]["value"] == pytest.approx(rows.labels[inside].mean())
        assert point["mean_probability"] == pytest.approx(rows.probabilities[inside].mean())


def test_recalibration(run: Run, tables: dict[str, list[list[str]]]) -> None:
    """Platt's likelihood with his targets by a general optimiser, and what the line makes of each test scan."""
    for method in METHODS:
        found = run.metrics["methods"][method]["recalibrated"]
        assert list(found) == [*SIZES, *(["Pooled"] if method == "federated" else [])]
        for name, part in found.items():
            sites = tuple(SIZES) if name == "Pooled" else (name,)
            fitted_on = sites if method == "local" else tuple(SIZES)
            validation = stacked(counted_rows(run.summaries[site][method]["validation"]) for site in fitted_on)
            slope, intercept = platt(validation)
            scaling = part["scaling"]
            assert (scaling["slope"], scaling["intercept"]) == pytest.approx((slope, intercept), rel=1e-3, abs=1e-3)
            assert scaling["scans"] == [int(np.sum(validation.labels == label)) for label in (0, 1)]
            rows = split_rows(run, method, "test", sites)
            logits = np.log(rows.probabilities / (1 - rows.probabilities))
            scaled = rows._replace(probabilities=expit(scaling["slope"] * logits + scaling["intercept"]))
            brier = brier_score_loss(rows.labels, scaled.probabilities, labels=[0, 1])
            assert part["calibration"]["brier"]["value"] == pytest.approx(brier)
            assert part["calibration"]["error"]["value"] == pytest.approx(calibration_error(scaled))
            if (got := part["calibration"]["slope"]["value"]) is not None:
                assert got == pytest.approx(recalibrated(scaled, slope=True), rel=1e-5)
        assert table_of(tables, f"{method.capitalize()}, after Platt scaling") == [
            [
                name,
                f"{part['scaling']['slope']:.2f}, {part['scaling']['intercept']:+.2f}",
                "{1} + {0}".format(*part["scaling"]["scans"]),
                scans_of(part_of(run.metrics["methods"][method], name)),
                *(shown(part["calibration"][key]) for key in ("slope", "intercept", "brier")),
                f"{part['calibration']['error']['value']:.2f} ({part['calibration']['error']['if_calibrated']:.2f})",
            ]
            for name, part in found.items()
        ]


def part_of(method: dict[str, Any], name: str) -> dict[str, Any]:
    return method["pooled"] if name == "Pooled" else method["sites"][name]


def scans_of(part: dict[str, Any]) -> str:
    return f"{part['positives']} + {part['scans'] - part['positives']}"


def platt(rows: Rows) -> tuple[float, float]:
    logits, positives = np.log(rows.probabilities / (1 - rows.probabilities)), int(rows.labels.sum())
    negatives = len(rows.labels) - positives
    targets = np.where(rows.labels == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))

    def loss(line: np.ndarray) -> float:
        scaled = line[0] * logits + line[1]
        return float(np.sum(np.logaddexp(0, scaled) - targets * scaled))

    slope, intercept = minimize(loss, np.zeros(2)).x
    return slope, intercept


def test_pooled_auc_and_roc(run: Run) -> None:
    rows, pooled = split_rows(run, "federated", "test"), run.metrics["methods"]["federated"]["pooled"]
    auc, error = direct_delong(rows)
    assert pooled["auc"]["value"] == pooled["auc_delong"]["value"] == pytest.approx(auc)
    if not run.keeps:
        assert pooled["auc_delong"]["low"] == pytest.approx(auc - Z * error)
    sites = run.metrics["methods"]["federated"]["sites"]
    of_sites = [(split_rows(run, "federated", "test", (site,)), sites[site]["roc"]) for site in SIZES]
    for part, curve in ((rows, pooled["roc"]), *of_sites):
        if curve is None:
            assert len(set(part.labels)) < 2
            continue
        false, true, _ = sklearn_roc(part.labels, part.probabilities, drop_intermediate=False)
        assert (curve["false_positive_rate"], curve["sensitivity"]) == (pytest.approx(false), pytest.approx(true))
        exact = "/" in part.people[0]  # rows of a table, in which people have names
        assert curve["source"] == ("from predictions" if exact else "from counts on a grid")


def test_the_gap_of_a_site(run: Run) -> None:
    """Of the same scans as its AUC, so one report has one AUC for it."""
    found = run.metrics["methods"]["federated"]["groups"]["site"]["groups"]
    if run.keeps:
        parts = {site: counted_rows(run.summaries[site]["federated"]["test"]["counts"]) for site in SIZES}
    else:
        parts = {site: table_rows(run, site, "federated", "test") for site in SIZES}
    for site in (one for one in SIZES if SIZES[one][1]):
        own, rest = parts[site], stacked(parts[one] for one in SIZES if one != site)
        auc = roc_auc_score(own.labels, own.probabilities)
        assert found[site]["auc"]["value"] == pytest.approx(auc)
        gap = auc - roc_auc_score(rest.labels, rest.probabilities)
        assert found[site]["gaps"]["auc"]["value"] == pytest.approx(gap)
        if not run.keeps:
            assert auc == pytest.approx(run.metrics["methods"]["federated"]["sites"][site]["auc"]["value"])


def test_groups_and_gaps(run: Run) -> None:
    """Counts of a group stand in the summaries of the sites that told of it; names, and so the sex, in the tables."""
    found = run.metrics["methods"]["federated"]["groups"]["sex"]["groups"]
    told = [run.summaries[site]["federated"]["test"]["groups"]["sex"]["groups"] for site in SIZES]
    rows = {name: stacked(counted_rows(part[name]["counts"]) for part in told if name in part) for name in "FM"}
    threshold = run.metrics["methods"]["federated"]["threshold"]
    for name, other in ("FM", "MF"):
        auc = {sex: roc_auc_score(rows[sex].labels, rows[sex].probabilities) for sex in "FM"}
        assert found[name]["auc"]["value"] == pytest.approx(auc[name])
        assert found[name]["gaps"]["auc"]["value"] == pytest.approx(auc[name] - auc[other])
        hit = {sex: (rows[sex].probabilities >= threshold)[rows[sex].labels == 1].mean() for sex in "FM"}
        assert found[name]["sensitivity"]["value"] == pytest.approx(hit[name])
        assert found[name]["gaps"]["sensitivity"]["value"] == pytest.approx(hit[name] - hit[other])
        assert sum(found[name]["participants_by_class"]) == sum(
            sum(p[name]["participants_by_class"]) for p in told if name in p
        )
    if not run.keeps:
        everyone = [table_rows(run, site, "federated", "test") for site in SIZES if told[list(SIZES).index(site)]]
        people = {person for part in everyone for person in part.people if sex_of(person) == "F"}
        assert sum(found["F"]["participants_by_class"]) == len(people)


def shown(estimate: dict[str, Any] | None, sign: str = "", counts: tuple[int, int] | None = None) -> str:
    if estimate is None:
        return "–"
    if estimate["value"] is None:
        return f"not defined: {estimate['undefined']}"
    value, low, high = (format(estimate[key], f"{sign}.2f").replace("-", "−") for key in ("value", "low", "high"))
    text = f"{value} [{low}, {high}]"
    return text if counts is None else f"{text} ({counts[0]}/{counts[1]})"


def counts_of(table: dict[str, int]) -> dict[str, tuple[int, int]]:
    """Proportion → scans called right, of how many."""
    hits, misses = table["true_positives"], table["false_negatives"]
    rejections, alarms = table["true_negatives"], table["false_positives"]
    return {
        "sensitivity": (hits, hits + misses),
        "specificity": (rejections, rejections + alarms),
        "positive": (hits, hits + alarms),
        "negative": (rejections, rejections + misses),
        "accuracy": (hits + rejections, hits + misses + rejections + alarms),
    }


@pytest.fixture(name="tables", scope="module")
def _tables(run: Run) -> dict[str, list[list[str]]]:
    return tables_in(run.folder / "report.html")


def test_the_page_shows_these_numbers_and_no_others(run: Run, tables: dict[str, list[list[str]]]) -> None:
    methods = run.metrics["methods"]
    parts: Callable[[str], list[tuple[str, dict]]] = lambda name: [  # noqa: E731
        *methods[name]["sites"].items(),
        *([("Pooled", methods[name]["pooled"])] if methods[name]["pooled"] else []),
    ]
    per_site = [
        [
            site,
            str(sum(SIZES[site])),
            "{1} + {0}".format(*SIZES[site]),
            "{1} + {0}".format(*(SCANS_EACH[site] * people for people in SIZES[site])),
            *(shown(methods[name]["sites"][site]["auc"]) for name in METHODS),
        ]
        for site in SIZES
    ]
    pooled = ["Pooled", shown(methods["federated"]["pooled"]["auc"]), "–"]
    mean = ["Mean", *(shown(methods[name]["mean_auc"]) for name in METHODS)]
    got = table_of(tables, "neither for training nor for model selection")
    assert got[:-2] == per_site
    assert [[row[0], *row[4:]] for row in got[-2:]] == [mean, pooled]
    assert got[-2][1] == f"{len(methods['federated']['mean_auc']['sites'])} sites"
    people = [sum(counts) for counts in zip(*SIZES.values(), strict=True)]
    assert got[-1][1:3] == [str(sum(people)), f"{people[1]} + {people[0]}"]
    delong = [
        [row[0], row[2], *(shown(methods[name]["sites"][row[0]]["auc_delong"]) for name in METHODS)] for row in per_site
    ]
    last = ["Pooled", got[-1][2], shown(methods["federated"]["pooled"]["auc_delong"]), "–"]
    assert table_of(tables, "AUC [95% CI by DeLong") == [*delong, last]
    for name in METHODS:
        title = name.capitalize()
        assert table_of(tables, f"{title}, at the threshold of 90% ") == [
            [
                site,
                f"{part['at_specificity']['threshold']:.3f}",
                *(
                    shown(part["at_specificity"][key], counts=counts_of(part["at_specificity"]["confusion"])[key])
                    for key in ("sensitivity", "specificity")
                ),
            ]
            for site, part in parts(name)
        ]
        assert table_of(tables, f"{title}, at the threshold: ") == [
            [
                site,
                f"{part['threshold']:.3f}",
                *(shown(part[key], counts=counts_of(part["confusion"])[key]) for key in ("sensitivity", "specificity")),
                shown(part["balanced_accuracy"]),
                shown(part["accuracy"], counts=counts_of(part["confusion"])["accuracy"]),
            ]
            for site, part in parts(name)
        ]
        assert table_of(tables, f"{title}, predictive values") == [
            [
                site,
                f"{100 * at['prevalence']:.3g}%" + (" (this test set)" if at["of_test_set"] else ""),
                *(
                    shown(at[key], counts=counts_of(part["confusion"])[key] if at["of_test_set"] else None)
                    for key in ("positive", "negative")
                ),
            ]
            for site, part in parts(name)
            for at in part["predictive_values"]
        ]
        assert table_of(tables, f"{title}, calibration") == [
            [
                site,
                scans_of(part),
                *(shown(part["calibration"][key]) for key in ("slope", "intercept", "brier")),
                f"{part['calibration']['error']['value']:.2f} ({part['calibration']['error']['if_calibrated']:.2f})",
            ]
            for site, part in parts(name)
        ]
    groups = methods["federated"]["groups"]
    assert table_of(tables, "a gap is") == [
        [
            axis.capitalize(),
            name,
            "{1} + {0}".format(*group["participants_by_class"]),
            shown(group["auc"]),
            *(shown(group["gaps"][key], "+") for key in ("auc", "sensitivity", "specificity")),
        ]
        for axis in ("sex", "site")
        for name, group in groups[axis]["groups"].items()
    ]


def test_the_data_behind_the_figures_are_these_numbers(run: Run) -> None:
    pooled, boston = (part_of(run.metrics["methods"]["federated"], name) for name in ("Pooled", "Boston"))
    with (run.folder / "figures" / "roc.tsv").open() as file:
        roc = list(csv.DictReader(file, delimiter="\t"))
    for series, columns, curve in (
        ("pooled", ("false_positive_rate", "sensitivity"), pooled["roc"]),
        ("pooled, 95% band", ("false_positive_rate", "low", "high"), pooled["roc"]["band"]),
        ("Boston", ("false_positive_rate", "sensitivity"), boston["roc"]),
    ):
        rows = [row for row in roc if row["series"] == series]
        assert [[float(row[column]) for row in rows] for column in columns] == [curve[column] for column in columns]
    with (run.folder / "figures" / "calibration.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    curve = [row for row in rows if row["panel"] == "calibration"]
    worth = [row for row in rows if row["panel"] == "net benefit"]
    for key in ("value", "low", "high"):
        assert [float(row[key]) for row in curve] == [p["observed"][key] for p in pooled["calibration_curve"]]
        assert [float(row[key]) for row in worth] == [p["net_benefit"][key] for p in pooled["decision_curve"]]
    with (run.folder / "figures" / "auc_per_site.tsv").open() as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if row["row"] in SIZES:
                estimate = run.metrics["methods"][row["method"]]["sites"][row["row"]]["auc"]
                assert row["auc"] == ("" if estimate["value"] is None else str(estimate["value"]))
