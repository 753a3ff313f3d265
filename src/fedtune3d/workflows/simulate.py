"""`fedtune3d simulate`: simulated hospitals and an experiment file for them."""

from collections.abc import Callable, Sequence
from pathlib import Path

from fedtune3d._utils.files import write_text
from fedtune3d._utils.folders import SimulationFolder
from fedtune3d.preparation.profiles import compare_profiles, intensity_profile, intensity_range, shared_grid
from fedtune3d.report.figures.intensity_profiles import draw_intensity_profiles
from fedtune3d.simulation import simulate_sites
from fedtune3d.simulation.bids_folder import simulated_brain
from fedtune3d.simulation.outcomes import SimulatedOutcome
from fedtune3d.workflows.init import count_diagnoses, fill_template
from fedtune3d.workflows.outcome_lines import named_classes, two_classes

PROFILED_SCANS = 10
AGE = """\
target:
  column: age
  range: [40, 100]
  unit: years
  missing: leave_out     # scans of people without an age are excluded and counted
"""


def write_simulation(
    folder: Path,
    sites: int,
    scans: int,
    seed: int,
    anatomies: Path | None,
    workers: int | None,
    progress: Callable[[int, int], None],
    site_effects: Sequence[str] = (),
    outcome: SimulatedOutcome = SimulatedOutcome.CN_AD,
) -> Path:
    """Write simulated sites, an experiment file for them and the figure of their intensity profiles.

    Args:
        folder: Output folder, created if missing.
        sites: Number of sites.
        scans: Total number of scans.
        seed: Random seed.
        anatomies: Folder of label maps from which people are drawn; None for the MNI152 template.
        workers: Number of parallel processes; None for one per core.
        progress: Called with (scans done, total scans).
        site_effects: Scanner settings to fix instead of drawing them.
        outcome: What the experiment predicts.

    Returns:
        The path of the experiment file.

    Raises:
        InputError: As `simulate_sites`.
    """
    folders = simulate_sites(
        folder,
        sites,
        scans,
        seed,
        anatomies=anatomies,
        workers=workers,
        progress=progress,
        site_effects=site_effects,
        outcome=outcome,
    )
    files = SimulationFolder(folder)
    _draw_profiles(files.figures, folders)
    note = "These sites are simulated: results on them say nothing about patients."
    write_text(
        files.experiment,
        fill_template(files.experiment, "simulated", seed, folders, _outcome_lines(outcome, folders), note, rounds=20),
    )
    return files.experiment


def _outcome_lines(outcome: SimulatedOutcome, folders: Sequence[Path]) -> str:
    """Return the lines of the experiment file that say what is predicted."""
    if outcome is SimulatedOutcome.CN_MCI_AD:
        return named_classes(outcome.diagnoses, dict.fromkeys(outcome.diagnoses, 0))
    if outcome is SimulatedOutcome.AGE:
        return AGE
    counts = count_diagnoses(folders)
    negative = [diagnosis for diagnosis in sorted(counts) if diagnosis in ("CN", "control")]
    return two_classes([diagnosis for diagnosis in sorted(counts) if diagnosis not in negative], negative)


def _draw_profiles(folder: Path, sites: Sequence[Path]) -> None:
    """Draw the figure of intensity profiles, from up to ten scans per site."""
    brains = {
        site.name: [simulated_brain(path) for path in sorted(site.rglob("*_T1w.nii.gz"))[:PROFILED_SCANS]]
        for site in sites
    }
    low, high = shared_grid(intensity_range(scans) for scans in brains.values())
    profiles = {site: (len(scans), intensity_profile(scans, low, high)) for site, scans in brains.items()}
    drawing = draw_intensity_profiles(compare_profiles(low, high, profiles))
    assert drawing is not None
    drawing.note("simulated scans")
    drawing.save(folder)
