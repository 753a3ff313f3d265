"""The round loop: send tasks, collect updates, apply the rule, and save the next state before the next round."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.state_dicts import State
from fedtune3d.aggregation.average import with_examples
from fedtune3d.aggregation.contract import Aggregate, Rule, RuleContext, Update
from fedtune3d.aggregation.site_step import STATE, SiteStep
from fedtune3d.aggregation.sums import on_sums
from fedtune3d.federation.arrived_updates import ArrivedUpdates
from fedtune3d.federation.best_round import is_best, mean_auc_error
from fedtune3d.federation.ledger import LedgerLine, SecureSum, SiteEntry, Validation
from fedtune3d.federation.ledger_entries import entry_of
from fedtune3d.federation.messages import Answer, Federation, Task
from fedtune3d.federation.round_settings import RoundSettings
from fedtune3d.federation.round_state import RoundsFolder, RoundState
from fedtune3d.federation.secure_round import AttemptFailed, SecureRound
from fedtune3d.federation.step_messages import with_step
from fedtune3d.federation.tasks.score import Score
from fedtune3d.federation.update_checks import change_norm, out_of_line, reason_to_refuse
from fedtune3d.training.settings import BestRound


class QuorumLostError(InputError):
    """Too few sites answered in every attempt at a round; the state of the previous round is saved."""


def run_rounds(
    federation: Federation,
    rule: Rule,
    folder: RoundsFolder,
    settings: RoundSettings,
    initial_state: State,
    context: RuleContext,
    on_round: Callable[[int, int], None] = lambda done, total: None,
) -> RoundState:
    """Run the remaining rounds, then score the last state. A finished run is continued if it now has more rounds.

    The sites score the global state after round t at the start of round t + 1 (after the last round, in a separate
    task), so a round costs each site one message. Which state is the best is decided by
    `best_round.is_best`, from the mean validation AUC over the sites at which it is defined.

    Raises:
        QuorumLostError: If a round has no quorum after all retries.
        InputError: If the rule cannot be used in this context.
    """
    round_state = open_rounds(rule, folder, settings, initial_state, context)
    on_round(round_state.round, settings.rounds)
    while not round_state.finished:
        before = round_state.round
        round_state = next_round(federation, rule, folder, settings, round_state)
        if round_state.round > before:
            on_round(round_state.round, settings.rounds)
    folder.discard_updates()  # a process killed between a commit and this leaves them
    return round_state


def open_rounds(
    rule: Rule, folder: RoundsFolder, settings: RoundSettings, initial_state: State, context: RuleContext
) -> RoundState:
    """Return the state after the last round in the folder; a new folder gets the initial state.

    Raises:
        InputError: If the rule cannot be used in this context.
    """
    round_state = folder.load()
    if round_state is None:
        state, memory = rule.start(initial_state, context)
        round_state = folder.commit(RoundState(round=0, state=state, memory=memory))
    if round_state.finished and round_state.round < settings.rounds:
        round_state = folder.reopen(round_state)
    return round_state


def next_round(
    federation: Federation,
    rule: Rule,
    folder: RoundsFolder,
    settings: RoundSettings,
    before: RoundState,
    began: float | None = None,
) -> RoundState:
    """Run one round, or score the state after the last one, and save it.

    Args:
        federation: The sites.
        rule: The aggregation rule.
        folder: Where the round is saved.
        settings: Settings of the rounds.
        before: The state before the round, not finished.
        began: Time by `time.monotonic()` at which the sites were asked; None if this call asks them first.

    Raises:
        QuorumLostError: As `run_rounds`.
    """
    this = _round(federation, rule, folder, settings, before)
    began = time.monotonic() if began is None else began
    return _train(this, began) if before.round < settings.rounds else _score_last(this, began)


def tasks_of_round(
    federation: Federation, rule: Rule, folder: RoundsFolder, settings: RoundSettings, before: RoundState
) -> dict[str, Task]:
    """Return the tasks that `next_round` asks first where the server sees each update."""
    return _round(federation, rule, folder, settings, before).tasks()


def _round(
    federation: Federation, rule: Rule, folder: RoundsFolder, settings: RoundSettings, before: RoundState
) -> "_Round":
    trains = settings.chosen(federation.sites, before.round + 1) if before.round < settings.rounds else ()
    steps = {site: rule.site_step(before.memory, site) for site in trains}
    return _Round(federation, rule, folder, settings, before, steps)


def _train(this: "_Round", began: float) -> RoundState:
    """Run a round in which sites train."""
    rule, folder, settings, before = this.rule, this.folder, this.settings, this.before
    round_ = before.round + 1
    outcome = _visible_outcome(this) if settings.secure_experiment is None else _hidden_outcome(this)
    validation = _validate(before.round, outcome.entries)
    with ThreadPoolExecutor(1) as beside:  # the disk is written while the next state is computed
        kept = beside.submit(_keep_if_best, folder, before, validation, settings.best_round)
        aggregate = outcome.aggregate()
    weights = aggregate.weights or {}
    line = LedgerLine(
        round=round_,
        kind="train",
        seconds=round(time.monotonic() - began, 3),
        sites={
            site: replace(entry, weight=weights.get(site), signals=aggregate.signals.get(site, {}))
            for site, entry in outcome.entries.items()
        },
        validation=validation,
        rule=rule.name,
        signals=aggregate.round_signals,
        faults_before=outcome.faults_before,
        secure=outcome.secure,
    )
    round_state = kept.result()
    versions = round_state.versions | dict.fromkeys(outcome.accepted, round_)
    next_state = replace(round_state, round=round_, state=aggregate.state, memory=aggregate.memory, versions=versions)
    next_state = folder.commit(next_state, line)
    folder.discard_updates()
    return next_state


@dataclass(frozen=True)
class _Round:
    """A round and what its attempts share: the state before it, and site → the rule's part of those that train."""

    federation: Federation
    rule: Rule
    folder: RoundsFolder
    settings: RoundSettings
    before: RoundState
    steps: Mapping[str, SiteStep]

    @property
    def quorum(self) -> int:
        return self.settings.needed(len(self.steps))

    def tasks(self, attempt: int | None = None) -> dict[str, Task]:
        """Create a training task for each site that trains and a scoring task for the others, to compare rounds.

        Args:
            attempt: The number of the attempt under secure aggregation.
        """
        before = self.before
        best_versions = before.best.versions if before.best else {}
        tasks = {}
        for site in self.federation.sites:
            accepted = before.versions.get(site, 0)
            task = Task(
                Score(),
                round=before.round + 1,
                parts={STATE: before.state},
                memory_version=before.versions.get(site),
                oldest_version=min(accepted, best_versions.get(site, accepted)),
                deadline_seconds=self.settings.deadline_seconds,
            )
            if site in self.steps:
                task = with_step(task, self.rule.name, self.steps[site], attempt)
            tasks[site] = task
        return tasks

    def lost_quorum(self, faults: list[dict[str, str]], why: str = "") -> QuorumLostError:
        """Say that every attempt failed, with the faults of the last."""
        reasons = "; ".join(f"{site}: {reason}" for site, reason in sorted(faults[-1].items()))
        return QuorumLostError(
            f"{why}round {self.before.round + 1} needs updates from {self.quorum} of {len(self.steps)} sites, but "
            f"received too few in {len(faults)} attempts ({reasons}); round {self.before.round} is saved; fix the "
            "sites and run again with --resume"
        )


