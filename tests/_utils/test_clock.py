"""Times in ledgers."""

from datetime import UTC, datetime, timedelta

from fedtune3d._utils.clock import timestamp


def test_a_timestamp_is_now_and_says_its_offset() -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    written = datetime.fromisoformat(timestamp())
    assert written.utcoffset() is not None
    assert before <= written <= datetime.now(UTC) < written + timedelta(seconds=60)
