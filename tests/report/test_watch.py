"""A run that is watched: who is served what, how it ends, and that the run's bits are the same."""

import http.client
import json
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.files import sha256_file
from fedtune3d._utils.folders import RunFolder
from fedtune3d._utils.progress import Silent
from fedtune3d._utils.typed_json import write_typed
from fedtune3d.cli.app import main
from fedtune3d.config.experiment import Experiment
from fedtune3d.federation.environment import Environment, TracedWeights
from fedtune3d.report.watch import Watch
from fedtune3d.workflows.run import run_experiment
from fedtune3d.workflows.run_folder import open_run


def ask(watch: Watch, path: str | None = None, host: str | None = None, method: str = "GET") -> tuple[int, bytes, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", watch.port, timeout=30)
    path = f"/{watch.secret}/" if path is None else path
    connection.request(method, path, headers={"Host": host or f"127.0.0.1:{watch.port}"})
    answer = connection.getresponse()
    return answer.status, answer.read(), answer.headers


@contextmanager
def stream(watch: Watch) -> Iterator[Callable[[], dict[str, str]]]:
    """Gives what a browser is told next."""
    connection = http.client.HTTPConnection("127.0.0.1", watch.port, timeout=30)
    connection.request("GET", f"/{watch.secret}/events")
    answer = connection.getresponse()

    def told() -> dict[str, str]:
        while True:
            if (line := answer.readline()).startswith(b"data: "):
                return dict(json.loads(line.removeprefix(b"data: ")))

    yield told
    answer.close()
    connection.close()


@pytest.fixture
def unfinished(small_experiment: Any, tmp_path: Path) -> Path:
    """A run folder that has only begun."""
    experiment = Experiment.from_yaml(small_experiment.write(tmp_path / "run"))
    open_run(RunFolder(experiment.output), experiment.public(), resume=False)
    return experiment.output


def test_only_the_page_is_served_and_only_to_who_knows_its_address(unfinished: Path) -> None:
    with Watch(unfinished) as watch:
        status, page, headers = ask(watch)
        assert status == 200
        assert b"2 rounds to come" in page
        assert headers["Cache-Control"] == "no-store"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        for path in (
            "/",
            "/config.yaml",
            f"/{watch.secret}",
            f"/{watch.secret}/config.yaml",
            f"/{watch.secret}/../config.yaml",
        ):
            assert ask(watch, path)[0] == 404, path
        for method in ("POST", "HEAD", "PUT", "OPTIONS"):
            assert ask(watch, method=method)[0] == 501


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "localhost:1", "evil.example:{port}", "[::1]:{port}"])
def test_other_host_names_are_refused(unfinished: Path, host: str) -> None:
    with Watch(unfinished) as watch:
        assert ask(watch, host=host.format(port=watch.port))[0] == 403
        assert ask(watch, f"/{watch.secret}/events", host=host.format(port=watch.port))[0] == 403
        assert ask(watch, host=f"localhost:{watch.port}")[0] == 200


def test_it_listens_on_loopback_only(unfinished: Path) -> None:
    with Watch(unfinished) as watch:
        assert watch.server.server_address[0] == "127.0.0.1"
        assert watch.url == f"http://127.0.0.1:{watch.port}/{watch.secret}/"
        with Watch(unfinished) as other:
            assert (other.port, other.secret) != (watch.port, watch.secret)
            assert ask(watch, f"/{other.secret}/")[0] == 404


def test_a_port_that_is_taken_is_one_line(unfinished: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            InputError, match=f"^--port {port}: Address already in use; choose another, or leave it out"
        ):
            Watch(unfinished, port)


