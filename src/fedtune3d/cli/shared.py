"""Consoles, arguments, progress bars and result tables shared by several commands."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from fedtune3d._utils.errors import InputError
from fedtune3d.cli.console import PlainConsole

if TYPE_CHECKING:
    from fedtune3d._utils.folders import RunFolder
    from fedtune3d._utils.progress import Progress
    from fedtune3d.config.experiment import Experiment
    from fedtune3d.federation.leak_audit import LeakAudit


out = PlainConsole()

err = PlainConsole(stderr=True, soft_wrap=True)

ExperimentFile = Annotated[
    Path, typer.Argument(metavar="EXPERIMENT.yaml", help="An experiment file, as written by `init`.")
]

Watched = Annotated[bool, typer.Option("--watch", help="Serve a live page on this machine.")]

Port = Annotated[int | None, typer.Option(help="Port for --watch; by default any free port.", min=1, max=65535)]


def read_experiment(path: Path) -> "Experiment":
    """Read an experiment file. Raises `InputError` if it is invalid, or is a study file."""
    from fedtune3d.config.experiment import Experiment
    from fedtune3d.config.study import is_study

    if is_study(path):
        raise InputError(f"{path}: this is a study file; run it with: fedtune3d benchmark {quote(str(path))}")
    return Experiment.from_yaml(path)


def require_study(path: Path) -> None:
    """Raise `InputError` if a file is an experiment file, or cannot be read."""
    from fedtune3d.config.study import is_study

    if not is_study(path):
        raise InputError(
            f"{path}: this is an experiment file; run it with: fedtune3d run {quote(str(path))}, or make it a study "
            "with lists of seeds, heads, tunings or rules (docs/study.md)"
        )


@contextmanager
def held_output(path: Path, command: str) -> Iterator[None]:
    """Hold the output folder that an experiment or a study names, so that a second writer does not wait for torch.

    A file with mistakes holds nothing: its validation names them.

    Raises:
        InputError: If another process holds the folder.
    """
    from fedtune3d._utils.folders import DEFAULT_OUTPUT
    from fedtune3d._utils.locks import one_writer
    from fedtune3d._utils.user_paths import expand_path
    from fedtune3d._utils.yaml_files import read_yaml

    try:
        output = expand_path(read_yaml(path, if_missing="").get("output", DEFAULT_OUTPUT))
    except (InputError, ValueError):
        output = None
    if isinstance(output, str):
        with one_writer(path.absolute().parent / output, command):
            yield
    else:
        yield


def print_result(folder: "RunFolder") -> None:
    """Print the main results of a run and the path of its report."""
    from fedtune3d._utils.run_config import read_run_config
    from fedtune3d.config.class_names import recorded_names
    from fedtune3d.federation.ledger import read_ledger
    from fedtune3d.report import against_table, auc_table, caveat
    from fedtune3d.report.outcome_tables import main_table, terminal_table
    from fedtune3d.report.result_warnings import result_warnings
    from fedtune3d.report.site_order import ordered_metrics
    from fedtune3d.workflows.run_folder import read_metrics

    config = read_run_config(folder.config)
    metrics = ordered_metrics(read_metrics(folder), [site["name"] for site in config["sites"]])
    names = recorded_names(config)
    out.print(auc_table(metrics, names) if metrics.outcome.is_binary else terminal_table(main_table(metrics)))
    if (differences := against_table(metrics)) is not None:
        out.print()
        out.print(differences)
    for warning in result_warnings(metrics, names, read_ledger(folder.rounds.ledger)):
        out.print(f"warning: {warning}", soft_wrap=True)
    if text := caveat(metrics):
        out.print(text)
    out.print(f"report: {folder.report}", soft_wrap=True)
    out.print(f"a new scan: fedtune3d predict {quote(str(folder.path))} SCAN.nii.gz", soft_wrap=True)


def print_audit(audit: "LeakAudit", experiment: "Experiment") -> None:
    """Print the composition of each split, by class, the encoder and the findings.

    Raises `InputError` if there is a leak.
    """
    from fedtune3d.config.class_names import names_of
    from fedtune3d.report.balance import balance_table
    from fedtune3d.report.experiment_lines import encoder_line, included_lines, random_weights_warnings

    out.print(balance_table(audit.described, names_of(experiment).in_order))
    out.print("\n".join([encoder_line(experiment), *included_lines(experiment)]), soft_wrap=True)
    found = [finding.text for finding in audit.findings if finding.level == "warning"]
    warnings = [*found, *random_weights_warnings(experiment)]
    for text in warnings:
        out.print(f"warning: {text}", soft_wrap=True)
    audit.require_none()
    out.print(f"no leak found, {len(warnings) or 'no'} warning{'s' * (len(warnings) != 1)}")


def progress_bars() -> "AbstractContextManager[Progress]":
    """Progress bars on a terminal, plain lines in a log file."""
    from fedtune3d._utils.progress import Bars, Lines

    return Bars(err) if err.is_terminal else nullcontext(Lines(err.print))


def require_watched_port(watch: bool, port: int | None) -> None:
    """Raise `InputError` for a port without a page to serve."""
    if port is not None and not watch:
        raise InputError("--port needs --watch; add --watch or leave --port out")


@contextmanager
def watched_bars(output: Path, watch: bool, port: int | None) -> Iterator["Progress"]:
    """Progress bars and, with `watch`, a live page for as long as the context is open."""
    require_watched_port(watch, port)
    if not watch:
        with progress_bars() as bars:
            yield bars
        return
    from fedtune3d.report.watch import Watch

    with Watch(output, port) as watched:
        err.print(f"watch the run at {watched.url}")
        with progress_bars() as bars:
            yield watched.following(bars)
