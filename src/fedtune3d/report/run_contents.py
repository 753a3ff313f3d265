"""Reading of a run folder, complete or not: a run in progress has a ledger but no metrics yet."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.folders import RunFolder
from fedtune3d._utils.run_config import read_run_config
from fedtune3d._utils.typed_json import read_typed
from fedtune3d.cohorts.flow import BadScan, Flow, SiteFlow
from fedtune3d.cohorts.warnings import ReadingWarning
from fedtune3d.config.class_names import ClassNames, recorded_names
from fedtune3d.config.outcome import recorded_outcome
from fedtune3d.config.policy import Policy
from fedtune3d.evaluation.metrics import RunMetrics
from fedtune3d.evaluation.outcome import Outcome
from fedtune3d.federation.attendance import Absence, Absences
from fedtune3d.federation.environment import Environment
from fedtune3d.federation.leak_audit import LeakAudit
from fedtune3d.federation.ledger import LedgerLine
from fedtune3d.federation.mean_maps import MapInfo
from fedtune3d.federation.round_state import RoundsFolder
from fedtune3d.preparation.profiles import Profiles
from fedtune3d.report.site_order import ordered_audit, ordered_metrics, ordered_profiles

T = TypeVar("T")

_ADVICE = "run again with --resume"


@dataclass(frozen=True)
class RunContents:
    """The contents of a run folder.

    Attributes:
        path: The folder.
        config: The resolved configuration.
        environment: Versions, device, weights; None if the run has not got that far.
        ledger: The lines of the federated rounds.
        metrics: The evaluation; None while the run continues.
        flows: Site → its flow of participants, as counts that may leave the site.
        audit: Findings of the leak audit, and the people at each site; None if the run has not got that far.
        profiles: The sites' intensity profiles, and the distances between them; None if the run has not got that far.
        absences: Sites that were left out of a step outside the rounds, and why.
        saliency: Site → its mean saliency maps; empty if they were not requested.
        faults: Site → its faulty scans, with the reason; only sites whose half of the folder is present.
        warnings: Site → unreadable entries of its tables and sidecars; only sites as in `faults`.
        flags: Site → number of its scans that quality control flags; only sites as in `faults`.
        examples: Site → its example pictures; only sites whose policy lets pictures leave.
        steps: Site → steps of preparation with the number of scans that underwent them (`SiteFlow.applied`), if known.
    """

    path: Path
    config: dict[str, Any]
    environment: Environment | None
    ledger: list[LedgerLine]
    metrics: RunMetrics | None
    flows: dict[str, Flow]
    audit: LeakAudit | None
    profiles: Profiles | None
    absences: tuple[Absence, ...]
    saliency: dict[str, MapInfo]
    faults: dict[str, tuple[BadScan, ...]]
    warnings: dict[str, tuple[ReadingWarning, ...]]
    flags: dict[str, int | None]
    examples: dict[str, list[Path]]
    steps: dict[str, Mapping[str, int] | None]

    @property
    def sites(self) -> list[str]:
        """The names of the sites, in the order of the configuration."""
        return [section["name"] for section in self.config["sites"]]

    @property
    def on_one_machine(self) -> bool:
        """True if all sites' folders lie inside the run folder, because one machine held all scans."""
        return [site.path.name for site in RunFolder(self.path).site_folders] == sorted(self.sites)

    @property
    def with_feature_statistics(self) -> list[str]:
        """The sites that sent mean and covariance of their training scans' features."""
        run = RunFolder(self.path)
        return [site for site in self.sites if run.feature_statistics(site).exists()]

    @property
    def outcome(self) -> Outcome:
        """The outcome that the model was trained to predict."""
        return recorded_outcome(self.config)

    @property
    def names(self) -> ClassNames:
        """The names of the classes, from the definition of the labels."""
        return recorded_names(self.config)

    @property
    def applied_steps(self) -> Mapping[str, int] | None:
        """Step of preparation → number of scans that underwent it, ``scans`` → all; None unless known of all sites."""
        known = [counts for site in self.sites if (counts := self.steps.get(site)) is not None]
        if len(known) < len(self.sites):
            return None
        return sum((Counter(dict(counts)) for counts in known), Counter[str]())

    @property
    def total_bytes(self) -> int:
        """Traffic to and from all sites in the federated rounds, in bytes."""
        return sum(entry.bytes_both_ways for line in self.ledger for entry in line.sites.values())

    @property
    def facts(self) -> RunMetrics | Environment | None:
        """The origin of scans and weights: the metrics, else the environment, which is written earlier."""
        return self.metrics or self.environment

    def policy(self, site: str, key: str) -> bool:
        """Return whether a site's policy allows something; anything that the configuration does not allow is denied."""
        return bool(_policy(self.config, site, key))

    def min_per_class(self, site: str) -> int:
        """Return the minimum number of people of each class in a group whose numbers a site's policy lets leave."""
        fewest = _policy(self.config, site, "min_per_class")
        return fewest if isinstance(fewest, int) else Policy().min_per_class

    def min_people(self, site: str) -> int:
        """Return the minimum number of people in a count that a site's policy lets leave."""
        fewest = _policy(self.config, site, "min_people")
        return fewest if isinstance(fewest, int) else Policy().min_people

    @property
    def flagged(self) -> dict[str, int]:
        """Site → number of its scans that quality control flags, of the sites whose number is known and may leave."""
        return {
            site: count
            for site, count in self.flags.items()
            if count is not None and (count == 0 or count >= self.min_people(site))
        }