@dataclass(frozen=True)
class _Outcome:
    """The result of a round's attempts.

    Attributes:
        aggregate: Computes the next state.
        entries: Site → its entry for the ledger.
        accepted: The sites whose updates are in the state.
        faults_before: Site → fault, for each attempt before the one that succeeded.
        secure: How the updates were added up unseen; None if the server saw them.
    """

    aggregate: Callable[[], Aggregate]
    entries: dict[str, SiteEntry]
    accepted: tuple[str, ...]
    faults_before: tuple[dict[str, str], ...]
    secure: SecureSum | None = None


def _visible_outcome(this: _Round) -> _Outcome:
    """Collect updates that the server sees, for the rule. Raises `QuorumLostError`."""
    faults: list[dict[str, str]] = []
    for _ in range(this.settings.retries + 1):
        collected = _collect(this)
        if len(collected.updates) >= this.quorum:
            aggregate = partial(this.rule.aggregate, this.before.state, collected.updates, this.before.memory)
            accepted = tuple(update.site for update in collected.updates)
            return _Outcome(aggregate, collected.entries, accepted, tuple(faults))
        faults.append({site: entry.fault for site, entry in collected.entries.items() if entry.fault})
    raise this.lost_quorum(faults)


def _hidden_outcome(this: _Round) -> _Outcome:
    """Have the sites' updates added up unseen, and apply the rule to the sum. Raises `QuorumLostError`."""
    secure_round = SecureRound(
        this.federation,
        on_sums(this.rule),
        this.folder,
        str(this.settings.secure_experiment),
        this.before,
        this.steps,
        this.tasks,
        this.quorum,
        this.settings.max_share,
    )
    faults: list[dict[str, str]] = []
    for _ in range(this.settings.retries + 1):
        try:
            found = secure_round.attempt()
        except AttemptFailed as failed:
            faults.append(failed.faults)
            reason = str(failed)
        else:
            return _Outcome(_computed(found.aggregate), found.entries, found.accepted, tuple(faults), found.secure)
    raise this.lost_quorum(faults, f"secure aggregation: {reason}; ")


