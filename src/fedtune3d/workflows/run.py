"""Run an experiment: splits, audit, rounds, baselines, evaluation, report."""

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from fedtune3d._utils.clock import timestamp
from fedtune3d._utils.errors import InputError
from fedtune3d._utils.files import sweep_partials
from fedtune3d._utils.folders import RunFolder
from fedtune3d._utils.locks import one_writer
from fedtune3d._utils.progress import Advance, Progress, Silent
from fedtune3d._utils.state_dicts import State, load_state, state_bytes
from fedtune3d._utils.typed_json import write_typed
from fedtune3d.config.cross_validation import require_one_run
from fedtune3d.config.experiment import Experiment
from fedtune3d.config.feature_versions import FeatureVersions
from fedtune3d.evaluation.against_baselines import against_baselines
from fedtune3d.evaluation.metrics import MethodMetrics, ModelCost, RunMetrics, SetSize, WeightsSource
from fedtune3d.evaluation.multiclass.metrics import ClassMetrics
from fedtune3d.evaluation.overlap import Overlap
from fedtune3d.evaluation.regression.metrics import NumberMetrics
from fedtune3d.federation.attendance import Absences, Attendance
from fedtune3d.federation.checked_federation import CheckedFederation
from fedtune3d.federation.environment import Environment, TracedWeights
from fedtune3d.federation.in_process import InProcess
from fedtune3d.federation.leak_audit import audit_sites, profile_sites
from fedtune3d.federation.lone_rounds import run_lone_rounds
from fedtune3d.federation.mean_maps import map_places, require_atlas
from fedtune3d.federation.messages import Federation, Part
from fedtune3d.federation.process_model import ProcessModel
from fedtune3d.federation.round_settings import RoundSettings
from fedtune3d.federation.round_state import RoundsFolder, read_best_state
from fedtune3d.federation.rounds import QuorumLostError, run_rounds
from fedtune3d.federation.site.audit import KEY_BYTES
from fedtune3d.federation.site.pooled_site import PooledSite
from fedtune3d.federation.splitting import count_and_split, count_people, shared_in_test
from fedtune3d.federation.tasks.count_scans import ScanCounts
from fedtune3d.models.assembly import AssembledModel
from fedtune3d.models.hub import read_origin
from fedtune3d.models.tuning import read_state
from fedtune3d.report import write_report
from fedtune3d.report.logs import RunLogs, require_packages
from fedtune3d.workflows.after_rounds import AfterRounds, sites_without
from fedtune3d.workflows.best_state import write_feature_statistics, write_saliency
from fedtune3d.workflows.missing_statistics import DESCRIBING
from fedtune3d.workflows.prepare import read_tables, require_roots
from fedtune3d.workflows.run_folder import began_at, open_run, read_metrics, require_device, write_metrics
from fedtune3d.workflows.sites import make_sites
from fedtune3d.workflows.small_sites import with_small_sites
from fedtune3d.workflows.workers import Reach, reach_sites, wait_for_workers

CENTRALIZED = "centralized"


def run_experiment(
    experiment: Experiment,
    *,
    resume: bool = False,
    progress: Progress | None = None,
    reach: Reach | None = None,
    report: bool = True,
) -> RunFolder:
    """Run an experiment in this process and return its run folder.

    Args:
        experiment: The experiment to run.
        resume: Continue the run in the output folder, if there is one; otherwise, a folder with a run is refused.
        progress: Where progress is shown; by default nowhere.
        reach: Creates the federation from this process's sites, whatever the experiment's `workers`; None to reach them
            in this process or in workers.
        report: Whether to write `report.html` and the figures at the end; `fedtune3d report` can also write them later.

    Raises:
        InputError: If the input is invalid.
    """
    require_one_run(experiment.validation)
    require_roots(experiment)
    with _only_run_in(experiment.output):
        folder = _run_here(experiment, resume, progress, reach)
        if report:
            write_report(folder.path)
    return folder


