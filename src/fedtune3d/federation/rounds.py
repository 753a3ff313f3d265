"""The round loop: tasks out, updates in, the rule's next state, saved before the next round begins."""

import math
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.state_dicts import State, load_state, save_state
from fedtune3d.aggregation.contract import Rule, RuleContext, Update
from fedtune3d.aggregation.site_step import STATE, SiteStep
from fedtune3d.federation.ledger import LedgerLine, SiteEntry, Validation
from fedtune3d.federation.messages import Answer, Fault, Federation, Task, parts_bytes
from fedtune3d.federation.participation import choose_participants
from fedtune3d.federation.round_state import RoundsFolder, RoundState
from fedtune3d.federation.step_messages import with_step
from fedtune3d.federation.tasks.score import Score, ScoreAnswer
from fedtune3d.federation.tasks.train import TrainAnswer
from fedtune3d.federation.update_checks import reason_to_refuse


class QuorumLostError(InputError):
    """Too few sites answered a round, in every try; the state of the round before is saved."""


@dataclass(frozen=True)
class RoundSettings:
    """How many rounds, who takes part, and what is accepted.

    Attributes:
        rounds: Rounds to run.
        seed: The run's seed, from which the participants of each round are drawn.
        fraction: Share of the sites that trains in each round.
        quorum: Fewest accepted updates for a round to count; None for half of those asked, rounded up.
        deadline_seconds: Seconds that a site has for a task; None for no limit.
        retries: How often a round without a quorum is tried again before the run stops.
        max_norm: The greatest accepted norm of a site's change.
        participants: Who trains in a round, instead of a drawn share: a run can follow another's record.
    """

    rounds: int
    seed: int = 0
    fraction: float = 1.0
    quorum: int | None = None
    deadline_seconds: float | None = None
    retries: int = 1
    max_norm: float = 1e6
    participants: Callable[[int], tuple[str, ...]] | None = None

    def chosen(self, sites: tuple[str, ...], round_: int) -> tuple[str, ...]:
        """The sites that are asked to train in a round, sorted."""
        if self.participants is not None:
            return tuple(sorted(self.participants(round_)))
        return choose_participants(sites, self.fraction, self.seed, round_)

    def needed(self, asked: int) -> int:
        """The quorum among `asked` sites."""
        return math.ceil(asked / 2) if self.quorum is None else min(self.quorum, asked)


def run_rounds(
    federation: Federation,
    rule: Rule,
    folder: RoundsFolder,
    settings: RoundSettings,
    initial_state: State,
    context: RuleContext,
    on_round: Callable[[int, int], None] = lambda done, total: None,
) -> RoundState:
    """Run all rounds that are not done yet, then score the last state. Finished rounds continue where more are wanted.

    The global state after round t is scored by the sites at the start of round t + 1 (after the last round by a task of
    its own), so a round costs each site one message. The best state is the one with the greatest mean validation AUC
    over the sites that have one; ties go to the lower pooled loss, then to the earlier round.

    Raises:
        QuorumLostError: When a round has no quorum after all retries.
        InputError: When the rule does not suit the context.
    """
    round_state = folder.load()
    if round_state is None:
        state, memory = rule.start(initial_state, context)
        round_state = RoundState(round=0, state=state, memory=memory)
        round_state = folder.commit(round_state)
    if round_state.finished and round_state.round < settings.rounds:
        round_state = folder.reopen(round_state)
    on_round(round_state.round, settings.rounds)
    while round_state.round < settings.rounds:
        round_state = _one_round(federation, rule, folder, settings, round_state)
        on_round(round_state.round, settings.rounds)
    if not round_state.finished:
        round_state = _score_last(federation, folder, settings, round_state)
    return round_state


def _one_round(
    federation: Federation, rule: Rule, folder: RoundsFolder, settings: RoundSettings, round_state: RoundState
) -> RoundState:
    began = time.monotonic()
    round_ = round_state.round + 1
    chosen = settings.chosen(federation.sites, round_)
    steps = {site: rule.site_step(round_state.memory, site) for site in chosen}
    faults_before: list[dict[str, str]] = []
    for _ in range(settings.retries + 1):
        tasks = _training_tasks(federation.sites, rule.name, steps, round_state, settings)
        collected = _collect(federation, folder, tasks, steps, round_state.state, settings.max_norm)
        if len(collected.updates) >= settings.needed(len(chosen)):
            break
        faults_before.append({site: entry.fault for site, entry in collected.entries.items() if entry.fault})
    else:
        raise QuorumLostError(_quorum_message(round_, chosen, settings, faults_before))
    aggregate = rule.aggregate(round_state.state, collected.updates, round_state.memory)
    weights = aggregate.weights or {}
    line = LedgerLine(
        round=round_,
        kind="train",
        seconds=round(time.monotonic() - began, 3),
        sites={
            site: replace(entry, weight=weights.get(site), signals=aggregate.signals.get(site, {}))
            for site, entry in collected.entries.items()
        },
        validation=_validate(round_state.round, collected.entries),
        rule=rule.name,
        signals=aggregate.round_signals,
        faults_before=tuple(faults_before),
    )
    round_state = _keep_if_best(folder, round_state, line.validation)
    versions = round_state.versions | {update.site: round_ for update in collected.updates}
    after = replace(round_state, round=round_, state=aggregate.state, memory=aggregate.memory, versions=versions)
    after = folder.commit(after, line)
    shutil.rmtree(folder.spool, ignore_errors=True)
    return after


