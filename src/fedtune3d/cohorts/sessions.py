"""Which of a person's sessions are taken."""

from collections.abc import Iterable

from fedtune3d.cohorts.people import People, natural, prefixed


def order_sessions(participant: str, sessions: Iterable[str], people: People) -> list[str]:
    """Sessions by ``acq_time`` where every one of them has it in sessions.tsv, else by name, digits as numbers."""
    by_name = sorted(sessions, key=natural)
    times = {session: people.acquired(participant, session) for session in by_name}
    known = {session: time for session, time in times.items() if time is not None}
    return sorted(by_name, key=known.__getitem__) if len(known) == len(by_name) else by_name


def choose_sessions(ordered: list[str], wanted: str | tuple[str, ...]) -> list[str]:
    """The wanted ones of a person's sessions: ``all``, the ``first``, the ``last``, or names, with ses- or without."""
    if wanted == "all":
        return ordered
    if wanted in ("first", "last"):
        return ordered[:1] if wanted == "first" else ordered[-1:]
    names = {prefixed("ses-", name) for name in ((wanted,) if isinstance(wanted, str) else wanted)}
    return [session for session in ordered if session in names]
