"""`fedtune3d check` and `server check`: the leak audit of an experiment before any training."""

import secrets
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from fedtune3d._utils.folders import RunFolder
from fedtune3d._utils.progress import Progress
from fedtune3d._utils.sealed import read_sealed_text, write_sealed_text
from fedtune3d.cohorts.splits import read_splits
from fedtune3d.config.experiment import Experiment
from fedtune3d.federation.attendance import Attendance
from fedtune3d.federation.checked_federation import CheckedFederation
from fedtune3d.federation.in_process import InProcess
from fedtune3d.federation.leak_audit import Finding, LeakAudit, audit_sites
from fedtune3d.federation.messages import Federation, answers_of_all
from fedtune3d.federation.process_model import ProcessModel
from fedtune3d.federation.site.audit import KEY_BYTES
from fedtune3d.federation.site.site import Site
from fedtune3d.federation.splitting import count_and_split
from fedtune3d.workflows.cross_validate import first_fold
from fedtune3d.workflows.plan_warnings import SiteSplits, plan_warnings, split_sizes_of
from fedtune3d.workflows.prepare import read_tables, require_roots
from fedtune3d.workflows.run_folder import earlier_run_warnings
from fedtune3d.workflows.sites import make_sites


def check_experiment(
    experiment: Experiment, progress: Progress, workers: int | None = None, near: bool = True
) -> LeakAudit:
    """Prepare missing scans, split as a run would (or use the splits in the output folder), and audit.

    The warnings of `plan` about small sites are findings, too, so that the two commands never contradict each other.
    Of a cross-validation, the first fold is audited: whoever must not be split is in one fold in all of them.

    Args:
        experiment: The experiment. Only prepared scans are written, to its cache.
        progress: Where progress is shown.
        workers: Number of processes that prepare scans; see `make_sites`.
        near: Whether to compare near fingerprints, too, which takes about half a second per scan.

    Raises:
        InputError: If the input is invalid; leaks are findings, not errors.
    """
    require_roots(experiment)
    experiment = first_fold(experiment)
    run_folder = RunFolder(experiment.output)
    with tempfile.TemporaryDirectory() as temporary:
        sites = make_sites(
            experiment, RunFolder(Path(temporary)), progress, workers=workers, key=secrets.token_bytes(KEY_BYTES)
        )
        read_tables(sites)
        ask = partial(answers_of_all, InProcess({site.name: site for site in sites}))
        count_and_split(experiment, ask)
        for site in sites:
            recorded = run_folder.site(site.name).splits
            if recorded.exists():
                write_sealed_text(site.files.splits, read_sealed_text(recorded))
        small = plan_warnings(experiment, {site.name: _split_sizes(site) for site in sites})
        earlier = earlier_run_warnings(run_folder, experiment.public())
        audit = audit_sites(ask, near, experiment)
        return replace(audit, findings=(*audit.findings, *(Finding("warning", text) for text in (*earlier, *small))))


def _split_sizes(site: Site) -> SiteSplits:
    """Return the sizes of a site's splits, without people whom an earlier run, whose splits they are, did not have."""
    splits = read_splits(site.files.splits)
    scans = [(record.group_id, record.label) for record in site.records if record.group_id in splits]
    return split_sizes_of(splits, scans, site.classes)


def check_across(experiment: Experiment, reach: Callable[[ProcessModel], Federation], near: bool = True) -> LeakAudit:
    """Have remote sites prepare and split their scans as a run would, and audit their answers; see `run_across`.

    Raises:
        InputError: If a site cannot or will not answer; leaks are findings, not errors.
    """
    attendance = Attendance(CheckedFederation(reach(ProcessModel(experiment))), strict=False)
    count_and_split(experiment, attendance.plan)
    audit = audit_sites(attendance.describe, near, experiment)
    left_out = tuple(
        Finding("warning", f"{absence.site} is left out ({absence.step}): {absence.reason}")
        for absence in attendance.absences
    )
    return replace(audit, findings=(*audit.findings, *left_out))