def _run_here(experiment: Experiment, resume: bool, progress: Progress | None, reach: Reach | None) -> RunFolder:
    progress, folder, process_model = progress or Silent(), RunFolder(experiment.output), ProcessModel(experiment)
    wait_for_workers(folder)
    key = secrets.token_bytes(KEY_BYTES)
    sites = make_sites(experiment, folder, progress, process_model=process_model, key=key)
    read_tables(sites)

    def pooled() -> Federation:
        return InProcess({CENTRALIZED: PooledSite(sites, folder.centralized_memory)})

    with reach_sites(experiment, folder, sites, key, progress, reach) as here:
        return _Run(experiment, progress, process_model, here.federation, pooled, here.encode).run(resume=resume)


def run_across(
    experiment: Experiment, reach: Callable[[ProcessModel], Federation], *, resume: bool, progress: Progress | None
) -> RunFolder:
    """Run an experiment with remote sites, which keep their scans and policies; `reach` creates the federation.

    Raises:
        InputError: As `run_experiment`; if a site cannot plan or evaluate; if a baseline needs all scans in one place.
    """
    require_one_run(experiment.validation)
    if CENTRALIZED in experiment.baselines:
        raise InputError("baselines: centralized needs all scans in one place; remove it for runs across hospitals")
    process_model = ProcessModel(experiment)
    with _only_run_in(experiment.output):
        federation = CheckedFederation(reach(process_model), map_places(experiment), experiment.outcome)
        folder = _Run(experiment, progress or Silent(), process_model, federation, None).run(resume=resume)
        write_report(folder.path)
    return folder


@contextmanager
def _only_run_in(output: Path) -> Iterator[None]:
    """Hold the run folder as its only writer, after removing partial files of killed runs."""
    with one_writer(output, "fedtune3d run"):
        sweep_partials(output)
        yield


