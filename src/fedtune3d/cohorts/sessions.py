"""Selection of a person's sessions."""

from collections.abc import Iterable

from fedtune3d.cohorts.people import People, natural, prefixed


def order_sessions(participant: str, sessions: Iterable[str], people: People) -> list[str]:
    """Sort sessions by ``acq_time`` if sessions.tsv has it for all of them, else by name (naturally)."""
    by_name = sorted(sessions, key=natural)
    times = {session: people.acquired(participant, session) for session in by_name}
    known = {session: time for session, time in times.items() if time is not None}
    return sorted(by_name, key=known.__getitem__) if len(known) == len(by_name) else by_name


def choose_sessions(ordered: list[str], selection: str | tuple[str, ...]) -> list[str]:
    """Select from a person's sessions: ``all``, the ``first``, the ``last``, or names, with or without ses-."""
    if selection == "all":
        return ordered
    if selection in ("first", "last"):
        return ordered[:1] if selection == "first" else ordered[-1:]
    names = {prefixed("ses-", name) for name in ((selection,) if isinstance(selection, str) else selection)}
    return [session for session in ordered if session in names]
