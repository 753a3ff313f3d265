"""A site's folder by the commands of its people: approve, list, revoke, withdraw, forget, the log, and its cuts."""

import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from command_line import call

from fedtune3d._utils.errors import DamagedFileError, InputError
from fedtune3d._utils.folders.site import SiteFolder
from fedtune3d.config.experiment import Experiment
from fedtune3d.federation.messages import Task
from fedtune3d.federation.tasks.assign_splits import AssignSplits
from fedtune3d.federation.tasks.count_scans import CountScans
from fedtune3d.models.encoders import _registry
from fedtune3d.workflows.approve import approve, read_request
from fedtune3d.workflows.site_log import read_log
from fedtune3d.workflows.verify import verify_folder
from fedtune3d.workflows.withdraw import withdraw_person

flwr = pytest.importorskip("flwr.app")

from asked_site import Server, share_images, write_asked_site  # noqa: E402

from fedtune3d.federation.flower.site_check import check_site  # noqa: E402


@pytest.fixture
def folder(tmp_path: Path, write_small_site: Callable[..., None]) -> Path:
    """A site of fourteen people whose policy counts from two on, and an experiment file."""
    return write_asked_site(tmp_path, write_small_site)


def test_the_check_of_a_site_counts_who_has_withdrawn(folder: Path) -> None:
    def data_line() -> str:
        return next(finding.text for finding in check_site(folder) if finding.text.startswith("data: "))

    assert data_line().endswith("14 people: AD (7), CN (7)")
    withdraw_person(folder, "sub-03")
    assert data_line().endswith("14 people: AD (7), CN (7); 1 withdrawn, who are excluded")


def names_in(folder: Path, person: str) -> list[Path]:
    """The files that the site wrote and that name a person."""
    written = [path for path in (folder / "work").rglob("*") if path.is_file()]
    return [path for path in written if person.encode() in path.read_bytes()]


@pytest.mark.ci
def test_a_person_who_withdraws_is_out_of_what_is_kept_and_of_what_comes(folder: Path) -> None:
    approve(folder, read_request(folder, folder / "experiment.yaml"))
    server = Server(folder)
    server.ask(Task(CountScans()))
    server.ask(Task(AssignSplits(groups={})))
    before = server.train(1)
    assert (before.examples, before.people) == (6, 6)
    run = next((folder / "work").glob("runs/*/sites/A"))
    splits = (run / "splits.tsv").read_text()
    person = next(line.split("\t")[0] for line in splits.splitlines() if line.endswith("train"))
    prepared, features = ((folder / "work" / "cache" / "A").rglob(ending) for ending in ("*.npy", "features/??/*"))
    kept = len(list(prepared)), len(list(features))
    assert names_in(folder, person)
    unsent = SiteFolder(run).masking.values
    unsent.parent.mkdir(exist_ok=True)
    unsent.write_bytes(b"an update that has not left yet")

    withdraw_person(folder, person.removeprefix("sub-"))
    assert names_in(folder, person) == []
    prepared, features = ((folder / "work" / "cache" / "A").rglob(ending) for ending in ("*.npy", "features/??/*"))
    assert (len(list(prepared)), len(list(features))) == (kept[0] - 1, kept[1] - 1)
    assert not list(run.glob("answers/*"))
    assert not unsent.exists()
    others = [line for line in splits.splitlines() if not line.startswith(person)]
    assert (run / "splits.tsv").read_text().splitlines() == others  # nobody else changes sides

    after = server.train(2)
    assert (after.examples, after.people, after.loss) == (None, 0, None)  # or a subtraction would tell the one
    assert "its people differ by too few" in read_log(folder)[-1].reason
    assert person not in (folder / "approvals.jsonl").read_text()
    with pytest.raises(InputError, match="sub-99: expected a participant of the tables"):
        withdraw_person(folder, "sub-99")


