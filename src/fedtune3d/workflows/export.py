"""Export a run's model as one self-contained file, or only its trained parts, with a model card."""

from dataclasses import replace
from pathlib import Path

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.files import sha256_file, write_text
from fedtune3d._utils.folders import RunFolder
from fedtune3d._utils.folders.export import ENCODER, HEAD, MODEL, ExportFolder
from fedtune3d._utils.state_dicts import State, load_info, load_state, save_state, state_sha256
from fedtune3d._utils.typed_json import from_json, to_json
from fedtune3d._utils.version import __version__
from fedtune3d.aggregation.contract import Memory
from fedtune3d.aggregation.site_step import KEPT_LOCAL
from fedtune3d.config.experiment import Experiment
from fedtune3d.config.feature_versions import FeatureVersions, find_other_features
from fedtune3d.config.own_encoder import find_other_code, require_code_of_run
from fedtune3d.config.preparation import PreparationSection
from fedtune3d.federation.round_state import read_best_state
from fedtune3d.federation.site.memory import SiteMemory
from fedtune3d.models.assembly import AssembledModel, assemble, input_spec
from fedtune3d.models.classifier import Classifier
from fedtune3d.models.packaged_weights import Weights
from fedtune3d.models.tuning import Full, Lora
from fedtune3d.models.tuning.adapters import merge, save_adapter
from fedtune3d.report.export_info import FORMAT, ExportInfo, InputFormat, class_labels
from fedtune3d.report.model_card import model_card
from fedtune3d.report.run_contents import FinishedRun, read_finished_run
from fedtune3d.workflows.exported_model import ExportedModel


def export_run(
    run_folder: Path, output: Path, *, merged: bool, weights: Path | None = None, site: str | None = None
) -> list[Path]:
    """Write the best state of a finished run, with a model card, to a folder.

    Args:
        run_folder: Folder of a finished run.
        output: Output folder, created if missing.
        merged: Write the complete model to one file, with adapters and residuals merged; otherwise only the trained
            parts: the head, and the adapters in PEFT's format (LoRA) or the encoder (full tuning).
        weights: The checkpoint that the run started from, if any; needed only with `merged`.
        site: The site whose layers to write, if each site kept some of its own (FedBN).

    Returns:
        The files written.

    Raises:
        InputError: If the run is not complete, the weights are not the run's, or the adapters do not contain all that
            was trained (exact LoRA averaging), so that only the merged model can be written.
    """
    run = RunFolder(run_folder)
    contents, experiment = _finished(run_folder)
    state = load_state(run.best_checkpoint) | _own_layers(run, experiment, site)
    parts = _whole_model(experiment, contents, state, weights) if merged else _trained_parts(experiment, state, output)
    info = _info(experiment, contents, site)
    written = []
    for name, tensors in parts.items():
        about = replace(info, contains=Path(name).stem, state_sha256=state_sha256(tensors))
        save_state(output / name, tensors, to_json(about))
        written.append(output / name)
    if not merged and isinstance(experiment.tuning, Lora):
        written.append(ExportFolder(output).adapter.path)
    write_text(ExportFolder(output).card, model_card(contents, info, [path.name for path in written]))
    return [*written, ExportFolder(output).card]


def load_exported(path: Path) -> ExportedModel:
    """Load a merged model written by `export_run`, in evaluation mode on the CPU, and the header of its file.

    Its `predict` takes a NIfTI file. The model itself, the first of the two parts, maps prepared scans (B, 1, s, s, s)
    to outputs (B, k), which `ExportInfo.outcome` converts to predictions.

    Raises:
        InputError: If the file is not such a model, is damaged, or was trained with another version of the encoder or
            of the preparation.
    """
    info = _read_info(path)
    if problem := find_other_code(info.encoder, info.encoder_sha256):
        raise InputError(f"{path}: {problem}; see `install_encoder` in docs/encoders.md")
    trained_on = FeatureVersions(info.encoder_version, info.preparation.version)
    if problem := find_other_features(info.encoder, trained_on):
        raise InputError(f"{path}: {problem}")
    expected = input_spec(info.encoder)
    current = InputFormat.of(PreparationSection().settings(expected))
    if expected.fixed_size and info.preparation.size != current.size:
        raise InputError(
            f"{path}: expects scans prepared as {info.preparation}, but this version prepares {current}; "
            f"use fedtune3d {info.fedtune3d}"
        )
    state = load_state(path)
    model = assemble(info.encoder, "random", info.head, Full(), seed=0, outcome=info.outcome).model
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: does not match encoder {info.encoder} with head {info.head}: {reason}") from error
    return ExportedModel(model.eval(), info)


def _read_info(path: Path) -> ExportInfo:
    header = load_info(path)
    if header.get("format") != FORMAT or header.get("contains") != "model":
        raise InputError(
            f"{path}: expected a model written by `fedtune3d export RUN --merged` (format {FORMAT}), found "
            f"{header.get('contains', 'another file')} (format {header.get('format', 'none')}); export the run again"
        )
    try:
        return from_json(ExportInfo, header)
    except ValueError as error:
        raise InputError(f"{path}: its header is damaged ({error}); export the run again") from error


def _own_layers(run: RunFolder, experiment: Experiment, site: str | None) -> State:
    """Return the layers that a site kept local in the best state; empty if the rule has no local layers."""
    names = [section.name for section in experiment.sites]
    kept = _kept_names(run, experiment)
    if not kept:
        if site is not None:
            raise InputError(
                f"--site {site}: rule {experiment.aggregation.rule} has one model for all sites; remove --site"
            )
        return {}
    if site not in names:
        raise InputError(
            f"{run.path}: each site kept {len(kept)} tensors of its own ({kept[0]}, …); choose a site with "
            f"--site, one of {', '.join(names)}"
        )
    versions = read_best_state(run.best_checkpoint).versions
    memory = SiteMemory(run.site(site).memory())
    if site not in versions or not memory.folder.exists():
        raise InputError(f"{memory.folder}: site {site}'s own layers are not in this run folder; export at that site")
    return memory.load(versions[site])[KEPT_LOCAL]


