"""A site stops reading what is longer than it takes, follows no redirection and expands nothing."""

import gzip
from collections.abc import Callable, Iterator

import httpx
import pytest

from fedtune3d.federation.flower.intake import (
    ALLOWANCE_BYTES,
    UNBOUNDED_BYTES,
    Intake,
    IntakeExceededError,
    message_bound,
)


def client(intake: Intake, answer: Callable[[], httpx.Response]) -> httpx.Client:
    """A guarded client whose server gives the same answer to everything."""
    made = httpx.Client(transport=httpx.MockTransport(lambda request: answer()), follow_redirects=True)
    intake.guard(made)
    return made


def test_the_rest_of_what_is_too_long_is_not_read() -> None:
    made = []

    def pieces() -> Iterator[bytes]:
        for number in range(1000):
            made.append(number)
            yield b"x" * 1000

    intake = Intake(10_000)
    with pytest.raises(IntakeExceededError, match="the message is longer; its rest was not read"):
        client(intake, lambda: httpx.Response(200, content=pieces())).post("http://server/")
    assert intake.exceeded
    assert len(made) <= 12


def test_all_requests_of_a_message_count_together() -> None:
    intake = Intake(2_500)
    asking = client(intake, lambda: httpx.Response(200, content=iter([b"x" * 1000])))
    for _ in range(2):
        assert len(asking.post("http://server/").content) == 1000
    with pytest.raises(IntakeExceededError):
        intake.take(501)
    intake.next_message()
    assert not intake.exceeded
    intake.take(2_500)


@pytest.mark.parametrize("stated", [True, False])
def test_one_object_is_bounded(stated: bool) -> None:
    def large() -> httpx.Response:
        headers = {"content-length": str(9 << 20)} if stated else {}
        return httpx.Response(200, content=iter([b"x" * (1 << 20)] * 9), headers=headers)

    with pytest.raises(IntakeExceededError):
        client(Intake(10**9), large).post("http://server/")


def test_what_is_compressed_is_not_expanded() -> None:
    def bomb() -> httpx.Response:
        return httpx.Response(200, content=gzip.compress(bytes(10**7)), headers={"content-encoding": "gzip"})

    with pytest.raises(IntakeExceededError, match="compressed"):
        client(Intake(10**6), bomb).post("http://server/")


def test_a_redirection_is_not_followed() -> None:
    def elsewhere() -> httpx.Response:
        return httpx.Response(307, headers={"location": "http://intranet.hospital/"})

    assert client(Intake(10**6), elsewhere).post("http://server/").status_code == 307


def test_the_bound_follows_from_the_policy() -> None:
    assert message_bound(100.0) == 100_000_000 + ALLOWANCE_BYTES
    assert message_bound(None) == UNBOUNDED_BYTES
    assert "policy.max_payload_mb is 100" in Intake(message_bound(100.0)).reason
