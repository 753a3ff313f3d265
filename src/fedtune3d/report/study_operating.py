"""Operating points of a study's combinations: counts and proportions on all test scans of a trial."""

from dataclasses import dataclass

from fedtune3d.evaluation.metrics import PooledMetrics
from fedtune3d.report.sample_sizes import people_over_seeds
from fedtune3d.report.study_contents import Row, StudyContents


@dataclass(frozen=True)
class OperatingRow:
    """The test scans of all sites in one trial, by the model of a combination or of a baseline.

    `seed` is the number of the trial.
    """

    row: Row
    seed: int
    test: PooledMetrics


def operating_rows(contents: StudyContents) -> list[OperatingRow]:
    """Return each combination and baseline once per trial; baselines with a model per site have no pooled scans.

    Only two classes have a threshold.
    """
    rows = {row.key: row for rows in contents.stages.values() for row in rows}
    found = []
    for row in rows.values():
        for number, run in contents.finished(row.trials, row.method).items():
            method = run.metrics.methods.get(row.method) if run.metrics else None
            if method is not None and method.pooled is not None:
                found.append(OperatingRow(row, number, method.pooled))
    return found


def people_tested(contents: StudyContents) -> dict[str, str]:
    """Return site → people with test scans by class, as a range where seeds differ."""
    finished = [run.metrics.evaluated["federated"].sites for run in contents.runs.values() if run.metrics]
    return {site: people_over_seeds(sites[site] for sites in finished if site in sites) for site in contents.sites}