def require_that_a_cut_is_seen(folder: Path, ledger: Path) -> None:
    """Cut the last line of a ledger for a while, and check that `verify` and `site log` notice."""
    whole = ledger.read_bytes()
    ledger.write_bytes(b"".join(whole.splitlines(keepends=True)[:-1]))
    assert [damage.path for damage in verify_folder(folder).damages] == [ledger]
    if ledger.name == "egress.jsonl":
        with pytest.raises(DamagedFileError, match="has lost lines"):
            read_log(folder)
    ledger.write_bytes(whole)


def test_the_commands_of_a_site(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    share_images(folder / "bids")
    code, shown, _ = call(capsys, "site", "approve", folder, folder / "experiment.yaml", "--yes")
    assert code == 0
    assert max(map(len, shown.splitlines())) <= 80
    assert "positive: diagnosis is AD (7 people here)" in shown
    assert "the update (all trained weights), number of people and scans in training" in " ".join(shown.split())
    assert "to the operator of " in shown
    assert "identifier" not in shown  # without a fingerprint_key and groups_leave
    short = Experiment.from_yaml(folder / "experiment.yaml").sha256()[:12]
    assert f"approved: small ({short})" in shown
    assert short in call(capsys, "site", "approvals", folder)[1]
    server = Server(folder)
    server.ask(Task(CountScans()))
    server.ask(Task(AssignSplits(groups={})))
    assert "a count" in call(capsys, "site", "log", folder)[1]
    assert verify_folder(folder).damages == ()
    for name in ("approvals.jsonl", "charges.jsonl", "egress.jsonl"):
        require_that_a_cut_is_seen(folder, next(folder.rglob(name)))
    assert call(capsys, "site", "revoke", folder, short)[0] == 0
    assert call(capsys, "site", "revoke", folder, short)[0] == 2
    assert call(capsys, "site", "forget", folder, "--yes")[0] == 0
    left = {path.name for path in (folder / "work").rglob("*") if path.is_file()}
    assert left == {"egress.jsonl", "egress.count.json"}


def test_a_no_is_no(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert call(capsys, "site", "approve", folder, folder / "experiment.yaml")[0] == 1
    assert not (folder / "approvals.jsonl").exists()


def test_the_screen_says_that_an_encoder_of_ones_own_is_code_which_the_gate_cannot_contain(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is the site's; the path in an experiment file from elsewhere is not followed."""
    monkeypatch.setattr(_registry, "_INSTALLED", {})
    example = (Path(__file__).parents[2] / "docs" / "encoders.md").read_text(encoding="utf-8")
    code = example.partition("## Add an encoder")[2].partition("```python\n")[2].partition("```")[0]
    (folder / "strided.py").write_text(code)
    sha256 = hashlib.sha256((folder / "strided.py").read_bytes()).hexdigest()
    values = yaml.safe_load((folder / "experiment.yaml").read_text())
    file, settings = folder / "own.yaml", folder / "site.yaml"
    file.write_text(yaml.safe_dump(values | {"model": {"encoder": "./strided.py", "head": "linear"}}))
    with pytest.raises(InputError, match="expected a name, got a file, which is code"):
        read_request(folder, file)
    named = {"encoder": "strided", "encoder_sha256": sha256, "head": "linear"}
    file.write_text(yaml.safe_dump(values | {"model": named}))
    with pytest.raises(InputError, match=r"not installed here: list it under `encoders` in site\.yaml"):
        read_request(folder, file)
    settings.write_text(yaml.safe_dump(yaml.safe_load(settings.read_text()) | {"encoders": ["strided.py"]}))
    screen = read_request(folder, file).screen
    said = " ".join(screen.split())
    assert f"(SHA-256 {sha256}): it is code that runs here, and the checks of what leaves cannot contain it" in said
    assert all(len(line) <= 80 for line in screen.splitlines())
    assert "it is code that runs here" not in " ".join(read_request(folder, folder / "experiment.yaml").screen.split())
