"""The commands: parse, call, print."""

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from fedtune3d._utils.errors import InputError, StorageError
from fedtune3d._utils.version import __version__

if TYPE_CHECKING:
    from fedtune3d._utils.folders import RunFolder
    from fedtune3d._utils.progress import Progress
    from fedtune3d.federation.leak_audit import LeakAudit

app = typer.Typer(
    name="fedtune3d",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Fine-tune a 3D medical foundation model across hospitals, without a scan leaving its site.\n\n"
    "The usual way: init (write the experiment file), plan (what it will take), check (leaks), run (all the rest).",
)
weights_app = typer.Typer(no_args_is_help=True, help="The released SAM-Med3D weights to start from.")
cache_app = typer.Typer(no_args_is_help=True, help="What is kept on disk so that no scan is prepared or encoded twice.")
server_app = typer.Typer(no_args_is_help=True, help="Across hospitals: the server that the sites connect to.")
site_app = typer.Typer(no_args_is_help=True, help="Across hospitals: one site, whose scans stay where they are.")
app.add_typer(server_app, name="server")
app.add_typer(site_app, name="site")
app.add_typer(weights_app, name="weights")
app.add_typer(cache_app, name="cache")
out = Console(highlight=False)
err = Console(stderr=True, highlight=False, soft_wrap=True)

ExperimentFile = Annotated[
    Path, typer.Argument(metavar="EXPERIMENT.yaml", help="The experiment file that `init` wrote.")
]

Watched = Annotated[
    bool, typer.Option("--watch", help="Serve the report on this machine while the run goes on; it updates by itself.")
]
Port = Annotated[int | None, typer.Option(help="Of --watch, by default a free one.", min=1, max=65535)]

CacheFolder = Annotated[
    Path, typer.Argument(metavar="FOLDER", help="The experiment file, or the cache folder that it names (`cache`).")
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

    with _bars() as bars, bars.bar("simulating scans") as advance:
        path = write_simulation(folder, sites, scans, seed, anatomies, workers, advance, site_effect or ())
    out.print(f"wrote {sites} simulated sites and {path}\nNext: fedtune3d run {path}", soft_wrap=True)


@app.command()
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

    with _bars() as bars:
        sites = prepare_sites(_read_experiment(experiment), bars, workers, site)
    for name, prepared in sites.items():
        left_out = f", {len(prepared.bad)} left out" if prepared.bad else ""
        suspicious = f", {len(prepared.suspicious)} suspicious" if prepared.suspicious else ""
        out.print(f"{name}: {prepared.scans} scans prepared{left_out}{suspicious}")
        for scan, why in [*prepared.bad, *prepared.suspicious]:
            out.print(f"  {scan}: {why}", soft_wrap=True, markup=False)
        out.print(f"  quality control: {prepared.page}", soft_wrap=True, markup=False)
    out.print(flow_table({name: prepared.flow for name, prepared in sites.items()}))


@app.command(name="plan")
def plan_command(
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
        _print_study_plan(Study.from_yaml(experiment), workers)
    else:
        out.print(run_tables(plan_run(Experiment.from_yaml(experiment))))


def _print_study_plan(study: Any, workers: int) -> None:
    from fedtune3d.cli.plan_tables import study_tables
    from fedtune3d.workflows.plan_study import plan_study

    out.print(study_tables(plan_study(study, err.print), workers))


@app.command()
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

    with _bars() as bars:
        audit = check_experiment(_read_experiment(experiment), bars, workers, near)
    _print_audit(audit)


def _print_audit(audit: "LeakAudit") -> None:
    from fedtune3d.report.balance import balance_table

    out.print(balance_table({site: people.model_dump() for site, people in audit.described.items()}))
    for finding in audit.findings:
        if finding.level == "warning":
            out.print(f"warning: {finding.text}", soft_wrap=True, markup=False)
    audit.require_none()
    out.print(f"no leak found, {len(audit.findings) or 'no'} warning{'s' * (len(audit.findings) != 1)}")


@app.command()
def run(
    experiment: ExperimentFile,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in the output folder.")] = False,
    watch: Watched = False,
    port: Port = None,
) -> None:
    """Train across the sites, evaluate on each site's test scans, and write the report.

    Stop it with Ctrl-C whenever you like; with --resume it goes on and ends in the same result.
    """
    from fedtune3d.workflows.run import run_experiment

    found = _read_experiment(experiment)
    try:
        with _watched_bars(found.output, watch, port) as progress:
            folder = run_experiment(found, resume=resume, progress=progress)
    except KeyboardInterrupt:
        err.print(f"stopped; go on with: fedtune3d run {experiment} --resume")
        raise typer.Exit(130) from None
    _print_result(folder)


@app.command()
def benchmark(
    study: Annotated[Path, typer.Argument(metavar="STUDY.yaml", help="An experiment file with lists to cross.")],
    workers: Annotated[
        int, typer.Option(help="Cells that run at once, each with the experiment's number of threads.", min=1)
    ] = 1,
    plan: Annotated[bool, typer.Option(help="Say before the start what it will take.")] = True,
) -> None:
    """Run a study: heads, tunings and rules compared, beside the baselines; tables, figures and one report.

    Stop it with Ctrl-C whenever you like; the same command goes on, and a finished cell is not run again.
    """
    from fedtune3d.config.study import Study
    from fedtune3d.report import caveat
    from fedtune3d.report.study_captions import answer
    from fedtune3d.report.study_contents import read_study
    from fedtune3d.report.study_tables import stage_tables
    from fedtune3d.workflows.study import run_study

    grid = Study.from_yaml(study)
    if plan:
        _print_study_plan(grid, workers)
    try:
        with _bars() as bars:
            folder = run_study(grid, workers=workers, progress=bars, tell=err.print)
    except KeyboardInterrupt:
        err.print(f"stopped; go on with: fedtune3d benchmark {study}")
        raise typer.Exit(130) from None
    contents = read_study(folder.path)
    for table in stage_tables(contents):
        out.print(table)
    out.print(answer(contents) or "")
    if text := caveat(contents.facts):
        out.print(text)
    out.print(f"report: {folder.report}", soft_wrap=True)
    for cell, fault in contents.results.faults.items():
        err.print(f"failed: {cell}: {fault}", markup=False)
    if contents.results.faults:
        raise typer.Exit(1)


@app.command()
def report(
    run_folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="The folder of a run or of a study; it need not be done.")
    ],
) -> None:
    """Write the figures and report.html of a run or a study anew."""
    from fedtune3d._utils.folders import StudyFolder
    from fedtune3d.report import write_report, write_study_report

    write = write_study_report if StudyFolder(run_folder).results.exists() else write_report
    out.print(f"report: {write(run_folder)}", soft_wrap=True)


