"""What a site says where it cannot answer."""

import hashlib
from pathlib import Path

import pytest
import yaml

from fedtune3d._utils.errors import InputError
from fedtune3d.config.experiment import Experiment
from fedtune3d.federation.messages import Fault, Task
from fedtune3d.federation.privacy.people import site_key
from fedtune3d.models.encoders import _registry, encoder_spec

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

    site_key(host.paths.people_key, host.paths.hashed)
    host.approvals.approve(experiment, "", {"everyone": (), "negative": (), "positive": ()})
    host.make_site = broken
    occasion = Occasion(experiment.public(), experiment.sha256(), None)
    sent = pack_task(Task(CountScans()), occasion, TensorCache().array)
    reply = unpack_answer(host.answer(sent), Task(CountScans()), "A", occasion.sha256)
    assert reply == Fault("A", "the site could not carry out the task: AttributeError; details are in the site's log")
    assert "sub-01" not in (host.settings.work / "egress.jsonl").read_text()
    assert "Traceback (most recent call last)" in caplog.text
    assert "wieght" in caplog.text


OWN_CODE = """
from pathlib import Path

from fedtune3d.models.encoders.contract import EncoderSpec, FeatureSpec, InputSpec

with Path(__file__).with_suffix(".ran").open("a") as ran:
    ran.write("once ")
SPEC = EncoderSpec(name="mine", version=1, title="Mine", input=InputSpec(), features=FeatureSpec(4, 8), licence="MIT")


def build():
    raise NotImplementedError
"""


@pytest.fixture
def site_with_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of site A, which has installed an encoder of its own; and a file that nobody has installed."""
    monkeypatch.setattr(_registry, "_INSTALLED", {})
    settings = {"name": "A", "server": "localhost:1", "data": "bids", "encoders": ["mine.py"]}
    (tmp_path / "site.yaml").write_text(yaml.safe_dump(settings))
    (tmp_path / "mine.py").write_text(OWN_CODE)
    (tmp_path / "evil.py").write_text(OWN_CODE.replace('"mine"', '"evil"'))
    (tmp_path / "work").mkdir()
    return tmp_path


def ask_with(folder: Path, model: dict[str, str]) -> str:
    """The fault with which the site replies to a server that sends this model."""
    host = SiteHost(folder, make_hosted_site)
    experiment = Experiment.model_validate(VALUES).public()
    experiment["model"] = model | {"weights": "random", "head": "linear"}
    occasion = Occasion(experiment, "5" * 64, None)
    sent = pack_task(Task(CountScans()), occasion, TensorCache().array)
    reply = unpack_answer(host.answer(sent), Task(CountScans()), "A", occasion.sha256)
    assert isinstance(reply, Fault)
    return reply.reason


@pytest.mark.parametrize("sha256", ["0" * 64, "", "A" * 64, "../evil.py"])
def test_code_with_another_sha256_than_the_server_means_is_refused(site_with_code: Path, sha256: str) -> None:
    reason = ask_with(site_with_code, {"encoder": "mine", "encoder_sha256": sha256})
    assert reason.startswith("refused: encoder mine: the file installed here has SHA-256 ")
    assert str(site_with_code) not in reason


@pytest.mark.parametrize("encoder", ["evil.py", "./evil.py", "FOLDER/evil.py", "evil", "FOLDER/evil", "file://evil.py"])
def test_no_code_runs_at_a_site_but_what_its_own_settings_list(site_with_code: Path, encoder: str) -> None:
    sha256 = hashlib.sha256((site_with_code / "evil.py").read_bytes()).hexdigest()
    named = encoder.replace("FOLDER", str(site_with_code))
    for model in ({"encoder": named}, {"encoder": named, "encoder_sha256": sha256}):
        assert ask_with(site_with_code, model).startswith("refused: ")
    assert not (site_with_code / "evil.ran").exists()
    assert (site_with_code / "mine.ran").exists()


def test_a_site_whose_own_encoder_fails_says_so_in_one_line_before_it_joins(site_with_code: Path) -> None:
    (site_with_code / "mine.py").write_text("1 / 0")
    with pytest.raises(InputError) as caught:
        SiteHost(site_with_code, make_hosted_site)
    assert "mine.py: ZeroDivisionError while the encoder's file was loaded, line 1: division by zero" in str(
        caught.value
    )
    assert "\n" not in str(caught.value)


def test_the_file_is_loaded_as_it_was_when_the_site_started(site_with_code: Path) -> None:
    host = SiteHost(site_with_code, make_hosted_site)
    before = encoder_spec("mine").code_sha256
    (site_with_code / "mine.py").write_text(OWN_CODE + "# changed later")
    assert host.settings.encoders == (site_with_code / "mine.py",)
    assert encoder_spec("mine").code_sha256 == before
