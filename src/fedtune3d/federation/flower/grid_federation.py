"""The federation's sites behind Flower's grid, as the round loop sees them."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping

import httpx
from flwr.app import Message, MessageType, RecordDict
from flwr.serverapp import Grid

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.foreign_text import one_line
from fedtune3d.federation.flower.wire import Occasion, TensorCache, WireError, pack_task, site_of, unpack_answer
from fedtune3d.federation.messages import Answer, Fault, Task

POLL_SECONDS = 0.3
LIFE_SECONDS = 7 * 24 * 3600.0
MARGIN_SECONDS = 5.0  # so that Flower does not drop a message before our deadline
MESSAGE_TYPES = {"train": MessageType.TRAIN, "score": MessageType.EVALUATE, "evaluate": MessageType.EVALUATE}


class GridFederation:
    """Reach sites through Flower messages.

    Outside the rounds (planning, evaluation) the server waits for every site, with no deadline for the answer, as a
    site may first have to prepare its scans. During the rounds, a site that is not connected is a fault at once, and
    a site that has not answered by the deadline becomes one.

    Args:
        grid: The grid of a running ServerApp.
        sites: The site names in the experiment.
        occasion: Returns the experiment that tasks belong to; called when the first task is sent.
        authenticated: Whether Flower has verified the sites' identities; if not, sites are asked for their names.
        wait_seconds: How long to wait for sites to connect outside the rounds; None to wait forever.
        on_wait: Called with the names of the missing sites whenever these change.
    """

    def __init__(
        self,
        grid: Grid,
        sites: Iterable[str],
        occasion: Callable[[], Occasion],
        *,
        authenticated: bool = True,
        wait_seconds: float | None = None,
        on_wait: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._grid = grid
        self._sites = tuple(sorted(sites))
        self._occasion = occasion
        self._authenticated = authenticated
        self._wait_seconds = wait_seconds
        self._on_wait = on_wait
        self._claimed: dict[int, str] = {}

    @property
    def sites(self) -> tuple[str, ...]:
        """The names of the sites, sorted."""
        return self._sites

    def ask(self, tasks: Mapping[str, Task]) -> Iterator[Answer | Fault]:
        """Yield one answer or fault per site, as they arrive."""
        first = next(iter(tasks.values()))
        seconds = first.deadline_seconds
        until = None if seconds is None else time.monotonic() + seconds
        nodes = self._nodes() if first.round else self._wait_for(tasks)
        for site in sorted(tasks.keys() - nodes.keys()):
            yield Fault(site, "is not connected")
        waiting = self._send({site: task for site, task in sorted(tasks.items()) if site in nodes}, nodes, seconds)
        for site in sorted(nodes.keys() & tasks.keys() - set(waiting.values())):
            yield Fault(site, "the SuperLink did not accept the message")
        while waiting:
            for message_id, site in list(waiting.items()):
                if (reply := self._pull(message_id, tasks[site], site)) is not None:
                    del waiting[message_id]
                    yield reply
                    del reply  # free it before the next one is pulled
            if until is not None and time.monotonic() > until:
                break
            if waiting:
                time.sleep(POLL_SECONDS)
        for site in sorted(waiting.values()):
            yield Fault(site, f"did not answer within the deadline of {seconds:g} s")

    def _send(self, tasks: Mapping[str, Task], nodes: Mapping[str, int], seconds: float | None) -> dict[str, str]:
        """Send each site its task. Returns message id → site."""
        cache, occasion = TensorCache(), self._occasion()
        sent: dict[str, str] = {}
        for site, task in tasks.items():
            message = Message(
                pack_task(task, occasion, cache.array),
                nodes[site],
                MESSAGE_TYPES.get(task.kind, MessageType.QUERY),
                ttl=LIFE_SECONDS if seconds is None else seconds + MARGIN_SECONDS,
                group_id=str(task.round),
            )
            sent |= {message_id: site for message_id in self._grid.push_messages([message]) if message_id}
        return sent

    def _pull(self, message_id: str, task: Task, site: str) -> Answer | Fault | None:
        """Return the reply to a message; None if it has not arrived yet."""
        try:
            replies = list(self._grid.pull_messages([message_id]))
        except httpx.HTTPError:
            raise  # the SuperLink's fault, not the site's
        except Exception as error:
            return Fault(site, f"the reply is not a valid Flower message ({type(error).__name__})")
        if not replies:
            return None
        if replies[0].has_error():
            return Fault(site, one_line(f"Flower: {replies[0].error.reason}"))
        return unpack_answer(replies[0].content, task, site, self._occasion().sha256)

    def _wait_for(self, tasks: Mapping[str, Task]) -> dict[str, int]:
        """Wait for the sites to connect; return the nodes of those connected when all are, or when time is up."""
        until = math.inf if self._wait_seconds is None else time.monotonic() + self._wait_seconds
        reported = ""
        while True:
            nodes = self._nodes()
            missing = ", ".join(sorted(tasks.keys() - nodes.keys()))
            if missing != reported:
                self._on_wait(missing)
                reported = missing
            if not missing or time.monotonic() > until:
                return nodes
            time.sleep(POLL_SECONDS)

    def _nodes(self) -> dict[str, int]:
        """Map each connected site to its node id."""
        online = {node.node_id: node.name for node in self._grid.get_nodes()}
        if not self._authenticated:
            self._ask_names(online.keys() - self._claimed.keys())
            online = {node_id: self._claimed.get(node_id, "") for node_id in online}
        return {name: node_id for node_id, name in online.items() if name in self._sites}

    def _ask_names(self, node_ids: Iterable[int]) -> None:
        """Ask unauthenticated nodes for the names of their sites."""
        for node_id in sorted(node_ids):
            question = Message(RecordDict(), node_id, MessageType.QUERY)
            for reply in self._grid.send_and_receive([question], timeout=60):
                try:
                    self._claimed[node_id] = "" if reply.has_error() else site_of(reply.content)
                except WireError as error:
                    raise InputError(f"a node did not give its site's name: {error}") from None