@app.command()
def export(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="The run folder of a finished run.")],
    merged: Annotated[
        bool, typer.Option("--merged", help="Write the whole model into one file that needs nothing else.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The folder to write into; by default `export` in the run folder."),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="The checkpoint that the run began with; only --merged asks for it.")
    ] = None,
    site: Annotated[
        str | None, typer.Option(help="Whose layers to write, where each site kept its own (rule fedbn).")
    ] = None,
) -> None:
    """Write the trained model for use elsewhere, with a model card that says what it is and what it is not.

    For research; it is no medical device. Without --merged: the head, and what else was trained (adapters or encoder).
    """
    from fedtune3d._utils.folders import RunFolder
    from fedtune3d.workflows.export import export_run

    for path in export_run(
        run_folder, output or RunFolder(run_folder).export.path, merged=merged, weights=weights, site=site
    ):
        out.print(f"wrote {path}", soft_wrap=True)


@server_app.command("init")
def server_init(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The server's folder, made or added to.")],
    address: Annotated[str, typer.Option(help="Where sites reach this server, HOST:PORT.")],
    site: Annotated[list[str], typer.Option(help="A site's name, as in the experiment; once for each site.")],
) -> None:
    """Make the server's certificate, and for each site a folder with its key, to be handed over."""
    from fedtune3d.federation.flower.server_folder import ServerFolder

    made = ServerFolder.make(folder, address, site)
    for name in site:
        out.print(f"for site {name}: {made.paths.site(name).path}", soft_wrap=True)
    out.print(f"Sites fill in their site.yaml and join; then: fedtune3d server run EXPERIMENT.yaml --folder {folder}")


ServerFolderOption = Annotated[Path, typer.Option("--folder", help="The folder that `server init` made.")]
WaitOption = Annotated[
    float | None,
    typer.Option("--wait", help="Minutes to wait for sites that have not joined; for good by default.", min=0),
]


@server_app.command("run")
def server_run(
    experiment: ExperimentFile,
    folder: ServerFolderOption = Path("server"),
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in the output folder.")] = False,
    wait: WaitOption = None,
    watch: Watched = False,
    port: Port = None,
) -> None:
    """Train across the sites that have joined, evaluate at each of them, and write the report."""
    from fedtune3d.workflows.run import run_across

    found = _read_experiment(experiment)
    try:
        with _watched_bars(found.output, watch, port) as progress:
            done = _serve(
                found,
                folder,
                wait,
                lambda reach, again: run_across(found, reach, resume=resume or again, progress=progress),
            )
    except KeyboardInterrupt:
        err.print(f"stopped; go on with: fedtune3d server run {experiment} --folder {folder} --resume")
        raise typer.Exit(130) from None
    _print_result(done)