def _kept_names(run: RunFolder, experiment: Experiment) -> tuple[str, ...]:
    """Return the names that the rule keeps local, from its saved memory."""
    path = run.rounds.rule_memories()[-1]
    memory = Memory(load_info(path), load_state(path))
    return experiment.rule().site_step(memory, experiment.sites[0].name).keep_local


def trained_model(run_folder: Path, weights: Path | None, site: str | None) -> tuple[FinishedRun, AssembledModel]:
    """Load the best state of a finished run into its model, in evaluation mode on the CPU; see `export_run`."""
    contents, experiment = _finished(run_folder)
    state = load_state(RunFolder(run_folder).best_checkpoint) | _own_layers(RunFolder(run_folder), experiment, site)
    return contents, _with_state(experiment, contents, state, weights)


def _finished(run_folder: Path) -> tuple[FinishedRun, Experiment]:
    contents = read_finished_run(run_folder)
    require_code_of_run(contents.config, run_folder)
    experiment = Experiment.model_validate(contents.config)
    if problem := find_other_features(experiment.model.encoder, contents.environment.features):
        raise InputError(f"{run_folder}: {problem}")
    return contents, experiment


def _with_state(experiment: Experiment, contents: FinishedRun, state: State, weights: Path | None) -> AssembledModel:
    recorded = contents.environment.weights
    assembled = _assemble(experiment, _weights_of_run(experiment, contents, weights))
    if assembled.weights.sha256 != recorded.sha256:
        versions = contents.environment.versions
        raise InputError(
            f"{contents.path}: the {recorded.source} weights here differ from the run's (SHA-256 {recorded.sha256}); "
            f"use torch {versions['torch']} and the packages of the run"
        )
    assembled.write(state)
    assembled.model.eval()
    return assembled


def _whole_model(experiment: Experiment, contents: FinishedRun, state: State, weights: Path | None) -> dict[str, State]:
    model = _with_state(experiment, contents, state, weights).model
    if not isinstance(model, Classifier):
        return {MODEL: dict(model.state_dict())}
    encoder = {f"encoder.{name}": tensor for name, tensor in merge(model).items()}
    head = {f"head.{name}": tensor for name, tensor in model.head.state_dict().items()}
    return {MODEL: encoder | head}


def _trained_parts(experiment: Experiment, state: State, output: Path) -> dict[str, State]:
    """Return the head and, with full tuning, the encoder; with LoRA, also write the adapters."""
    tuning = experiment.tuning
    parts = {HEAD: _below("head.", state)}
    if not parts[HEAD]:
        raise InputError(
            f"model.encoder {experiment.model.encoder}: is trained as a whole and has no head; add --merged"
        )
    if isinstance(tuning, Full):
        parts[ENCODER] = _below("encoder.", state)
    if isinstance(tuning, Lora):
        assembled = _assemble(experiment, "random")  # an adapter file does not contain the base weights
        assembled.write(state)
        assert isinstance(assembled.model, Classifier)
        save_adapter(assembled.model, ExportFolder(output).adapter.path)
    return parts


def _below(prefix: str, state: State) -> State:
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def _weights_of_run(experiment: Experiment, contents: FinishedRun, weights: Path | None) -> Weights:
    """Return the weights that the run started from."""
    run, recorded, initial = contents.path, contents.environment.weights, experiment.model.weights
    if not isinstance(initial, Path):
        if weights is not None:
            raise InputError(f"--weights {weights}: {run} started from {initial} weights; remove --weights")
        return initial
    if weights is None or not weights.is_file():
        advice = "give its path with --weights" if weights is None else f"there is no file {weights}"
        raise InputError(f"{run}: started from {recorded.source} (SHA-256 {recorded.sha256}); {advice}")
    if (sha256 := sha256_file(weights)) != recorded.sha256:
        raise InputError(
            f"{weights}: expected the file that {run} started from, SHA-256 {recorded.sha256}, got {sha256}"
        )
    return weights


def _assemble(experiment: Experiment, weights: Weights) -> AssembledModel:
    section = experiment.model
    return assemble(section.encoder, weights, section.head, experiment.tuning, experiment.seed, experiment.outcome)


def _info(experiment: Experiment, contents: FinishedRun, site: str | None) -> ExportInfo:
    """Create the header of the export; `contains` and `state_sha256` are filled in for each file."""
    metrics, two = contents.metrics, contents.metrics.of_two_classes
    return ExportInfo(
        format=FORMAT,
        contains="",
        fedtune3d=__version__,
        experiment=experiment.name,
        encoder=experiment.model.encoder,
        encoder_version=FeatureVersions.here(experiment.model.encoder).encoder,
        encoder_sha256=experiment.model.encoder_sha256,
        head=experiment.head_name(),
        tuning=experiment.tuning.method,
        rule=experiment.aggregation.rule,
        best_round=metrics.best_round,
        preparation=InputFormat.of(experiment.preparation_settings),
        labels={section.name: class_labels(experiment.labels_of(section)) for section in experiment.sites},
        threshold=two.threshold if two else None,
        weights=contents.environment.weights,
        simulated=metrics.simulated,
        layers_of=site,
        state_sha256="",
        recalibration=two.scaling if two else None,
        outcome=experiment.outcome,
    )
