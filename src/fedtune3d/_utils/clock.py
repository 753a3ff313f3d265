"""The time, as it is written into ledgers."""

from datetime import datetime


def timestamp() -> str:
    """Return the local time with its offset from UTC, in ISO 8601 to the second."""
    return datetime.now().astimezone().isoformat(timespec="seconds")