@server_app.command("check")
def server_check(
    experiment: ExperimentFile,
    folder: ServerFolderOption = Path("server"),
    near: Annotated[
        bool,
        typer.Option("--near/--no-near", help="Also ask for codes that show one person under two ids, 0.5 s a scan."),
    ] = True,
    wait: WaitOption = None,
) -> None:
    """Look for leaks between the sites that have joined, as `check` does on one machine; nothing is trained.

    A site whose site.yaml names no fingerprint_key is not looked at for equal scans, and is named.
    """
    from fedtune3d.workflows.check import check_across

    found = _read_experiment(experiment)
    with err.status("the sites prepare, split and fingerprint their scans"):
        audit = _serve(found, folder, wait, lambda reach, again: check_across(found, reach, near))
    _print_audit(audit)


def _serve(experiment: Any, folder: Path, wait: float | None, work: Any) -> Any:
    from fedtune3d.workflows.serve import serve_experiment

    return serve_experiment(
        experiment,
        folder,
        work,
        wait_minutes=wait,
        on_wait=lambda missing: err.print(f"waiting for {missing}" if missing else "all sites are there"),
        on_restart=err.print,
    )


SiteFolder = Annotated[Path, typer.Argument(metavar="FOLDER", help="The site's folder, with its key and site.yaml.")]


@site_app.command("join")
def site_join(folder: SiteFolder) -> None:
    """Take part, until Ctrl-C: connect to the server and do what it asks and site.yaml allows.

    Only outgoing connections are made. What leaves is listed in work/runs/*/sites/*/egress.jsonl.
    """
    import logging

    from fedtune3d.federation.flower.client_app import join
    from fedtune3d.workflows.sites import make_hosted_site

    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%Y-%m-%d %H:%M:%S")
    logging.getLogger("fedtune3d").setLevel(logging.INFO)
    try:
        join(folder, make_hosted_site)
    except KeyboardInterrupt:
        err.print(f"left the federation; come back with: fedtune3d site join {folder}")
        raise typer.Exit(130) from None


@site_app.command("check")
def site_check(folder: SiteFolder) -> None:
    """Say before the day whether settings, data, disk, key, network, certificate and clock are in order."""
    from fedtune3d.federation.flower.site_check import check_site

    failed = False
    for finding in check_site(folder):
        failed |= not finding.good
        out.print(f"{'ok     ' if finding.good else 'NOT OK '}{finding.text}", markup=False, soft_wrap=True)
    if failed:
        raise typer.Exit(2)


@app.command()
def predict(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="The run folder of a finished run.")],
    scans: Annotated[list[Path], typer.Argument(metavar="SCAN…", help="NIfTI files, raw heads or brains.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Also write the table as TSV.")] = None,
    explain: Annotated[
        Path | None,
        typer.Option(help="A folder for saliency maps of each scan, in its own space. Takes minutes a scan."),
    ] = None,
    weights: Annotated[Path | None, typer.Option(help="The checkpoint that the run began with.")] = None,
    site: Annotated[str | None, typer.Option(help="Whose layers to use, where each site kept its own.")] = None,
) -> None:
    """Say how likely new scans are positive, and whether they are like those that the model was trained on.

    For research; it is no medical device. A scan unlike those of every training site is called out of distribution:
    what the model says of it means little.
    """
    from fedtune3d.cli.predict_table import prediction_table
    from fedtune3d.report import caveat
    from fedtune3d.workflows.explain import explainer
    from fedtune3d.workflows.predict import Predictor, predict_scans, write_predictions_of

    predictor = Predictor(run_folder, weights, site)
    with _bars() as bars, bars.bar("predicting") as advance:
        shown = None if explain is None else explainer(predictor, explain, bars, _say_written)
        found = predict_scans(predictor, scans, advance, shown)
    if output is not None:
        write_predictions_of(found, output)
    out.print(prediction_table(found, predictor.threshold))
    if text := caveat(predictor.metrics):
        out.print(text)


def _say_written(path: Path) -> None:
    out.print(f"wrote {path}", soft_wrap=True)