def read_run(folder: Path) -> RunContents:
    """Read a run folder.

    Raises:
        InputError: If the folder holds no run, or a file in it is damaged; names the file.
    """
    run = RunFolder(folder)
    config = read_run_config(run.config)
    try:
        sites = [section["name"] for section in config["sites"]]
    except (TypeError, KeyError) as error:
        raise InputError(f"{run.config}: expected the configuration of a run; {error}") from error
    flow_paths = {site: run.site(site).flow for site in sites}
    site_flows = {site: read_typed(SiteFlow, path, _ADVICE) for site, path in flow_paths.items() if path.exists()}
    allowed = [site for site in sites if _policy(config, site, "pictures_leave")]
    return RunContents(
        path=folder,
        config=config,
        environment=_read_if_there(Environment, run.environment),
        ledger=RoundsFolder(folder).lines(),
        metrics=ordered_metrics(metrics, sites) if (metrics := _read_if_there(RunMetrics, run.metrics)) else None,
        flows=_read_if_there(dict[str, Flow], run.flow) or {},
        audit=ordered_audit(audit, sites) if (audit := _read_if_there(LeakAudit, run.audit)) else None,
        profiles=ordered_profiles(profiles, sites) if (profiles := _read_if_there(Profiles, run.profiles)) else None,
        absences=found.absences if (found := _read_if_there(Absences, run.absences)) else (),
        saliency={site: info for site in sites if (info := _read_if_there(MapInfo, run.saliency_info(site)))},
        faults={site: flow.bad_scans for site, flow in site_flows.items()},
        warnings={site: flow.warnings for site, flow in site_flows.items()},
        flags={site: flow.flagged for site, flow in site_flows.items()},
        examples={site: sorted(run.site(site).examples.glob("*.png")) for site in allowed},
        steps={site: flow.applied for site, flow in site_flows.items()},
    )


@dataclass(frozen=True)
class FinishedRun(RunContents):
    """A complete run, which has metrics and an environment."""

    environment: Environment
    metrics: RunMetrics


def read_finished_run(folder: Path) -> FinishedRun:
    """Read the folder of a complete run.

    Raises:
        InputError: As `read_run`, and if the run is not complete.
    """
    contents, run = read_run(folder), RunFolder(folder)
    if contents.metrics is None or contents.environment is None:
        missing = run.metrics if contents.metrics is None else run.environment
        raise InputError(f"{missing}: missing, the run is not complete; run it again with --resume")
    return FinishedRun(**vars(contents))


def version_of(folder: Path) -> str:
    """Return a string that changes with the files of the run; example pictures are written before `flow.json`."""
    run = RunFolder(folder)
    paths = (run.config, run.environment, run.metrics, run.flow, run.audit, run.profiles, run.rounds.ledger)
    return "-".join(map(stamp, (*paths, *run.baseline_ledgers)))


def stamp(path: Path) -> str:
    """Return a string that changes with a file; empty if there is none."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return ""
    return f"{stat.st_mtime_ns:x}.{stat.st_size:x}"


def _policy(config: dict[str, Any], site: str, key: str) -> object:
    section = next(section for section in config["sites"] if section["name"] == site)
    return section.get("policy", {}).get(key)


def _read_if_there(kind: type[T], path: Path) -> T | None:
    return read_typed(kind, path, _ADVICE) if path.exists() else None
