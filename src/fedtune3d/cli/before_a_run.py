"""Commands that come before a run: init, simulate, prepare, plan, check."""

from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer
from click import Choice

from fedtune3d._utils.errors import InputError
from fedtune3d.cli.shared import ExperimentFile, err, out, print_audit, progress_bars, read_experiment

if TYPE_CHECKING:
    from fedtune3d.config.study import Study


PreparationWorkers = Annotated[
    int | None,
    typer.Option(
        help="Number of parallel processes that prepare the scans of all sites; by default one per core, if memory "
        "allows.",
        min=1,
    ),
]

DiagnosisColumns = Annotated[
    list[str] | None,
    typer.Option(
        metavar="COLUMN",
        help="The column of diagnoses, if its name is not diagnosis; once for all sites, or once per site.",
    ),
]


def init(
    site_folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="SITE…",
            help="One BIDS or CAPS folder, or .tsv of paths, per site, named after the site.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The experiment file to write.")] = Path(
        "experiment.yaml"
    ),
    participants: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE.tsv",
            help="The table of participants where a site's folder has none; once for all sites, or once per site.",
        ),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,NAME,…",
            help="Predict one of these diagnoses, a class each, such as CN,MCI,AD; by default two classes.",
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Predict the number in this column of the tables, such as age or mmse."),
    ] = None,
    encoder: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="The encoder, written with the head to begin with; deepbet comes pre-trained with the extra raw.",
        ),
    ] = "vit_b",
    diagnosis: DiagnosisColumns = None,
) -> None:
    """Write an experiment file for your sites: two classes, one class per diagnosis, or a number.

    Lists the diagnoses found in each site's table. Controls are assigned to the negative class, dementia (or the only
    other diagnosis) to the positive one; the rest are yours to assign. With --classes, each named diagnosis is a class;
    with --target, the model predicts a number.
    """
    from fedtune3d.workflows.init import write_experiment

    named = None if classes is None else split_classes(classes, site_folders)
    written = write_experiment(site_folders, output, participants or (), named, target, encoder, diagnosis or ())
    file = quote(str(output))
    check, fill_in = f"Check `{written.section}` in it, then run:", "First write the classes where it says `# fill in`"
    todo = check if written.is_complete else f"{fill_in}: `init` does not know these words. Then run:"
    out.print(
        f"{written.found}\n{written.assigned}{chr(10) if written.assigned else ''}"
        f"wrote {output}\n{todo}\n"
        f"  fedtune3d plan {file}\n  fedtune3d prepare {file}  # then look at the qc.html of each site\n"
        f"  fedtune3d check {file}\n  fedtune3d run {file}",
        soft_wrap=True,
    )
    for hint in written.hints:
        out.print(hint, soft_wrap=True)


def split_classes(classes: str, site_folders: Sequence[Path]) -> list[str]:
    """Split the names given with --classes.

    Raises:
        InputError: If spaces separated them, so that the shell made sites of all but the first.
    """
    names = [name.strip() for name in classes.split(",") if name.strip()]
    stray = [str(folder) for folder in site_folders if folder == Path(folder.name) and not folder.exists()]
    is_cut = classes.endswith(",") or "," not in classes or any("," in name for name in stray)
    if stray and is_cut:
        joined = ",".join([*names, *(name.strip(",") for name in stray if name.strip(","))])
        raise InputError(
            f"--classes: expected names separated by commas without spaces, got {classes!r}, with {' '.join(stray)} as "
            f"sites that do not exist; write --classes {quote(joined)}"
        )
    return names


