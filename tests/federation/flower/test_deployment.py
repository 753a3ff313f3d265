"""A server and two sites as real processes over TLS: the same bits, a kill, and a key that is refused."""

import re
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import call

from fedtune3d._utils.folders import CrossValidationFolder
from fedtune3d.evaluation.cross_validation import CrossValidationResults

MAP_FILES = (".json", "_random.nii.gz", "_trained.nii.gz")


def make_parents(path: Path) -> Path:
    path.parent.mkdir(parents=True)
    return path


def run_to_the_end(deployment: Any, name: str, **changes: Any) -> Path:
    path = deployment.write(name, **changes)
    server = deployment.serve(path)
    assert server.wait() == 0, server.text
    deployment.assert_bits_of_one_process(name, **changes)
    return path.with_suffix("")


@pytest.mark.slow
def test_one_round_ends_in_the_bits_of_one_process(joined: Any) -> None:
    across = run_to_the_end(joined, "one", explain="gradcam")
    alone = joined.folder / "one-in-process"
    maps = sorted((across / "saliency").iterdir())
    assert [path.name for path in maps] == [f"{site}{part}" for site in "AB" for part in MAP_FILES]
    assert all(path.read_bytes() == (alone / "saliency" / path.name).read_bytes() for path in maps)
    line = next(line for line in joined.left("A") if line["kind"] == "train")
    assert [tensor["name"] for tensor in line["tensors"]] == ["state/head.2.bias", "state/head.2.weight"]
    written = "".join(path.read_text() for path in across.rglob("*") if path.suffix in (".yaml", ".json", ".jsonl"))
    assert "sub-" not in written
    assert str(joined.roots["A"].parent) not in written


@pytest.mark.slow
def test_a_watched_and_logged_run_ends_in_the_same_bits(joined: Any, until: Callable[..., Any]) -> None:
    path = joined.write("watched", log="tensorboard")
    server = joined.serve(path, "--watch")
    url = until(lambda: re.search(r"http://127\.0\.0\.1:\d+/\S+/", server.text), "the page's address")[0]
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url) as answer:
        assert b"Running: " in answer.read()
    assert server.wait() == 0, server.text
    joined.assert_bits_of_one_process("watched")
    assert len(list((path.with_suffix("") / "tensorboard").glob("events.out.tfevents.*"))) == 1


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["fedavg", "fedce", "rate_my_lora"])
@pytest.mark.parametrize("tuning", [{"method": "frozen"}, {"method": "lora", "rank": 2, "blocks": "last:1"}])
def test_the_bits_of_one_process(joined: Any, rule: str, tuning: dict) -> None:
    changes = {"aggregation": {"rule": rule}, "tuning": tuning, "training": {"rounds": 3, "batch_size": 3}}
    run_to_the_end(joined, f"{rule}-{tuning['method']}", **changes)


BY_AGE = [{"young": "age < 62"}, {"middle": "age >= 62 and age < 64"}, {"old": "age >= 64"}]
AGE = {"column": "age", "range": [40, 100], "unit": "years", "missing": "error"}


@pytest.mark.slow
@pytest.mark.parametrize("outcome", [{"labels": BY_AGE}, {"labels": None, "target": AGE}], ids=["classes", "number"])
def test_three_classes_and_a_number_end_in_the_bits_of_one_process(deploy: Callable[..., Any], outcome: dict) -> None:
    deployment = deploy()
    for name in deployment.roots:
        deployment.configure(name, columns=["age"])
        deployment.join(name)
    across = run_to_the_end(deployment, "outcome", **outcome, baselines=["leave_one_site_out"])
    assert (across / "report.html").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("outcome", [{}, {"labels": None, "target": AGE}], ids=["two", "number"])
def test_a_fold_of_a_cross_validation_ends_in_the_bits_of_one_process(
    deploy: Callable[..., Any], outcome: dict, capsys: pytest.CaptureFixture[str]
) -> None:
    """And its folder is one of those from which the report of the cross-validation is made."""
    deployment = deploy()
    for name in deployment.roots:
        deployment.configure(name, columns=["diagnosis", "age"])
        deployment.join(name)
    only = {"repeat": 1, "fold": 2}
    across = run_to_the_end(deployment, "fold", **outcome, validation={"folds": 2, "only": only})
    folder = CrossValidationFolder(deployment.folder / "whole")
    across.rename(make_parents(folder.fold("repeat1-fold2").path))
    code, _, _ = call(capsys, "report", folder.path)
    assert code == 0
    results = CrossValidationResults.read(folder)
    mean = results.methods["federated"].mean
    assert mean.estimate.undefined == "1 of 2 folds are finished"
    assert [(fold.repeat, fold.fold) for fold in mean.folds] == [(1, 2)]
    assert mean.folds[0].value is not None


@pytest.mark.slow
def test_a_killed_site_costs_the_others_the_deadline_and_the_run_goes_on(
    joined: Any, until: Callable[..., Any]
) -> None:
    limits = {"deadline_seconds": 15, "quorum": 1}
    path = joined.write("killed", participation=limits, training={"rounds": 50, "batch_size": 3})
    server = joined.serve(path)
    until(lambda: len(joined.ledger(path)) >= 1, "the first round")
    joined.join("B").kill()
    before = len(joined.ledger(path))
    lines = until(lambda: joined.ledger(path)[before:][1:3], "two rounds without B", 300)
    server.stop()
    for line in lines:
        a, b = line["sites"]["A"], line["sites"]["B"]
        assert (a["participated"], b["participated"]) == (True, False)
        assert any(why in b["fault"] for why in ("deadline of 15 s", "Node Unavailable", "is not connected"))
    assert min(line["seconds"] for line in lines) < 15 + 60  # one limit, and what a busy machine adds


@pytest.mark.slow
def test_a_key_that_the_server_does_not_know_does_not_get_in(deployment: Any, until: Callable[..., Any]) -> None:
    folder = deployment.site_folder("B")
    deployment.join("B").stop()
    before = len(deployment.left("B"))
    known = {path: path.read_bytes() for path in (folder / "site.key", folder / "site.key.pub")}
    for path in known:
        path.unlink()
    subprocess.run(["ssh-keygen", "-q", "-t", "ecdsa", "-b", "384", "-N", "", "-f", folder / "site.key"], check=True)
    deployment.join("A")
    stranger = deployment.join("B")
    server = deployment.serve(deployment.write("stranger"))
    until(lambda: "the server has no key of this site" in stranger.text, "the site to say that it is refused")
    until(lambda: "waiting for B" in server.text.splitlines(), "the server to wait for B alone")
    assert server.stop() == 130
    assert stranger.stop() == 130
    assert len(deployment.left("B")) == before
    for path, content in known.items():
        path.write_bytes(content)


@pytest.mark.slow
def test_a_site_behind_a_proxy(deployment: Any, forward: Callable[..., Any]) -> None:
    proxy = forward(deployment.address, proxy=True)
    environment = dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"), f"http://{proxy.address}")
    deployment.join("B").stop()
    deployment.join("A")
    deployment.join("B", environment=environment)
    server = deployment.serve(deployment.write("proxied"))
    assert server.wait() == 0, server.text
    assert sum(map(len, proxy.sent)) > 3000  # the head, at least
    checked = deployment.run("site", "check", deployment.site_folder("B"), environment=environment)
    assert f"server {deployment.address} (through the proxy {proxy.address}): no answer" in checked.stdout
    deployment.join("B").stop()