def _computed(aggregate: Aggregate) -> Callable[[], Aggregate]:
    return lambda: aggregate


@dataclass
class _Collected:
    updates: list[Update]
    entries: dict[str, SiteEntry]


def _collect(this: _Round) -> _Collected:
    """Collect answers, refuse invalid updates on arrival, and keep the others, few of them in memory."""
    tasks, reference, settings = this.tasks(), this.before.state, this.settings
    arrived = ArrivedUpdates(this.folder.paths, len(this.steps))
    updates, entries, norms = [], {}, {}
    for reply in this.federation.ask(tasks):
        site, step = reply.site, this.steps.get(reply.site)
        entry = entry_of(reply, tasks[site])
        if isinstance(reply, Answer) and step is not None:
            if fault := reason_to_refuse(reply, reference, step, settings.max_norm):
                entry = _refused(entry, fault)
            else:
                entry = replace(entry, participated=True)
                updates.append(arrived.add(reply))
                norms[site] = change_norm(reply.parts[STATE], reference)
        entries[site] = entry
        del reply  # free it before the next one arrives
    updates = with_examples(sorted(updates, key=lambda update: update.site))  # whatever came first
    per_step = {update.site: norms[update.site] / settings.local_steps(update.examples) for update in updates}
    refused = out_of_line(per_step, settings.max_norm_ratio)
    entries |= {site: _refused(entries[site], fault) for site, fault in refused.items()}
    return _Collected([update for update in updates if update.site not in refused], dict(sorted(entries.items())))


def _refused(entry: SiteEntry, fault: str) -> SiteEntry:
    """The ledger entry of a site whose update is refused: nothing that it reports counts."""
    return SiteEntry(bytes_down=entry.bytes_down, bytes_up=entry.bytes_up, fault=fault)


def _validate(state_round: int, entries: Mapping[str, SiteEntry]) -> Validation:
    """Compute the validation of the received state: mean AUC over sites, mean loss over all validation scans."""
    scores = [entry.received for entry in entries.values() if entry.received is not None]
    aucs = [score.auc for score in scores if score.auc is not None]
    losses = [(score.loss, score.examples) for score in scores if score.loss is not None]
    scans = sum(examples for _, examples in losses)
    return Validation(
        state_round=state_round,
        mean_auc=sum(aucs) / len(aucs) if aucs else None,
        pooled_loss=sum(loss * examples for loss, examples in losses) / scans if scans else None,
        auc_error=mean_auc_error(scores),
    )


def _keep_if_best(
    folder: RoundsFolder, round_state: RoundState, validation: Validation, choice: BestRound
) -> RoundState:
    """Save the state if it is the best so far, except that of round 0, which may score well only by chance."""
    earlier = [past for past in round_state.validations if past.state_round > 0]
    if round_state.round == 0 or not is_best(validation, earlier, choice):
        return round_state
    return folder.save_best(round_state, validation)


def _score_last(this: _Round, began: float) -> RoundState:
    """Score the last state in a round in which no site trains."""
    last, tasks = this.before, this.tasks()
    entries = {reply.site: entry_of(reply, tasks[reply.site]) for reply in this.federation.ask(tasks)}
    line = LedgerLine(
        round=last.round + 1,
        kind="score",
        seconds=round(time.monotonic() - began, 3),
        sites=dict(sorted(entries.items())),
        validation=_validate(last.round, entries),
    )
    kept = _keep_if_best(this.folder, last, line.validation, this.settings.best_round)
    return this.folder.commit(replace(kept, finished=True), line)