def simulate(
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write the simulated sites to.")],
    sites: Annotated[int, typer.Option(help="Number of sites.", min=1)] = 4,
    scans: Annotated[int, typer.Option(help="Total number of scans.", min=1)] = 200,
    seed: Annotated[int, typer.Option(help="Random seed; each seed gives different participants.", min=0)] = 1,
    anatomies: Annotated[
        Path | None,
        typer.Option(help="Folder of FreeSurfer-style label maps with anatomies.tsv; default: the MNI152 template."),
    ] = None,
    site_effect: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SITE=SETTING,…",
            help="Fix scanner settings of a site, such as C=1.5T,slices=3mm, instead of drawing them; repeatable.",
        ),
    ] = None,
    outcome: Annotated[
        str,
        typer.Option(
            click_type=Choice(["cn-ad", "cn-mci-ad", "age"]),
            help="What the experiment predicts: two diagnoses, three, or the age of healthy people.",
        ),
    ] = "cn-ad",
    workers: Annotated[
        int | None, typer.Option(help="Number of parallel processes; by default one per core.", min=1)
    ] = None,
    next_command: Annotated[
        bool, typer.Option("--next/--no-next", help="Whether to name the command that comes next.")
    ] = True,
) -> None:
    """Write simulated sites to try the software with: BIDS folders and an experiment file.

    All participants are simulated and every file says so. Results on them say nothing about patients.
    """
    from fedtune3d.simulation.outcomes import SimulatedOutcome
    from fedtune3d.workflows.simulate import write_simulation

    with progress_bars() as bars, bars.bar("simulating scans") as advance:
        path = write_simulation(
            folder, sites, scans, seed, anatomies, workers, advance, site_effect or (), SimulatedOutcome(outcome)
        )
    out.print(f"wrote {sites} simulated sites and {path}", soft_wrap=True)
    if next_command:
        out.print(f"Next: fedtune3d run {quote(str(path))}", soft_wrap=True)


def prepare(
    experiment: ExperimentFile,
    workers: PreparationWorkers = None,
    site: Annotated[str | None, typer.Option(help="Prepare only this site.")] = None,
) -> None:
    """Preprocess all scans for the model: on the grid and the intensity scale that the encoder takes.

    Scans with skull are brain-extracted, bias-corrected and registered to MNI152 (pip install 'fedtune3d\\[raw]').
    Prepared scans are kept in the cache folder; `run` prepares any that are missing. Writes qc.tsv and qc.html per
    site for visual quality control.
    """
    from fedtune3d.config.class_names import names_of
    from fedtune3d.report.flow import flow_table
    from fedtune3d.workflows.prepare import prepare_sites

    with progress_bars() as bars:
        wanted = read_experiment(experiment)
        sites = prepare_sites(wanted, bars, workers, site)
    for name, prepared in sites.items():
        left_out = f", {len(prepared.bad)} excluded" if prepared.bad else ""
        suspicious = f", {len(prepared.suspicious)} suspicious" if prepared.suspicious else ""
        out.print(f"{name}: {prepared.scans} scans prepared{left_out}{suspicious}")
        for scan, why in [*prepared.bad, *prepared.suspicious]:
            out.print(f"  {scan}: {why}", soft_wrap=True)
        out.print(f"  quality control: {prepared.page}", soft_wrap=True)
    out.print(flow_table({name: prepared.flow for name, prepared in sites.items()}, names_of(wanted).in_order))


def plan(
    experiment: Annotated[Path, typer.Argument(metavar="FILE.yaml", help="An experiment file or a study file.")],
    workers: Annotated[int, typer.Option(help="For a study: number of trials run in parallel.", min=1)] = 1,
    details: Annotated[
        bool, typer.Option("--details", help="For a run: also list the content of each kind of message.")
    ] = False,
) -> None:
    """Estimate time, disk space, memory and traffic of a run or a study, and say what leaves each site.

    Counts the scans and times the model on one random volume; no image is read.
    """
    from fedtune3d.cli.plan_tables import run_tables
    from fedtune3d.config.experiment import Experiment
    from fedtune3d.config.study import Study, is_study
    from fedtune3d.workflows.plan import plan_run

    if is_study(experiment):
        print_study_plan(Study.from_yaml(experiment), workers)
    else:
        out.print(run_tables(plan_run(Experiment.from_yaml(experiment)), details))


def print_study_plan(study: "Study", workers: int) -> None:
    from fedtune3d.cli.plan_tables import study_tables
    from fedtune3d.workflows.plan_study import plan_study

    out.print(study_tables(plan_study(study, err.print), workers))


def check(
    experiment: ExperimentFile,
    near: Annotated[
        bool,
        typer.Option("--near/--no-near", help="Also look for a person under two ids; about 0.5 s per scan."),
    ] = True,
    workers: PreparationWorkers = None,
) -> None:
    """Look for data leaks before training: a person in two splits, one image at two sites or under two ids.

    Describes each split, and warns if age or site alone predicts the label. Exits with code 2 if there is a leak.
    """
    from fedtune3d.workflows.check import check_experiment

    wanted = read_experiment(experiment)
    with progress_bars() as bars:
        audit = check_experiment(wanted, bars, workers, near)
    print_audit(audit, wanted)