@weights_app.command()
def fetch(
    to: Annotated[Path, typer.Option(help="The folder to put the file into.")] = Path("weights"),
) -> None:
    """Download sam_med3d_turbo.pth, check it, and say what to write in the experiment file.

    Needs the internet. On a machine without it, download the file elsewhere and copy it; the message says how.
    """
    from fedtune3d.models.hub import fetch_weights

    path, origin = fetch_weights(to)
    out.print(f"{path}: SHA-256 {origin.sha256}, as the hub states it for {origin.revision}", soft_wrap=True)
    out.print(f"In the experiment file, under `model`, write: weights: {path.absolute()}", soft_wrap=True)


@cache_app.command("list")
def cache_list(folder: CacheFolder) -> None:
    """Show per site how much is kept, and when it was last used."""
    from fedtune3d.cli.cache_table import cache_table
    from fedtune3d.workflows.cache import open_cache

    table, damaged = cache_table(open_cache(folder))
    out.print(table)
    for path in damaged:
        out.print(f"damaged: {path}", soft_wrap=True)


@cache_app.command("check")
def cache_check(folder: CacheFolder) -> None:
    """Read everything that is kept and name what is damaged. A run makes it anew by itself."""
    from fedtune3d.workflows.cache import open_cache

    found: dict[Path, str] = {}
    with _bars() as bars:
        for part in open_cache(folder):
            with bars.bar(f"{part.site}: checking {part.kind}") as advance:
                found |= part.entries.check(advance)
    for fault in found.values():
        out.print(f"damaged: {fault}", soft_wrap=True)
    out.print(f"{len(found)} damaged; `cache prune` removes them" if found else "nothing is damaged")
    if found:
        raise typer.Exit(1)


@cache_app.command("prune")
def cache_prune(
    folder: CacheFolder,
    unused_days: Annotated[
        float | None, typer.Option(help="Also remove what no run has used for so many days.", min=0)
    ] = None,
) -> None:
    """Remove what is damaged and what stopped runs left half-written. Your scans are not touched."""
    from fedtune3d.workflows.cache import open_cache

    for part in open_cache(folder):
        removed = part.entries.prune(unused_days)
        out.print(f"{part.site}: {len(removed)} of {part.kind} removed")


def _read_experiment(path: Path) -> Any:
    """The experiment in a file. Raises `InputError`, also where the file is a study's."""
    from fedtune3d._utils.errors import InputError
    from fedtune3d.config.experiment import Experiment
    from fedtune3d.config.study import is_study

    if is_study(path):
        raise InputError(f"{path}: a study, with lists to cross; run it with: fedtune3d benchmark {path}")
    return Experiment.from_yaml(path)


def _print_result(folder: "RunFolder") -> None:
    from fedtune3d.report import auc_table, caveat
    from fedtune3d.workflows.run_folder import read_metrics

    metrics = read_metrics(folder)
    out.print(auc_table(metrics))
    if text := caveat(metrics):
        out.print(text)
    out.print(f"report: {folder.report}", soft_wrap=True)


def _bars() -> "AbstractContextManager[Progress]":
    """Bars on a terminal; lines where the output goes to a log."""
    from fedtune3d._utils.progress import Bars, Lines

    return Bars(err) if err.is_terminal else nullcontext(Lines(partial(err.print, markup=False)))


@contextmanager
def _watched_bars(output: Path, watch: bool, port: int | None) -> Iterator["Progress"]:
    """Bars on the terminal and, with `watch`, a page that is served for as long."""
    if not watch:
        if port is not None:
            raise InputError("--port is the port of --watch; add --watch, or leave it out")
        with _bars() as bars:
            yield bars
        return
    from fedtune3d.report.watch import Watch

    with Watch(output, port) as watched:
        err.print(f"watch the run at {watched.url}")
        with _bars() as bars:
            yield watched.following(bars)


def _printable(text: str) -> str:
    """Names of files and cells of tables may hold anything: show what a terminal could not, or would obey."""
    return "".join(
        letter if letter.isprintable() or letter == "\n" else letter.encode("unicode_escape").decode()
        for letter in text
    )


def _line_of(error: InputError | OSError | MemoryError) -> str:
    """Say what is wrong: the file and the cause where the operating system refused something."""
    if isinstance(error, MemoryError):
        return "out of memory; close other programs or lower `training.batch_size`, and run again with --resume"
    if isinstance(error, OSError):
        named = isinstance(error.filename, str | Path)
        return str(StorageError(Path(error.filename) if named else Path.cwd(), error))
    return str(error)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; bad input and a fault of this machine end in one line and exit code 2."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app(args=arguments)
    except (InputError, OSError, MemoryError) as error:
        err.print(f"fedtune3d: {_printable(_line_of(error))}", markup=False)
        sys.exit(2)
    except KeyboardInterrupt:
        err.print("stopped; the same command goes on from here")
        sys.exit(130)