def _training_tasks(
    sites: tuple[str, ...],
    rule_name: str,
    steps: Mapping[str, SiteStep],
    round_state: RoundState,
    settings: RoundSettings,
) -> dict[str, Task]:
    """A training task for each chosen site; the others score the state, so that rounds can be compared."""
    best_versions = round_state.best.versions if round_state.best else {}
    tasks = {}
    for site in sites:
        accepted = round_state.versions.get(site, 0)
        task = Task(
            Score(),
            round=round_state.round + 1,
            parts={STATE: round_state.state},
            memory_version=round_state.versions.get(site),
            oldest_version=min(accepted, best_versions.get(site, accepted)),
            deadline_seconds=settings.deadline_seconds,
        )
        if site in steps:
            task = with_step(task, rule_name, steps[site])
        tasks[site] = task
    return tasks


@dataclass
class _Collected:
    updates: list[Update]
    entries: dict[str, SiteEntry]


def _collect(
    federation: Federation,
    folder: RoundsFolder,
    tasks: Mapping[str, Task],
    steps: Mapping[str, SiteStep],
    reference: State,
    max_norm: float,
) -> _Collected:
    """Ask, refuse what cannot be accepted, and spool the rest to disk on arrival: one update is held at a time."""
    shutil.rmtree(folder.spool, ignore_errors=True)
    updates, entries = [], {}
    for reply in federation.ask(tasks):
        site, step = reply.site, steps.get(reply.site)
        entry = _entry(reply, tasks[site])
        if isinstance(reply, Answer) and step is not None:
            fault = reason_to_refuse(reply, reference, step, max_norm)
            entry = replace(entry, fault=fault, participated=fault is None)
            if fault is None:
                updates.append(_spooled(reply, folder))
        entries[site] = entry
        del reply  # before the next one comes
    return _Collected(updates, dict(sorted(entries.items())))


def _entry(reply: Answer | Fault, task: Task) -> SiteEntry:
    """The ledger's entry of a site before its update is checked and weighed."""
    if isinstance(reply, Fault):
        return SiteEntry(bytes_down=parts_bytes(task.parts), fault=reply.reason)
    entry = SiteEntry(bytes_down=parts_bytes(task.parts), bytes_up=parts_bytes(reply.parts))
    payload = reply.payload
    if isinstance(payload, ScoreAnswer):
        return replace(entry, received=payload.received)
    if isinstance(payload, TrainAnswer):
        return replace(
            entry,
            examples=payload.examples,
            loss=payload.loss,
            received=payload.received,
            sent=payload.sent,
            seconds=payload.seconds,
            peak_memory_bytes=payload.peak_memory_bytes,
        )
    return entry


def _spooled(answer: Answer, folder: RoundsFolder) -> Update:
    paths = {part: folder.paths.update(answer.site, part) for part in answer.parts}
    for part, path in paths.items():
        save_state(path, answer.parts[part], durable=False)  # a resumed run drops the spool
    load = partial(_load_part, paths)
    payload = answer.expect(TrainAnswer)
    return Update(answer.site, payload.examples, load, payload.scores, payload.received_training_loss)


def _load_part(paths: Mapping[str, Path], part: str) -> State:
    return load_state(paths[part])


def _validate(state_round: int, entries: Mapping[str, SiteEntry]) -> Validation:
    """Validation of the state that the sites received: mean AUC over sites, mean loss over all validation scans."""
    scores = [entry.received for entry in entries.values() if entry.received is not None]
    aucs = [score.auc for score in scores if score.auc is not None]
    losses = [(score.loss, score.examples) for score in scores if score.loss is not None]
    scans = sum(examples for _, examples in losses)
    return Validation(
        state_round=state_round,
        mean_auc=sum(aucs) / len(aucs) if aucs else None,
        pooled_loss=sum(loss * examples for loss, examples in losses) / scans if scans else None,
    )


def _keep_if_best(folder: RoundsFolder, round_state: RoundState, validation: Validation) -> RoundState:
    """The untrained state of round 0 is never the best: on a small validation set it could be, by luck."""
    if round_state.round == 0 or (round_state.best and round_state.best.validation.rank >= validation.rank):
        return round_state
    return folder.save_best(round_state, validation)


def _score_last(
    federation: Federation, folder: RoundsFolder, settings: RoundSettings, round_state: RoundState
) -> RoundState:
    began = time.monotonic()
    tasks = _training_tasks(federation.sites, "", {}, round_state, settings)
    entries = {reply.site: _entry(reply, tasks[reply.site]) for reply in federation.ask(tasks)}
    line = LedgerLine(
        round=round_state.round + 1,
        kind="score",
        seconds=round(time.monotonic() - began, 3),
        sites=dict(sorted(entries.items())),
        validation=_validate(round_state.round, entries),
    )
    round_state = replace(_keep_if_best(folder, round_state, line.validation), finished=True)
    return folder.commit(round_state, line)


def _quorum_message(round_: int, chosen: tuple[str, ...], settings: RoundSettings, faults: list[dict[str, str]]) -> str:
    reasons = "; ".join(f"{site}: {reason}" for site, reason in sorted(faults[-1].items()))
    return (
        f"round {round_} needs updates of {settings.needed(len(chosen))} of {len(chosen)} sites, but in {len(faults)} "
        f"tries too few came ({reasons}); round {round_ - 1} is saved, mend the sites and run again with --resume"
    )
