"""The commands: parse, call, print."""

import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from fedtune3d import __version__
from fedtune3d.errors import InputError

app = typer.Typer(
    name="fedtune3d",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Fine-tune a 3D medical foundation model across hospitals, without a scan leaving its site.\n\n"
    "The usual way: init (write the experiment file), prepare (scans), run (train, evaluate, report).",
)
out = Console(highlight=False)
err = Console(stderr=True, highlight=False, soft_wrap=True)

ExperimentFile = Annotated[
    Path, typer.Argument(metavar="EXPERIMENT.yaml", help="The experiment file that `init` wrote.")
]


@app.callback(invoke_without_command=True)
def _top(version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False) -> None:
    if version:
        out.print(__version__)
        raise typer.Exit


@app.command()
def init(
    site_folders: Annotated[
        list[Path],
        typer.Argument(metavar="SITE_FOLDER…", help="One BIDS folder per site, named like the site."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The experiment file to write.")] = Path(
        "experiment.yaml"
    ),
) -> None:
    """Write an experiment file for your BIDS folders.

    Looks into each participants.tsv and lists the diagnoses that it found, for you to sort into positive and negative.
    """
    from fedtune3d.starter import write_starter

    write_starter(site_folders, output)
    out.print(f"wrote {output}\nSort the diagnoses under `labels`, then: fedtune3d run {output}", soft_wrap=True)


@app.command()
def simulate(
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to write the simulated sites into.")],
    sites: Annotated[int, typer.Option(help="How many hospitals.", min=1)] = 4,
    scans: Annotated[int, typer.Option(help="How many scans over all hospitals.", min=1)] = 200,
    seed: Annotated[int, typer.Option(help="Another seed gives other people.", min=0)] = 1,
    anatomies: Annotated[
        Path | None,
        typer.Option(help="A folder of FreeSurfer-style label maps with anatomies.tsv, not the MNI152 template."),
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes that work at once.", min=1)] = 2,
) -> None:
    """Write simulated hospitals to try everything with: BIDS folders and an experiment file.

    The people are drawn by a computer and every file says so. No result on them says anything about patients.
    """
    from fedtune3d.starter import write_simulation

    with _bars() as bars, bars.bar("simulating scans") as advance:
        path = write_simulation(folder, sites, scans, seed, anatomies, workers, advance)
    out.print(f"wrote {sites} simulated sites and {path}\nNext: fedtune3d run {path}", soft_wrap=True)


@app.command()
def prepare(
    experiment: ExperimentFile,
    workers: Annotated[int, typer.Option(help="Processes that work at once.", min=1)] = 2,
) -> None:
    """Bring every scan into the form that the model takes (RAS, 1.5 mm, 128 voxels a side, z-scored in the brain).

    Done once a scan and kept in the cache folder; `run` does it, too, for what is missing.
    """
    from fedtune3d.experiment import Experiment
    from fedtune3d.run import prepare_sites

    with _bars() as bars:
        counts = prepare_sites(Experiment.from_yaml(experiment), bars, workers)
    for site, (prepared, bad) in counts.items():
        left_out = f", {len(bad)} left out" if bad else ""
        out.print(f"{site}: {prepared} scans prepared{left_out}")
        for scan, why in bad:
            out.print(f"  {scan}: {why}", soft_wrap=True)


@app.command()
def run(
    experiment: ExperimentFile,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in the output folder.")] = False,
) -> None:
    """Train across the sites, evaluate on each site's test scans, and write the report.

    Stop it with Ctrl-C whenever you like; with --resume it goes on and ends in the same result.
    """
    from fedtune3d.experiment import Experiment
    from fedtune3d.report import auc_table, caveat

    try:
        with _bars() as bars:
            folder = Experiment.from_yaml(experiment).run(resume=resume, progress=bars)
    except KeyboardInterrupt:
        err.print(f"stopped; go on with: fedtune3d run {experiment} --resume")
        raise typer.Exit(130) from None
    out.print(auc_table(folder.metrics))
    if text := caveat(folder.metrics):
        out.print(text)
    out.print(f"report: {folder.report}", soft_wrap=True)


@app.command()
def report(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder; the run need not be done.")],
) -> None:
    """Write the figures and report.html of a run folder anew."""
    from fedtune3d.report import write_report

    out.print(f"report: {write_report(run_folder)}", soft_wrap=True)


def _bars() -> Any:
    from fedtune3d.progress import Bars

    return Bars(err)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; bad input ends in its one line and exit code 2."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app(args=arguments)
    except InputError as error:
        err.print(f"fedtune3d: {error}", markup=False)
        sys.exit(2)
    except KeyboardInterrupt:
        err.print("stopped; the same command goes on from here")
        sys.exit(130)
