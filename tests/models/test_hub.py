"""Fetching the released weights, from a server on this machine that speaks the hub's two endpoints."""

import argparse
import hashlib
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from medim.models.sam_med3d import build_sam3D_vit_b_ori

from fedtune3d._utils.errors import InputError
from fedtune3d.models.encoders.networks.sam_med3d import ImageEncoder3D
from fedtune3d.models.hub import FILE, PAGE, REPOSITORY, HubOrigin, fetch_weights, read_origin
from fedtune3d.models.weights import load_encoder_weights

pytest.importorskip("huggingface_hub")
REVISION = "1f0c" * 10


class Hub(ThreadingHTTPServer):
    """A hub with one repository that holds one file.

    Attributes:
        content: The bytes that it serves.
        sha256: What it states for them; None states none, as for a file outside LFS.
        served: How many of the bytes a download gives; the rest is missing.
        cut: How many bytes the first download gives before the connection breaks; None for all.
        downloads: How often the file was asked for.
    """

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.content = content
        self.sha256: str | None = hashlib.sha256(content).hexdigest()
        self.served = len(content)
        self.cut: int | None = None
        self.downloads = 0

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Answer(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        if self.path != f"/{REPOSITORY}/resolve/{REVISION}/{FILE}":
            return self.send_error(404)
        self._send(200, b"", len(self.server.content))

    def do_GET(self) -> None:
        hub = self.server
        if self.path.partition("?")[0] == f"/api/models/{REPOSITORY}":
            lfs = {"sha256": hub.sha256, "size": len(hub.content), "pointerSize": 134} if hub.sha256 else None
            others = [{"rfilename": "README.md", "size": 5, "blobId": "0" * 40}]
            file = {"rfilename": FILE, "size": len(hub.content), "blobId": "1" * 40, **({"lfs": lfs} if lfs else {})}
            body = json.dumps({"id": REPOSITORY, "sha": REVISION, "siblings": [*others, file]}).encode()
            return self._send(200, body, len(body))
        if self.path != f"/{REPOSITORY}/resolve/{REVISION}/{FILE}":
            return self.send_error(404)
        hub.downloads += 1
        wanted = self.headers.get("Range", "")
        start = int(wanted.removeprefix("bytes=").partition("-")[0] or 0)
        rest = hub.content[start : hub.served]
        if hub.cut is not None and hub.downloads == 1:
            return self._send(200, rest[: hub.cut], len(rest))  # the server closes before all that it announced
        self._send(206 if start else 200, rest, len(rest), start)

    def _send(self, status: int, body: bytes, length: int, start: int = 0) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.send_header("X-Repo-Commit", REVISION)
        self.send_header("ETag", f'"{self.server.sha256}"')
        if status == 206:
            end = len(self.server.content)
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{end}")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A checkpoint in the released format: the reference's own model class, narrower, its random weights."""
    model = build_sam3D_vit_b_ori(encoder_depth=1, encoder_global_attn_indexes=[0])
    path = tmp_path_factory.mktemp("checkpoint") / FILE
    torch.save({"model_state_dict": model.state_dict(), "args": argparse.Namespace(lr=1e-4)}, path)
    return path.read_bytes()


@pytest.fixture
def hub(checkpoint: bytes) -> Iterator[Hub]:
    server = Hub(checkpoint)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def left_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*")) if folder.exists() else []


def test_the_file_comes_whole_with_its_origin_and_loads(hub: Hub, tmp_path: Path) -> None:
    path, origin = fetch_weights(tmp_path / "weights", hub.endpoint)
    assert path == tmp_path / "weights" / FILE
    assert path.read_bytes() == hub.content
    assert origin == HubOrigin(REPOSITORY, FILE, REVISION, hub.sha256)
    assert left_in(path.parent) == [FILE, f"{FILE}.json"]
    info = load_encoder_weights(ImageEncoder3D(depth=1, global_attn_indexes=(0,)), path)
    assert read_origin(path, info.sha256) == origin


@pytest.mark.ci
def test_a_broken_connection_goes_on_where_it_broke(hub: Hub, tmp_path: Path) -> None:
    hub.cut = len(hub.content) // 3
    path, _ = fetch_weights(tmp_path, hub.endpoint)
    assert path.read_bytes() == hub.content
    assert hub.downloads == 2


def test_the_file_that_is_there_already_is_not_fetched_again(hub: Hub, tmp_path: Path) -> None:
    fetch_weights(tmp_path, hub.endpoint)
    fetch_weights(tmp_path, hub.endpoint)
    assert hub.downloads == 1


def test_another_file_of_the_name_is_left_alone(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"my own weights")
    with pytest.raises(InputError, match=f"{FILE}: is there already and is another file than .*; move it away"):
        fetch_weights(tmp_path, hub.endpoint)
    assert (tmp_path / FILE).read_bytes() == b"my own weights"
    assert left_in(tmp_path) == [FILE]


def test_bytes_that_differ_from_the_stated_checksum_are_not_kept(hub: Hub, tmp_path: Path) -> None:
    stated = "ab" * 32
    came, hub.sha256 = hub.sha256, stated
    with pytest.raises(InputError, match=f"expected SHA-256 {stated}, as stated by the hub, got {came}"):
        fetch_weights(tmp_path, hub.endpoint)
    assert left_in(tmp_path) == []


def test_a_truncated_download_is_not_kept(hub: Hub, tmp_path: Path) -> None:
    hub.served = len(hub.content) // 2
    with pytest.raises(InputError, match=r"could not be downloaded from the hub \(.*should be of size") as raised:
        fetch_weights(tmp_path, hub.endpoint)
    assert "\n" not in str(raised.value)
    assert left_in(tmp_path) == []


def test_a_file_without_a_stated_checksum_is_refused(hub: Hub, tmp_path: Path) -> None:
    hub.sha256 = None
    with pytest.raises(InputError, match="expected the hub to state a SHA-256"):
        fetch_weights(tmp_path, hub.endpoint)
    assert hub.downloads == 0


def test_offline_says_where_to_put_the_file_and_what_to_write(tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answer) as closed:
        endpoint = f"http://127.0.0.1:{closed.server_port}"
    with pytest.raises(InputError) as raised:
        fetch_weights(tmp_path / "weights", endpoint)
    message, where = str(raised.value), str(tmp_path / "weights" / FILE)
    assert "\n" not in message
    assert f"from {PAGE}, put it at {where}," in message
    assert message.endswith(f"write under `model` in the experiment file: weights: {where}")
    assert not (tmp_path / "weights").exists()


def test_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match=r"pip install 'fedtune3d\[hub\]'"):
        fetch_weights(tmp_path)


def test_a_note_about_other_bytes_is_no_origin(hub: Hub, tmp_path: Path) -> None:
    path, _ = fetch_weights(tmp_path, hub.endpoint)
    assert read_origin(path, "cd" * 32) is None
    assert read_origin(tmp_path / "other.pth", "cd" * 32) is None
    (tmp_path / f"{FILE}.json").write_text("{}")
    assert read_origin(path, str(hub.sha256)) is None
