"""The rounds of sites that each train alone, all at the same time: one ask over all of them per round."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from fedtune3d._utils.state_dicts import State, load_state
from fedtune3d.aggregation.contract import Rule, RuleContext
from fedtune3d.federation.messages import LOCAL, Answer, Fault, Federation, Part, Task
from fedtune3d.federation.round_settings import RoundSettings
from fedtune3d.federation.round_state import RoundsFolder, RoundState
from fedtune3d.federation.rounds import QuorumLostError, next_round, open_rounds, tasks_of_round


@dataclass(frozen=True)
class LoneRounds:
    """The rounds of one site, in the namespace of the local baseline.

    Attributes:
        site: The site as a federation of its own.
        rule: The rule of one site.
        folder: Where its rounds are saved.
        settings: Settings of the rounds.
    """

    site: Part
    rule: Rule
    folder: RoundsFolder
    settings: RoundSettings

    def open(self, initial_state: State, context: RuleContext) -> RoundState:
        """Return the state after the last round that is saved; see `open_rounds`."""
        return self._mapped(open_rounds(self.rule, self.folder, self.settings, initial_state, context))

    def task(self, before: RoundState) -> Task:
        """Return the task of the next round."""
        (task,) = tasks_of_round(self.site, self.rule, self.folder, self.settings, before).values()
        return task

    def advance(self, before: RoundState, reply: Answer | Fault, began: float) -> RoundState:
        """Complete a round with the site's reply to its task. Raises `QuorumLostError` if the site has no update."""
        site = _AskedAhead(self.site, [reply])
        return self._mapped(next_round(site, self.rule, self.folder, self.settings, before, began))

    def _mapped(self, round_state: RoundState) -> RoundState:
        """Map the state from its checkpoint, so that memory does not grow with the number of sites."""
        return replace(round_state, state=load_state(self.folder.last))


@dataclass(frozen=True)
class _AskedAhead:
    """A site whose reply to the first task is here already; any other task is sent to it."""

    site: Part
    replies: list[Answer | Fault]

    @property
    def sites(self) -> tuple[str, ...]:
        return self.site.sites

    def ask(self, tasks: Mapping[str, Task]) -> Iterator[Answer | Fault]:
        if self.replies:
            yield self.replies.pop()
        else:
            yield from self.site.ask(tasks)


def run_lone_rounds(
    federation: Federation,
    folders: Mapping[str, RoundsFolder],
    make_rule: Callable[[], Rule],
    settings: RoundSettings,
    initial_state: State,
    make_context: Callable[[tuple[str, ...]], RuleContext],
    on_round: Callable[[int, int], None],
    on_lost: Callable[[str, QuorumLostError], None],
) -> tuple[str, ...]:
    """Run the remaining rounds of each site; the result is that of `run_rounds` for one site after the other.

    Args:
        federation: The sites.
        folders: Site → where its rounds are saved, for each site that trains.
        make_rule: Creates the rule of one site.
        settings: Settings of the rounds.
        initial_state: The state to start from.
        make_context: Returns what a rule may know of an experiment with these sites.
        on_round: Called with the rounds done and in all, over all sites.
        on_lost: Called with a site that has no update in all attempts at a round; the others continue unless it raises.

    Returns:
        The sites whose rounds are finished, sorted.
    """
    lone = {
        site: LoneRounds(Part(federation, (site,), LOCAL), make_rule(), folder, settings)
        for site, folder in sorted(folders.items())
    }
    states = {site: rounds.open(initial_state, make_context((site,))) for site, rounds in lone.items()}

    def show() -> None:
        on_round(sum(state.round for state in states.values()), settings.rounds * len(states))

    show()
    while waiting := [site for site, state in states.items() if not state.finished]:
        began = time.monotonic()
        tasks = {site: lone[site].task(states[site]) for site in waiting}
        for reply in Part(federation, tuple(waiting), LOCAL).ask(tasks):
            try:
                states[reply.site] = lone[reply.site].advance(states[reply.site], reply, began)
            except QuorumLostError as lost:
                del states[reply.site]
                on_lost(reply.site, lost)
            del reply  # free it before the next one arrives
            show()
    for site in states:
        lone[site].folder.discard_updates()
    return tuple(states)
