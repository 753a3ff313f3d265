"""Checks of names in user input, with the closest match in the message."""

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str], min_similarity: float = 0.5) -> str:
    """Return ``, did you mean 'x'?`` for the known word nearest to `word` (case ignored), or an empty string.

    Half of the letters may differ by default; of words as short as diagnoses, one letter in two says little.

    >>> did_you_mean("FedAgv", ["fedavg", "scaffold"])
    ", did you mean 'fedavg'?"
    """
    by_lower_case = {name.lower(): name for name in known}
    nearest = difflib.get_close_matches(word.lower(), by_lower_case, n=1, cutoff=min_similarity)
    return f", did you mean {by_lower_case[nearest[0]]!r}?" if nearest else ""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """Return the line that refuses a name: ``unknown rule 'x', did you mean 'y'? (known: …)``."""
    names = list(known)
    return f"unknown {kind} {name!r}{did_you_mean(name, names)} (known: {', '.join(names)})"


def known_name(name: str, known: Iterable[str]) -> str:
    """Return the name if it is one of `known`. Raises `ValueError` with the closest known name otherwise."""
    if name not in (names := sorted(known)):
        raise ValueError(unknown_name("name", name, names))
    return name
