"""A site's app: what arrives at it, and what it makes of a message that is none of its own."""

import time
from pathlib import Path

import pytest
import yaml

flwr = pytest.importorskip("flwr.app")

from flwr.app.message.message import make_message  # noqa: E402

from fedtune3d.federation.flower.client_app import _answer, make_client_app  # noqa: E402
from fedtune3d.federation.flower.wire import unpack_answer  # noqa: E402
from fedtune3d.federation.messages import Fault, Task  # noqa: E402
from fedtune3d.federation.tasks.count_scans import CountScans  # noqa: E402
from fedtune3d.workflows.sites import make_hosted_site  # noqa: E402


@pytest.fixture
def context(tmp_path: Path) -> "flwr.Context":
    """What Flower tells the app of site A."""
    (tmp_path / "site.yaml").write_text(yaml.safe_dump({"name": "A", "server": "localhost:1", "data": "bids"}))
    (tmp_path / "work").mkdir()
    config = {"site-folder": str(tmp_path)}
    return flwr.Context(run_id=1, node_id=1, node_config=config, state=flwr.RecordDict(), run_config={})


def message_of(kind: str) -> "flwr.Message":
    """Return an empty message of a type that the server chooses."""
    metadata = flwr.Metadata(
        run_id=1,
        message_id="1",
        src_node_id=0,
        dst_node_id=1,
        reply_to_message_id="",
        group_id="",
        created_at=time.time(),
        ttl=60.0,
        message_type=kind,
    )
    return make_message(metadata, flwr.RecordDict())


@pytest.mark.parametrize("kind", ["query.nonsense", "train.shell", "get_parameters"])
def test_a_message_of_an_unknown_type_ends_alone(context: "flwr.Context", kind: str) -> None:
    app = make_client_app(make_hosted_site)
    reply = _answer(app, message_of(kind), context)
    assert reply.has_error()
    assert reply.error.reason == "refused: not a message of fedtune3d"
    following = _answer(app, message_of("query"), context)
    answered = unpack_answer(following.content, Task(CountScans()), "A", "")
    assert answered == Fault("A", "refused: the message has no JSON under 'head'")
