"""Commands that take the model of a finished run elsewhere, or to new scans."""

from pathlib import Path
from typing import Annotated

import typer

from fedtune3d.cli.shared import out, progress_bars


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
    with progress_bars() as bars, bars.bar("predicting") as advance:
        shown = None if explain is None else explainer(predictor, explain, bars, _say_written)
        found = predict_scans(predictor, scans, advance, shown)
    if output is not None:
        write_predictions_of(found, output)
    out.print(prediction_table(found, predictor.threshold))
    if text := caveat(predictor.metrics):
        out.print(text)


def _say_written(path: Path) -> None:
    out.print(f"wrote {path}", soft_wrap=True)