class _Run:
    """A run in progress, with what its steps share: model, federation, folder and logs."""

    logs: RunLogs

    def __init__(
        self,
        experiment: Experiment,
        progress: Progress,
        process_model: ProcessModel,
        federation: Federation,
        pooled: Callable[[], Federation] | None,
        encode: Callable[[], None] = lambda: None,
    ) -> None:
        self.experiment = experiment
        self.progress = progress
        self.folder = RunFolder(experiment.output)
        self.process_model = process_model
        self.federation = federation
        self.pooled = pooled
        self.encode = encode
        self.attendance = Attendance(federation, strict=pooled is not None)
        self.began = timestamp()

    @property
    def sites(self) -> tuple[str, ...]:
        """The sites that are still in the run."""
        return self.attendance.sites

    def run(self, *, resume: bool) -> RunFolder:
        """Carry out all steps that are not done yet."""
        require_packages(self.experiment.log)
        public = self.experiment.public()
        may_grow = self.pooled is not None and self.experiment.privacy.epsilon is None  # ε is of all rounds
        open_run(self.folder, public, resume=resume, may_grow=may_grow)
        with RunLogs(self.experiment.log, self.folder, public) as self.logs:
            if not self.folder.metrics.exists():
                self._train_and_evaluate()
            self.logs.finish(read_metrics(self.folder))
        return self.folder

    def _train_and_evaluate(self) -> None:
        if self.pooled is not None:  # else the sites train, each on a device of its own
            require_device(self.folder, self.process_model.device.type)
        assembled = self.process_model.assembled  # fails on a wrong checkpoint before scans are prepared
        require_atlas(self.experiment)
        counts, overlap = self._count_and_split()
        self._audit_cohorts()
        initial = read_state(assembled.model, assembled.trainable)
        self.logs.describe(self._write_environment(assembled, counts))
        self.encode()  # remote sites do it when their splits are known
        after = AfterRounds(self.experiment, self.folder, self.attendance, self.progress)
        summaries = {name: after.evaluate(name, train(initial)) for name, train in self._methods().items()}
        methods = after.combine(summaries, overlap)
        evaluated = dict[str, SetSize](methods["federated"].sites)
        summaries = {method: {site: sent[site] for site in evaluated} for method, sent in summaries.items()}
        describing, explaining = (self.attendance.finishing(step) for step in (DESCRIBING, "map saliency"))
        write_feature_statistics(self.process_model, describing, self.sites, self.folder)
        write_saliency(self.experiment, explaining, self.sites, self.folder)
        metrics = RunMetrics(
            version=4,
            experiment=self.experiment.name,
            simulated=any(site.simulated for site in counts.values()),
            weights=WeightsSource(assembled.weights.source, assembled.weights.sha256),
            head=self.experiment.head_name(),
            tuning=self.experiment.tuning.method,
            rule=self.experiment.aggregation.rule,
            best_round=read_best_state(self.folder.best_checkpoint).round,
            groups=count_people(counts),
            cost=_cost(assembled, initial),
            methods={name: of for name, of in methods.items() if isinstance(of, MethodMetrics)},
            against=against_baselines(summaries),
            test_groups=overlap.people({site: test.participants for site, test in evaluated.items()}),
            outcome=self.experiment.outcome,
            class_methods={name: of for name, of in methods.items() if isinstance(of, ClassMetrics)},
            number_methods={name: of for name, of in methods.items() if isinstance(of, NumberMetrics)},
        )
        by_site = {site: {name: sent[site] for name, sent in summaries.items()} for site in evaluated}
        self.folder.absences.unlink(missing_ok=True)
        if self.attendance.absences:
            write_typed(self.folder.absences, Absences(tuple(self.attendance.absences)))
        write_metrics(self.folder, metrics, by_site)

    def _count_and_split(self) -> tuple[dict[str, ScanCounts], Overlap]:
        """Have every site read, prepare and split its scans; groups that sites declare are split at the server.

        Returns the counts of the sites that are still in the run, and whom test sets may share.
        """
        counts, flows = count_and_split(self.experiment, self.attendance.plan)
        write_typed(self.folder.flow, flows)
        return {site: counts[site] for site in self.sites}, shared_in_test(self.experiment, counts)

    def _audit_cohorts(self) -> None:
        """Stop at a leak, and record the differences between the sites."""
        audit = audit_sites(self.attendance.describe, near=False, experiment=self.experiment)
        audit.require_none()
        write_typed(self.folder.audit, with_small_sites(audit, self.experiment, self.folder))
        if not self.folder.profiles.exists():
            write_typed(self.folder.profiles, profile_sites(self.attendance.describe))

    def _methods(self) -> dict[str, Callable[[State], dict[str, State]]]:
        """Return method → function from the initial state to the state with which each site is evaluated."""
        methods: dict[str, Callable[[State], dict[str, State]]] = {"federated": self._federated}
        methods |= {name: getattr(self, f"_{name}") for name in self.experiment.baselines}
        return methods

    def _federated(self, initial: State) -> dict[str, State]:
        rule = self.experiment.aggregation.rule
        best = self._rounds(self.attendance.federation, RoundsFolder(self.folder.path), initial, rule)
        return dict.fromkeys(self.sites, best)

    def _local(self, initial: State) -> dict[str, State]:
        """Train each site alone, all at the same time."""
        folders = {name: RoundsFolder(self.folder.local_rounds(name).path) for name in self.sites}

        def on_lost(name: str, lost: QuorumLostError) -> None:
            if self.pooled is not None:
                raise lost
            self.attendance.leave_out(name, "local baseline", str(lost))

        with self.progress.bar("rounds (baseline: local, all sites)") as advance:
            trained = run_lone_rounds(
                self.federation,
                folders,
                self.experiment.rule_of_one,
                self._settings(federated=False),
                initial,
                self.process_model.context,
                self._on_round(advance),
                on_lost,
            )
        return {name: load_state(folders[name].best) for name in trained}

    def _centralized(self, initial: State) -> dict[str, State]:
        assert self.pooled is not None  # `run_across` refuses this baseline
        best = self._rounds(self.pooled(), RoundsFolder(self.folder.centralized_rounds.path), initial)
        return dict.fromkeys(self.sites, best)

    def _leave_one_site_out(self, initial: State) -> dict[str, State]:
        """Train a state for each site from all others, by the experiment's rule; local layers are the initial ones."""
        states = {}
        for name in self.sites:
            folder, rule = RoundsFolder(self.folder.rounds_without(name).path), self.experiment.aggregation.rule
            states[name] = initial | self._rounds(self._without(name), folder, initial, rule)
        return states

    def _without(self, left_out: str) -> Part:
        return sites_without(self.federation, self.sites, left_out)

    def _rounds(
        self, federation: Federation, folder: RoundsFolder, initial: State, rule_name: str | None = None
    ) -> State:
        """Run the rounds and return the best state, by the experiment's rule or, without a name, a lone site's rule."""
        federated = rule_name is not None
        rule = self.experiment.rule() if federated else self.experiment.rule_of_one()
        left_out = "".join(f" without {name}" for name in self.sites if name not in federation.sites)
        label = f"{rule.name}{left_out}" if federated else f"baseline: {' '.join(federation.sites)}"
        context = self.process_model.context(federation.sites)
        with self.progress.bar(f"rounds ({label})") as advance:
            run_rounds(federation, rule, folder, self._settings(federated), initial, context, self._on_round(advance))
        return load_state(folder.best)

    def _on_round(self, advance: Advance) -> Callable[[int, int], None]:
        """Return what is called after each round: shows it, and logs it."""

        def on_round(done: int, total: int) -> None:
            advance(done, total)
            self.logs.follow()

        return on_round

    def _settings(self, federated: bool) -> RoundSettings:
        """Return the settings of the federation's rounds, or of those of a lone site."""
        options, training = self.experiment.participation, self.experiment.training
        secure = federated and self.experiment.privacy.secure_aggregation
        return RoundSettings(
            rounds=training.rounds,
            best_round=training.best_round,
            seed=self.experiment.seed,
            fraction=options.fraction if federated else 1.0,
            quorum=options.quorum,
            deadline_seconds=options.deadline_seconds if federated else None,
            retries=options.retries,
            max_norm=options.max_norm,
            max_norm_ratio=options.max_norm_ratio,
            local_steps=self._local_steps(),
            secure_experiment=self.experiment.sha256() if secure else None,
            max_share=self.experiment.privacy.max_share,
        )

    def _local_steps(self) -> Callable[[int], int]:
        """Return how the number of local steps follows from that of training scans, as far as sites differ."""
        privacy = self.experiment.privacy.differential
        if privacy is not None and privacy.sampling == "full_batch":
            return lambda scans: 1
        return self.experiment.training.local_steps

    def _write_environment(self, assembled: AssembledModel, counts: Mapping[str, ScanCounts]) -> Environment:
        environment = Environment.here(
            device=self.process_model.device.type,
            threads=self.experiment.threads,
            weights=self._weights(assembled),
            simulated=any(site.simulated for site in counts.values()),
            started=began_at(self.folder, self.began),
            features=FeatureVersions.here(self.experiment.model.encoder),
        )
        write_typed(self.folder.environment, environment)
        return environment

    def _weights(self, assembled: AssembledModel) -> TracedWeights:
        """Return the source of the encoder's weights, with the hub's commit if they came from `weights fetch`."""
        path, sha256 = self.experiment.model.weights, assembled.weights.sha256
        origin = read_origin(path, sha256) if isinstance(path, Path) else None
        return TracedWeights(assembled.weights.source, sha256, origin)


def _cost(assembled: AssembledModel, state: State) -> ModelCost:
    parameters = dict(assembled.model.named_parameters())
    return ModelCost(
        trainable_parameters=sum(parameters[name].numel() for name in assembled.trainable.parameters),
        parameters=sum(parameter.numel() for parameter in parameters.values()),
        bytes_per_round_and_site=2 * state_bytes(state),
    )