def test_the_command_says_what_is_wrong_with_a_port(
    small_experiment: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(small_experiment.write(tmp_path / "run"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(SystemExit, match="2"):
            main(["run", path, "--watch", "--port", str(taken.getsockname()[1])])
    assert re.fullmatch(r"fedtune3d: --port \d+: Address already in use; .*\n", capsys.readouterr().err)
    for command in (["run"], ["server", "run"]):
        with pytest.raises(SystemExit, match="2"):
            main([*command, path, "--port", "8080"])
        assert capsys.readouterr().err == "fedtune3d: --port needs --watch; add --watch or leave --port out\n"
    assert not (tmp_path / "run").exists()


@pytest.mark.ci
def test_a_reader_is_told_of_a_change_and_of_the_end(unfinished: Path) -> None:
    report = unfinished / "report.html"
    with Watch(unfinished) as watch:
        with stream(watch) as told:
            first = told()
            assert (first["state"], first["doing"]) == ("running", "")
            with watch.following(Silent()).bar("A: preparing scans") as advance:
                advance(3, 14)
                assert told()["doing"] == "A: preparing scans: 3 of 14"
            weights = TracedWeights("random", None, None)
            environment = Environment.here(device="cpu", threads=1, weights=weights, simulated=False)
            write_typed(RunFolder(unfinished).environment, environment)
            changed = told()
            while changed["doing"]:
                changed = told()
            assert changed["status"] == "Running: round 1 of 2."
            assert changed["version"] != first["version"]
        report.write_text("<!doctype html><title>the end</title>")
        pages = []

        def read_to_the_end() -> None:
            with stream(watch) as told:
                ready.set()
                while told()["state"] != "done":
                    pass
                pages.append(ask(watch)[1])

        ready = threading.Event()
        reader = threading.Thread(target=read_to_the_end)
        reader.start()
        ready.wait()
    reader.join()  # the end waited for it
    assert pages == [report.read_bytes()]


def test_a_run_that_fails_says_why(unfinished: Path) -> None:
    last = []

    def read(watch: Watch) -> None:
        with stream(watch) as told:
            last.append(told())
            ready.set()
            last.append(told())
        over.set()

    def fail() -> None:
        with Watch(unfinished) as watch:
            threading.Thread(target=read, args=(watch,)).start()
            ready.wait()
            raise InputError("site B: no answer")

    ready, over = threading.Event(), threading.Event()
    with pytest.raises(InputError, match="no answer"):
        fail()
    over.wait()
    assert last[-1] | {"version": ""} == {
        "state": "stopped",
        "version": "",
        "status": "Stopped: site B: no answer",
        "doing": "",
    }


def test_a_damaged_file_is_said(unfinished: Path) -> None:
    (unfinished / "audit.json").write_text("{")
    with Watch(unfinished) as watch:
        assert "audit.json: the file has lost its checksum" in watch.message()["status"]
        assert ask(watch)[0] == 500


@pytest.mark.ci
def test_a_watched_run_has_the_same_bits(small_experiment: Any, small_run: RunFolder, tmp_path: Path) -> None:
    alone = small_run.path
    path = small_experiment.write(tmp_path / "watched", baselines=["local", "centralized"])
    experiment = Experiment.from_yaml(path)
    over, pages = threading.Event(), []

    def look(watch: Watch) -> None:
        while not over.wait(0.1):  # each page takes the time of its figures from the run
            pages.append(ask(watch)[1])
            gone = socket.create_connection(("127.0.0.1", watch.port))  # a browser that asks and goes away
            gone.sendall(f"GET /{watch.secret}/events HTTP/1.1\r\nHost: 127.0.0.1:{watch.port}\r\n\r\n".encode())
            gone.close()

    with Watch(experiment.output) as watch:
        reader = threading.Thread(target=look, args=(watch,))
        reader.start()
        run_experiment(experiment, progress=watch.following(Silent()))
        over.set()
        reader.join()
    assert len(set(pages)) > 2
    assert all(b"Running: " in page for page in pages)
    watched = experiment.output
    for name in (
        "checkpoints/last.safetensors",
        "checkpoints/best.safetensors",
        "metrics.json",
        "sites/A/predictions.tsv",
    ):
        assert sha256_file(watched / name) == sha256_file(alone / name), name
    figures = sorted((alone / "figures").glob("*.svg"))
    assert len(figures) > 3
    for path in figures:
        assert path.read_bytes() == (watched / "figures" / path.name).read_bytes(), path.name


@pytest.mark.ci
def test_the_command_serves_the_page_and_ends(small_experiment: Any, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fedtune3d", "run", str(small_experiment.write(tmp_path / "run")), "--watch"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    found = re.fullmatch(r"watch the run at http://127\.0\.0\.1:(\d+)/(\S+)/\n", process.stderr.readline())
    assert found
    connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=60)
    connection.request("GET", f"/{found[2]}/")
    assert b"Running: " in connection.getresponse().read()
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    assert "report.html" in output
