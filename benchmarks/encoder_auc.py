"""Test AUC of encoders, frozen and with a linear head, next to their random controls and to structure volumes.

    python benchmarks/encoder_auc.py --weights model.pth --anatomies …/anatomies --json

Two cohorts of 60 scans at two sites: people simulated on the MNI152 template, and heads painted from label maps of real
people (`--anatomies`), each of whom is in one split only. Every encoder is trained by FedAvg with five seeds, which
decide splits, head, order and random weights. `volumes` (`--weights`, MeshNet's file) is the reference of a
neurologist. `vit_b` has random weights, as its released ones are not part of any package.

The folder (`runs/encoders`) keeps scans, features and trials: a call that was stopped continues, and the table shows
what is finished. One process per cohort, one thread each; `volumes` takes most of the time, half a minute of CPU per
scan.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import joblib
import torch

from fedtune3d._utils.folders import RunFolder, StudyFolder
from fedtune3d.config.study import Study
from fedtune3d.config.study_axes import Combination, Draw
from fedtune3d.config.study_results import CombinationRecord, StudyResults
from fedtune3d.evaluation.against_baselines import AnyComparison
from fedtune3d.evaluation.outcome import BINARY
from fedtune3d.report import write_study_report
from fedtune3d.report.number_formatting import difference
from fedtune3d.report.study_captions import with_spread
from fedtune3d.report.study_contents import Row, StudyContents, read_study
from fedtune3d.report.study_tables import compare
from fedtune3d.simulation import simulate_sites
from fedtune3d.workflows.run import run_experiment
from fedtune3d.workflows.study import validation_score
from fedtune3d.workflows.trial_processes import is_finished

SITES, SCANS, SIMULATION_SEED = 2, 60, 1
VOLUMES = "volumes"
TRAINING = {"rounds": 30, "batch_size": 8, "min_steps": 10, "head_learning_rate": 0.003}


@dataclass(frozen=True)
class Result:
    """An encoder on a cohort.

    Attributes:
        cohort: ``simulated`` or ``anatomies``.
        encoder: Its title, with its weights where they are random.
        seeds: The seeds whose trials are finished.
        auc: Mean test AUC over sites ± standard deviation over seeds [mean of the seeds' 95% CIs].
        values: Seed → mean test AUC over sites.
        from_control: Difference from its random control over all seeds, paired, with 95% CI; empty if there is none.
        from_volumes: Difference from the volumes, likewise.
    """

    cohort: str
    encoder: str
    seeds: tuple[int, ...]
    auc: str
    values: Mapping[int, float]
    from_control: str
    from_volumes: str


def main() -> None:
    """Parse, run what is missing, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/encoders"))
    parser.add_argument("--anatomies", type=Path, help="folder of label maps with anatomies.tsv")
    parser.add_argument("--weights", type=Path, help="MeshNet's file; without it there are no volumes")
    parser.add_argument("--encoders", nargs="*", default=["deepbet", "vit_b"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--scans", type=int, default=SCANS)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--table", action="store_true", help="run nothing; print what is finished")
    parser.add_argument("--json", action="store_true", help="end with one JSON object on the last line")
    options = parser.parse_args()
    cohorts = ["simulated", *(["anatomies"] if options.anatomies else [])]
    if not options.table:
        joblib.Parallel(n_jobs=options.workers)(joblib.delayed(run_cohort)(cohort, options) for cohort in cohorts)
    results = [result for cohort in cohorts for result in results_of(study_of(cohort, options), cohort)]
    for result in results:
        print(
            f"{result.cohort:10} {result.encoder:45} {len(result.seeds)} seeds  {result.auc:32} "
            f"{result.from_control:24} {result.from_volumes}"
        )
    if options.json:
        print(json.dumps({"scans": options.scans, "results": [asdict(result) for result in results]}))


def study_of(cohort: str, options: argparse.Namespace) -> Study:
    """The study of a cohort: the encoders, the random controls of those with pre-trained weights, and the volumes."""
    folder = options.folder.absolute() / cohort
    volumes = [{"encoder": VOLUMES, "weights": str(options.weights.absolute())}] if options.weights else []
    controls = [
        {"reference": "random", "model": {"encoder": encoder}, "label": f"{encoder}-random"}
        for encoder in options.encoders
        if encoder == "deepbet"
    ]
    return Study.model_validate(
        {
            "name": f"encoders-{cohort}",
            "sites": [{"name": name, "root": str(folder / name)} for name in ("site-A", "site-B")],
            "labels": {"positive": ["AD"], "negative": ["CN"]},
            "model": {"head": "linear"},
            "training": TRAINING,
            "seeds": list(range(options.seeds)),
            "encoders": [*options.encoders, *volumes],
            "references": controls,
            "threads": 1,
            "output": str(folder / "study"),
            "cache": str(folder / "cache"),
        }
    )


def run_cohort(cohort: str, options: argparse.Namespace) -> None:
    """Simulate a cohort and run the trials that are missing, the cheap encoders first."""
    torch.set_num_threads(1)
    folder = options.folder / cohort
    anatomies = options.anatomies if cohort == "anatomies" else None
    simulate_sites(folder, SITES, options.scans, SIMULATION_SEED, anatomies=anatomies, workers=1)
    study = study_of(cohort, options)
    for combination in trials_of(study):
        for seed in study.seeds:
            experiment = study.experiment(combination, Draw(seed))
            if not is_finished(experiment):
                run_experiment(experiment, resume=True, report=False)
        write_results(study)


def trials_of(study: Study) -> list[Combination]:
    """The encoders and the random controls, the volumes last."""
    found = dict.fromkeys([*study.encoders_stage(), *(one for one in study.heads_stage() if one.is_reference)])
    return sorted(found, key=lambda one: one.encoder is not None and one.encoder.name == VOLUMES)


def write_results(study: Study) -> None:
    """Write the record and the report of the study as far as it has come."""
    folder, records = StudyFolder(study.output), []
    for combination in trials_of(study):
        folders = [RunFolder(study.trial_folder(combination, draw)) for draw in study.draws]
        scores = [validation_score(run, BINARY) for run in folders if run.metrics.exists()]
        known = [score for score in scores if score is not None]
        validation = sum(known) / len(known) if known else None
        records.append(CombinationRecord.of(combination, {seed: Draw(seed) for seed in study.seeds}, validation))
    StudyResults(
        name=study.name,
        design=study.design,
        seeds=study.seeds,
        sites=tuple(site.name for site in study.sites),
        baselines=(),
        chosen={},
        stages={"encoders": tuple(records)},
        faults={},
    ).write(folder)
    write_study_report(study.output)


def results_of(study: Study, cohort: str) -> list[Result]:
    """The rows of a cohort's table; none before its first trial."""
    if not StudyFolder(study.output).results.exists():
        return []
    contents = read_study(study.output)
    rows = {row.key: row for row in contents.stages["encoders"]}
    volumes = next((row for key, row in rows.items() if key.startswith(f"{VOLUMES}-")), None)
    return [
        Result(
            cohort,
            row.title if row.kind == "variant" else key,
            tuple(row.mean.values),
            with_spread(row.mean),
            row.mean.values,
            _difference(contents, row, rows.get(f"{key.partition('-')[0]}-random")),
            _difference(contents, row, volumes),
        )
        for key, row in rows.items()
    ]


def _difference(contents: StudyContents, row: Row, other: Row | None) -> str:
    if other is None or other.key == row.key:
        return ""
    shared: Sequence[int] = [seed for seed in row.mean.values if seed in other.mean.values]
    comparison: AnyComparison | None = compare(contents, row, other, shared) if shared else None
    return "" if comparison is None else difference(comparison.difference)


if __name__ == "__main__":
    main()
