"""How scans were prepared, as text for a paper."""

from collections.abc import Iterator

from fedtune3d.config.experiment import Experiment
from fedtune3d.preparation.recognition import STEPS
from fedtune3d.report.references import Citations, NoCitations
from fedtune3d.report.run_contents import RunContents

STEP_NAMES = {
    "brain": "brain extraction",
    "bias": "correction of the bias field",
    "register": "affine registration to MNI152",
}
SOURCES = {"brain": "fisch", "bias": "tustison", "register": "fonov"}
INTENSITIES = {
    "zscore": "scaled to mean 0 and standard deviation 1 in the brain",
    "white_stripe": "normalised by white stripe",
    "histogram": "matched to the template's histogram",
    "minmax": "scaled to 0 to 1",
    "none": "left as they were",
}


def preparation_sentences(run: RunContents, experiment: Experiment, cite: Citations) -> Iterator[str]:
    """Describe the preparation of scans, which is the same at every site: what was done, as far as that is known."""
    yield _steps_sentence(run, experiment, cite)
    settings = experiment.preparation_settings
    source = {"white_stripe": "shinohara", "histogram": "nyul"}.get(settings.intensity)
    yield (
        f"Brains were resampled to {settings.size}³ voxels of {settings.spacing_mm:g} mm, and intensities were "
        f"{INTENSITIES[settings.intensity]}{cite(source)}."
    )


def _steps_sentence(run: RunContents, experiment: Experiment, cite: Citations) -> str:
    steps = experiment.preparation_settings.steps
    wanted = STEPS if steps == "auto" else tuple(step for step in STEPS if step in steps)
    if not wanted:
        return "Scans were brain-extracted beforehand and underwent no further step."
    applied = run.applied_steps
    if applied is not None and not any(applied.get(step) for step in wanted):
        already = "brain-extracted beforehand and kept their space" if steps == "auto" else "already prepared"
        verb = "was" if len(wanted) == 1 else "were"
        return f"Scans were {already}; {_listed(wanted, NoCitations())} {verb} not applied."
    if applied is not None:
        wanted = tuple(step for step in wanted if applied.get(step))
    named = _listed(wanted, cite)
    if applied is not None and all(applied[step] == applied["scans"] for step in wanted):
        return f"Scans underwent {named}."
    if steps == "auto":
        return f"Heads with their skull underwent {named}; brains that had been extracted before kept their space."
    return f"Each scan underwent {named}, as far as its data set had not done so before."


def _listed(steps: tuple[str, ...], cite: Citations) -> str:
    *first, last = (f"{STEP_NAMES[step]}{cite(SOURCES[step])}" for step in steps)
    return f"{', '.join(first)} and {last}" if first else last
