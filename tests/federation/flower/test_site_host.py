"""What a site says where it cannot answer."""

from pathlib import Path

import pytest
import yaml

from fedtune3d.config.experiment import Experiment
from fedtune3d.federation.messages import Fault, Task

flwr = pytest.importorskip("flwr.app")

from fedtune3d.federation.flower.site_folder import SitePolicy  # noqa: E402
from fedtune3d.federation.flower.site_host import SiteHost  # noqa: E402
from fedtune3d.federation.flower.wire import Occasion, TensorCache, pack_task, unpack_answer  # noqa: E402
from fedtune3d.federation.site.site import Site  # noqa: E402
from fedtune3d.federation.tasks.count_scans import CountScans  # noqa: E402
from fedtune3d.workflows.sites import make_hosted_site  # noqa: E402

VALUES = {"name": "x", "sites": [{"name": "A"}], "labels": {"positive": ["AD"], "negative": ["CN"]}}


@pytest.fixture
def host(tmp_path: Path) -> SiteHost:
    """Site A, whose data nobody has looked for yet."""
    (tmp_path / "site.yaml").write_text(yaml.safe_dump({"name": "A", "server": "localhost:1", "data": "bids"}))
    (tmp_path / "work").mkdir()
    return SiteHost(tmp_path, make_hosted_site)


def test_what_is_no_task_is_refused_on_record(host: SiteHost) -> None:
    reply = unpack_answer(host.answer(flwr.RecordDict()), Task(CountScans()), "A", "")
    assert reply == Fault("A", "refused: the message has no JSON under 'head'")
    assert "the message has no JSON" in (host.settings.work / "egress.jsonl").read_text()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's full device")
def test_where_the_manifest_cannot_be_written_only_that_leaves(host: SiteHost) -> None:
    (host.settings.work / "egress.jsonl").symlink_to("/dev/full")
    reply = unpack_answer(host.answer(flwr.RecordDict()), Task(CountScans()), "A", "")
    assert reply == Fault("A", "the site cannot write its egress manifest (No space left on device)")


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"tuning": {"method": "lora", "rank": 4096}},
            "policy.max_lora_rank is 64, but the experiment has 4096 as the rank of its LoRA adapters",
        ),
        ({"threads": 1024}, "policy.max_threads is 8, but the experiment has 1024 threads"),
    ],
)
def test_what_exceeds_the_policy_is_refused_before_anything_is_built(
    tmp_path: Path, host: SiteHost, changes: dict, line: str
) -> None:
    def make_site(*given: object) -> Site:
        raise AssertionError("the site must not be built")

    policy = SitePolicy.model_validate({"max_lora_rank": 64, "max_threads": 8})
    host.settings, host.make_site = host.settings.model_copy(update={"policy": policy}), make_site
    experiment = Experiment.model_validate(VALUES | changes)
    host.approvals.approve(experiment, "", {"everyone": (), "negative": (), "positive": ()})
    occasion = Occasion(experiment.public(), experiment.sha256(), None)
    sent = pack_task(Task(CountScans()), occasion, TensorCache().array)
    reply = unpack_answer(host.answer(sent), Task(CountScans()), "A", occasion.sha256)
    assert reply == Fault("A", f"refused: {line}")
    assert line in (host.settings.work / "egress.jsonl").read_text()


def test_an_error_in_code_leaves_by_its_kind_and_its_traceback_stays(
    tmp_path: Path, host: SiteHost, caplog: pytest.LogCaptureFixture
) -> None:
    experiment = Experiment.model_validate(VALUES)

    def broken(*given: object) -> Site:
        raise AttributeError("no attribute 'wieght' in /data/sub-01")

    host.approvals.approve(experiment, "", {"everyone": (), "negative": (), "positive": ()})
    host.make_site = broken
    occasion = Occasion(experiment.public(), experiment.sha256(), None)
    sent = pack_task(Task(CountScans()), occasion, TensorCache().array)
    reply = unpack_answer(host.answer(sent), Task(CountScans()), "A", occasion.sha256)
    assert reply == Fault("A", "the site could not carry out the task: AttributeError; details are in the site's log")
    assert "sub-01" not in (host.settings.work / "egress.jsonl").read_text()
    assert "Traceback (most recent call last)" in caplog.text
    assert "wieght" in caplog.text
