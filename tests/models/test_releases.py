"""Fetching released weights from a server on this machine."""

import dataclasses
import functools
import hashlib
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.state_dicts import save_state
from fedtune3d.cli.app import app
from fedtune3d.models.encoders import build_encoder, encoder_spec
from fedtune3d.models.encoders.contract import Release, initialise_random
from fedtune3d.models.releases import fetch_release, list_weights, recognise


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Release]:
    content = b"weights" * 1000
    (tmp_path / "server").mkdir()
    (tmp_path / "server" / "model.pth").write_bytes(content)
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "server"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        source = f"http://127.0.0.1:{server.server_port}/model.pth"
        yield Release("model.pth", source, len(content), hashlib.sha256(content).hexdigest(), loaded=False)
        server.shutdown()


def test_a_release_is_fetched_whole_and_kept(served: Release, tmp_path: Path) -> None:
    path = fetch_release(served, tmp_path / "weights")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == served.sha256
    (tmp_path / "server" / "model.pth").unlink()
    assert fetch_release(served, tmp_path / "weights") == path
    assert [file.name for file in path.parent.iterdir()] == ["model.pth"]


def test_another_file_than_the_known_one_is_not_kept(served: Release, tmp_path: Path) -> None:
    (tmp_path / "server" / "model.pth").write_bytes(b"other")
    with pytest.raises(InputError, match=r"model.pth: expected SHA-256 .*, found .*; the download was deleted"):
        fetch_release(served, tmp_path / "weights")
    assert list((tmp_path / "weights").iterdir()) == []
    (tmp_path / "weights" / "model.pth").write_bytes(b"own")
    with pytest.raises(InputError, match="move it away, or choose another folder with --to"):
        fetch_release(served, tmp_path / "weights")
    assert (tmp_path / "weights" / "model.pth").read_bytes() == b"own"


def test_without_a_server_the_message_says_how_to_copy_the_file(served: Release, tmp_path: Path) -> None:
    gone = dataclasses.replace(served, source=f"{served.source}.not.there")
    with pytest.raises(InputError, match=r"could not be downloaded .*download it elsewhere from"):
        fetch_release(gone, tmp_path / "weights")


def test_the_list_says_what_is_here(tmp_path: Path) -> None:
    (tmp_path / "model.pth").write_bytes(b"")
    here = {known.spec.name: known.path for known in list_weights(tmp_path)}
    assert {"deepbet", "meshnet", "vit_b", "volumes"} <= here.keys()
    assert here["volumes"] == tmp_path / "model.pth"
    assert here["vit_b"] is None
    assert "tiny" not in here
    assert "Apache-2.0" in CliRunner().invoke(app, ["weights", "list", "--to", str(tmp_path)]).output


@pytest.mark.ci
def test_a_file_is_recognised_by_all_that_is_in_it(tmp_path: Path) -> None:
    encoder = build_encoder("tiny")
    initialise_random(encoder, 1)
    path = tmp_path / "encoder.safetensors"
    save_state(path, encoder.state_dict())
    assert recognise(path) == [encoder_spec("tiny")]
    assert "fits encoder tiny" in CliRunner().invoke(app, ["weights", "check", str(path)]).output.replace("\n", "")
    save_state(path, dict(list(encoder.state_dict().items())[1:]))
    with pytest.raises(InputError, match="fits none of the encoders"):
        recognise(path)


def test_what_cannot_be_fetched_is_said(tmp_path: Path) -> None:
    for name, reason in (("deepbet", "are part of"), ("tiny", "no released weights")):
        result = CliRunner().invoke(app, ["weights", "fetch", name, "--to", str(tmp_path)])
        assert reason in str(result.exception or result.output)
