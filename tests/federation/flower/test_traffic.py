"""What a site sends, caught on the wire of a SuperLink without TLS, decoded, and held against its egress manifest."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("flwr")

from flwr.app import Array, ConfigRecord
from flwr.app.message.arraychunk import ArrayChunk
from flwr.proto.message_pb2 import PushObjectRequest
from flwr.supercore.inflatable.inflatable_object import (
    get_object_children_ids_from_object_content,
    get_object_type_from_object_content,
)


def requests(stream: bytes) -> list[tuple[str, bytes]]:
    """The path and body of each HTTP/1.1 request on a connection."""
    found = []
    while stream:
        head, _, rest = stream.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        fields = {key.lower(): value.strip() for key, _, value in (line.partition(":") for line in lines[1:])}
        length = int(fields.get("content-length", 0))
        assert "transfer-encoding" not in fields
        found.append((lines[0].split()[1], rest[:length]))
        stream = rest[length:]
    return found


@pytest.fixture(scope="module")
def caught(deploy: Callable[..., Any], forward: Callable[[str], Any]) -> tuple[Any, list[tuple[str, bytes]]]:
    """A whole run on a SuperLink without TLS, site A reached through a tap."""
    deployment = deploy(insecure=True)
    tap = forward(deployment.address)
    deployment.configure("A", server=tap.address)
    for name in deployment.roots:
        deployment.join(name)
    server = deployment.serve(deployment.write("plain"))
    assert server.wait() == 0, server.text
    return deployment, [request for stream in tap.sent for request in requests(bytes(stream))]


@pytest.mark.slow
def test_the_objects_on_the_wire_are_those_of_the_manifest(caught: tuple[Any, list[tuple[str, bytes]]]) -> None:
    deployment, sent = caught
    objects: dict[str, bytes] = {}
    for path, body in sent:
        if path == "/v1/fleet/push-object":
            request = PushObjectRequest.FromString(body)
            objects[request.object_id] = request.object_content
    arrays, texts = [], []
    for content in objects.values():
        kind = get_object_type_from_object_content(content)
        if kind == "Array":
            children = {
                child: ArrayChunk.inflate(objects[child])
                for child in get_object_children_ids_from_object_content(content)
            }
            array = Array.inflate(content, children)
            arrays.append((array.dtype, list(array.shape), len(array.data), hashlib.sha256(array.data).hexdigest()))
        elif kind == "ConfigRecord":
            texts.append(str(ConfigRecord.inflate(content)["body"]))
        else:
            assert kind in ("ArrayChunk", "ArrayRecord", "RecordDict", "Message")
    lines = [line for line in deployment.left("A") if line["kind"] != "fault"]
    listed = [(t["dtype"], t["shape"], t["bytes"], t["sha256"]) for line in lines for t in line["tensors"]]
    assert {tuple(map(str, array)) for array in arrays} == {tuple(map(str, tensor)) for tensor in listed}
    assert sum(array[2] for array in arrays) == sum(tensor[2] for tensor in listed) == 3080
    values = {(len(text.encode()), hashlib.sha256(text.encode()).hexdigest()) for text in texts}
    faults = {(0, hashlib.sha256(b"").hexdigest())}  # the answer to the question for its name holds no values
    assert values - faults == {(line["values"]["bytes"], line["values"]["sha256"]) for line in lines} - faults


@pytest.mark.slow
def test_no_scan_label_person_or_path_is_on_the_wire(caught: tuple[Any, list[tuple[str, bytes]]]) -> None:
    deployment, sent = caught
    everything = b"".join(path.encode() + body for path, body in sent)
    root = deployment.roots["A"]
    people = sorted(folder.name for folder in root.glob("sub-*"))
    assert len(people) == 6
    places = (str(root), str(root.parent), str(deployment.folder))
    for word in (*people, "sub-", ".nii", "participant_id", "diagnosis", '"AD"', '"CN"', *places):
        assert word.encode() not in everything, word
    prepared = list((deployment.site_folder("A") / "work").rglob("prepared/*.npy"))
    features = list((deployment.site_folder("A") / "work").rglob("features/??/*.safetensors"))
    assert len(prepared) == len(features) == 6
    for path in (*prepared, *features, *root.rglob("*.nii.gz")):
        content = path.read_bytes()
        middle = len(content) // 2
        assert content[middle : middle + 64] not in everything, path
        assert path.stem not in everything.decode("latin-1")


@pytest.mark.slow
def test_the_values_that_left_hold_counts_and_scores_only(caught: tuple[Any, Any]) -> None:
    deployment, _ = caught
    train = next(line for line in deployment.left("A") if line["kind"] == "train")["values"]["json"]
    counts = {"examples", "people", "validation_people", "seconds", "peak_memory_bytes"}
    numbers = {"loss", "received", "sent", "scores", "scalars", "received_training_loss"}
    assert set(train) == counts | numbers | {"keys", "spent"}
    assert (train["keys"], train["spent"]) == (None, None)  # of secure aggregation and of differential privacy
    evaluated = next(line for line in deployment.left("A") if line["kind"] == "evaluate")["values"]["json"]["summary"]
    assert evaluated["test"]["predictions"] is None
    assert "labels" not in json.dumps(evaluated)


def test_requests_on_one_connection_are_told_apart() -> None:
    stream = b"POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcPOST /b HTTP/1.1\r\ncontent-length: 0\r\n\r\n"
    assert requests(stream) == [("/a", b"abc"), ("/b", b"")]
