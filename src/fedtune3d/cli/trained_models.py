"""Commands that use the model of a finished run: export, predict."""

from pathlib import Path
from typing import Annotated

import typer

from fedtune3d._utils.errors import InputError
from fedtune3d.cli.shared import out, progress_bars

OwnEncoder = Annotated[
    Path | None,
    typer.Option("--encoder", help="The file of the run's encoder, if it is not part of fedtune3d. Its code is run."),
]


def export(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="The run folder of a finished run.")],
    merged: Annotated[
        bool, typer.Option("--merged", help="Write the complete model to a single self-contained file.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Output folder; by default `export` in the run folder."),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(help="The pretrained checkpoint that the run started from; needed only with --merged."),
    ] = None,
    site: Annotated[
        str | None, typer.Option(help="Site whose local layers to export, if sites kept their own (rule fedbn).")
    ] = None,
    encoder: OwnEncoder = None,
) -> None:
    """Export the trained model with a model card that states its intended use and its limits.

    For research use only; not a medical device. Without --merged, only the trained parts are written: the head and,
    if trained, the adapters or the encoder.
    """
    from fedtune3d._utils.folders import RunFolder
    from fedtune3d.workflows.export import export_run

    _install(encoder)
    for path in export_run(
        run_folder, output or RunFolder(run_folder).export.path, merged=merged, weights=weights, site=site
    ):
        out.print(f"wrote {path}", soft_wrap=True)


def predict(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="The run folder of a finished run.")],
    scans: Annotated[
        list[Path],
        typer.Argument(
            metavar="SCAN…",
            help="NIfTI files with or without skull, folders of them, BIDS or CAPS folders, or .tsv files with a "
            "column `path`.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Also write one row per scan to this TSV file, once all are predicted."),
    ] = None,
    explain: Annotated[
        Path | None,
        typer.Option(help="Folder for a saliency map of each scan (Grad-CAM), in the scan's own space."),
    ] = None,
    occlusion: Annotated[
        bool, typer.Option("--occlusion", help="With --explain, also write an occlusion map (minutes per scan).")
    ] = False,
    weights: Annotated[Path | None, typer.Option(help="The pretrained checkpoint that the run started from.")] = None,
    site: Annotated[str | None, typer.Option(help="Site whose local layers to use, if sites kept their own.")] = None,
    encoder: OwnEncoder = None,
    workers: Annotated[
        int, typer.Option(help="Number of parallel processes, each with the run's number of threads.", min=1)
    ] = 1,
) -> None:
    """Predict the classes or the number of new scans, and flag those unlike the training scans.

    For research use only; not a medical device. Predictions for out-of-distribution scans, which differ from those of
    every training site, are unreliable. After a run with `evaluation.recalibration`, the recalibrated probability is
    shown next to the model's own.
    """
    from fedtune3d.cli.predict_sentences import predicted_sentences
    from fedtune3d.cli.predict_table import predicted_table
    from fedtune3d.report import caveat
    from fedtune3d.workflows.explain import explainer
    from fedtune3d.workflows.new_scans import find_scans
    from fedtune3d.workflows.predict import Predictor, predict_scans
    from fedtune3d.workflows.scan_predictions import require_no_other_file, write_predictions_of

    if occlusion and explain is None:
        raise InputError("--occlusion: expected --explain FOLDER as well, the folder of the maps")
    if output is not None:
        require_no_other_file(output)
    _install(encoder)
    found = find_scans(scans)
    predictor = Predictor(run_folder, weights, site)
    with progress_bars() as bars, bars.bar("predicting scans") as advance:
        write_maps = None if explain is None else explainer(predictor, explain, bars, _print_written, occlusion)
        predictions = predict_scans(predictor, found, advance, write_maps, workers)
    if output is not None:
        write_predictions_of(predictions, output, predictor.outcome, predictor.why_unlike_unknown)
    out.print(predicted_table(predictions, predictor))
    warnings = [f"Warning: {warning}" for warning in predictor.warnings]
    for line in (*predicted_sentences(predictions, predictor), *warnings, caveat(predictor.metrics)):
        if line:
            out.print(line, soft_wrap=True)
    out.print("Research only, not for diagnosis.")


def _install(encoder: Path | None) -> None:
    from fedtune3d.models.encoders import install_encoder

    if encoder is not None:
        install_encoder(encoder)


def _print_written(path: Path) -> None:
    out.print(f"wrote {path}", soft_wrap=True)
