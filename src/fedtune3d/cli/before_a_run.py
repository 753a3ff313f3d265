"""Commands before a run: write or simulate the input, prepare it, plan, and look for leaks."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedtune3d.cli.shared import ExperimentFile, err, out, print_audit, progress_bars, read_experiment

if TYPE_CHECKING:
    from fedtune3d.config.study import Study


def init(
    site_folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="SITE…", help="One BIDS folder per site, named like the site; or CAPS, or a .tsv of paths."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The experiment file to write.")] = Path(
        "experiment.yaml"
    ),
) -> None:
    """Write an experiment file for your sites.

    Looks into each site's table and lists the diagnoses that it found, for you to sort into positive and negative.
    """
    from fedtune3d.workflows.init import write_experiment

    write_experiment(site_folders, output)
    out.print(
        f"wrote {output}\nSee under `labels` whether the diagnoses are sorted right, then: fedtune3d run {output}",
        soft_wrap=True,
    )


def simulate(
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to write the simulated sites into.")],
    sites: Annotated[int, typer.Option(help="How many hospitals.", min=1)] = 4,
    scans: Annotated[int, typer.Option(help="How many scans over all hospitals.", min=1)] = 200,
    seed: Annotated[int, typer.Option(help="Another seed gives other people.", min=0)] = 1,
    anatomies: Annotated[
        Path | None,
        typer.Option(help="A folder of FreeSurfer-style label maps with anatomies.tsv, not the MNI152 template."),
    ] = None,
    site_effect: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SITE=SETTING,…",
            help="What to set at a site rather than draw, such as C=1.5T,slices=3mm; may be given for several sites.",
        ),
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes that work at once.", min=1)] = 2,
) -> None:
    """Write simulated hospitals to try everything with: BIDS folders and an experiment file.

    The people are drawn by a computer and every file says so. No result on them says anything about patients.
    """
    from fedtune3d.workflows.simulate import write_simulation

    with progress_bars() as bars, bars.bar("simulating scans") as advance:
        path = write_simulation(folder, sites, scans, seed, anatomies, workers, advance, site_effect or ())
    out.print(f"wrote {sites} simulated sites and {path}\nNext: fedtune3d run {path}", soft_wrap=True)


def prepare(
    experiment: ExperimentFile,
    workers: Annotated[int, typer.Option(help="Processes that work at once.", min=1)] = 2,
    site: Annotated[str | None, typer.Option(help="Only the scans of this site.")] = None,
) -> None:
    """Bring every scan into the form that the model takes (RAS, 1.5 mm, 128 voxels a side, z-scored in the brain).

    A head with its skull is brain-extracted, bias-corrected and registered to MNI152 (pip install 'fedtune3d\\[raw]').
    Done once a scan and kept in the cache folder; `run` does it, too, for what is missing. Writes qc.tsv and qc.html
    of each site there, to look at.
    """
    from fedtune3d.report.flow import flow_table
    from fedtune3d.workflows.prepare import prepare_sites

    with progress_bars() as bars:
        sites = prepare_sites(read_experiment(experiment), bars, workers, site)
    for name, prepared in sites.items():
        left_out = f", {len(prepared.bad)} left out" if prepared.bad else ""
        suspicious = f", {len(prepared.suspicious)} suspicious" if prepared.suspicious else ""
        out.print(f"{name}: {prepared.scans} scans prepared{left_out}{suspicious}")
        for warning in prepared.warnings:
            out.print(f"  warning: {warning}", soft_wrap=True, markup=False)
        for scan, why in [*prepared.bad, *prepared.suspicious]:
            out.print(f"  {scan}: {why}", soft_wrap=True, markup=False)
        out.print(f"  quality control: {prepared.page}", soft_wrap=True, markup=False)
    out.print(flow_table({name: prepared.flow for name, prepared in sites.items()}))


def plan(
    experiment: Annotated[
        Path, typer.Argument(metavar="FILE.yaml", help="An experiment file, or a study file with its lists.")
    ],
    workers: Annotated[int, typer.Option(help="Of a study: cells that run at once.", min=1)] = 1,
) -> None:
    """Say what a run or a study will send, keep, need and take, before anything is computed.

    Counts the scans and tries one scan of noise on this machine; reads nothing else of the images.
    """
    from fedtune3d.cli.plan_tables import run_tables
    from fedtune3d.config.experiment import Experiment
    from fedtune3d.config.study import Study, is_study
    from fedtune3d.workflows.plan import plan_run

    if is_study(experiment):
        print_study_plan(Study.from_yaml(experiment), workers)
    else:
        out.print(run_tables(plan_run(Experiment.from_yaml(experiment))))


def print_study_plan(study: "Study", workers: int) -> None:
    from fedtune3d.cli.plan_tables import study_tables
    from fedtune3d.workflows.plan_study import plan_study

    out.print(study_tables(plan_study(study, err.print), workers))


def check(
    experiment: ExperimentFile,
    near: Annotated[
        bool, typer.Option("--near/--no-near", help="Also look for one person under two ids, about 0.5 s a scan.")
    ] = True,
    workers: Annotated[int, typer.Option(help="Processes that prepare scans at once.", min=1)] = 2,
) -> None:
    """Look for leaks before any training: a person in two splits, one image at two sites or under two ids.

    Shows who is in each split, and warns where age or the site alone tells the label. A leak ends with exit code 2.
    """
    from fedtune3d.workflows.check import check_experiment

    with progress_bars() as bars:
        audit = check_experiment(read_experiment(experiment), bars, workers, near)
    print_audit(audit)
