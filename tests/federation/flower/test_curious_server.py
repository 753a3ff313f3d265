"""What a curious server tries, with real messages to a real site under the site.yaml that `server init` writes.

The server's side is a script. Each attempt ends in the line that the hospital reads in its log.
"""

import dataclasses
import os
import signal
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from scan_records import make_record

from fedtune3d._utils.folders import RunFolder
from fedtune3d._utils.progress import Silent
from fedtune3d._utils.state_dicts import State, load_state
from fedtune3d.config.experiment import Experiment
from fedtune3d.federation.messages import LOCAL, Answer, Fault, Payload, Task
from fedtune3d.federation.privacy.account import Account
from fedtune3d.federation.privacy.consent import WITHHELD
from fedtune3d.federation.privacy.differential_privacy.spending import read_spending
from fedtune3d.federation.privacy.refusal import Refusal
from fedtune3d.federation.process_model import ProcessModel
from fedtune3d.federation.site import private_rounds
from fedtune3d.federation.site.site import Site
from fedtune3d.federation.tasks.assign_splits import AssignSplits, SplitFlow
from fedtune3d.federation.tasks.count_scans import CountScans, ScanCounts
from fedtune3d.federation.tasks.describe_features import DescribeFeatures
from fedtune3d.federation.tasks.describe_people import DescribePeople, PeopleDescription
from fedtune3d.federation.tasks.evaluate import Evaluate, Evaluation, whole_summary
from fedtune3d.federation.tasks.fingerprint_scans import NO_KEY, FingerprintScans, ScanFingerprints
from fedtune3d.federation.tasks.profile_intensities import IntensityProfile, ProfileIntensities
from fedtune3d.federation.tasks.score import Score, ScoreAnswer
from fedtune3d.federation.tasks.train import Train, TrainAnswer
from fedtune3d.models.assembly import AssembledModel
from fedtune3d.models.tuning import read_state
from fedtune3d.preparation.store import PreparedStore
from fedtune3d.training.draws import MakeDraws, SeededDraws, system_draws
from fedtune3d.workflows.approve import approve, read_request
from fedtune3d.workflows.sites import make_hosted_site, make_sites
from fedtune3d.workflows.withdraw import withdraw_person

flwr = pytest.importorskip("flwr.app")

from fedtune3d.federation.flower.server_folder import SITE_TEMPLATE  # noqa: E402
from fedtune3d.federation.flower.site_host import SiteHost  # noqa: E402
from fedtune3d.federation.flower.wire import Occasion, TensorCache, pack_task, unpack_answer  # noqa: E402

PEOPLE = 48
CLASSES = {"positive": ["AD"], "negative": ["CN"]}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, write_small_site: Callable[..., None]) -> Path:
    """A hospital of 48 people, two of whom were really scanned; everyone else shares their images."""
    folder = tmp_path_factory.mktemp("hospital")
    root = folder / "bids"
    write_small_site(root, 2, seed=5)
    rows = ["participant_id\tdiagnosis\tage\tmmse\tmrn"]
    for number in range(PEOPLE):
        name, diagnosis = f"sub-{number:02d}", "AD" if number % 2 else "CN"
        rows.append(f"{name}\t{diagnosis}\t{60 + number % 30}\t{10 + number % 20}\t{73_000_000 + 17 * number}")
        scan = root / name / "anat" / f"{name}_T1w.nii.gz"
        if not scan.exists():
            scan.parent.mkdir(parents=True)
            os.link(root / f"sub-{number % 2:02d}" / "anat" / f"sub-{number % 2:02d}_T1w.nii.gz", scan)
    (root / "participants.tsv").write_text("\n".join(rows) + "\n")
    return root


@dataclasses.dataclass
class Hospital:
    """A site's folder, with the site that answers in it."""

    folder: Path
    host: SiteHost
    make_draws: MakeDraws = system_draws

    def approve(self, experiment: Path) -> None:
        """The data protection officer's yes."""
        approve(self.folder, read_request(self.folder, experiment))

    def restart(self) -> None:
        """As after a kill: nothing is remembered but what is on disk."""
        self.host = SiteHost(self.folder, self.host.make_site, make_draws=self.make_draws)


@dataclasses.dataclass
class Server:
    """A server's script: it sends what it likes, under an experiment."""

    experiment: Experiment
    hospital: Hospital

    @property
    def state(self) -> State:
        """The state that an honest run would begin with."""
        return read_state(self._assembled.model, self._assembled.trainable)

    @cached_property
    def _assembled(self) -> AssembledModel:
        return ProcessModel(self.experiment).assembled

    def ask(self, task: Task) -> Answer | Fault:
        """Send a task as a message and read the reply."""
        occasion = Occasion(self.experiment.public(), self.experiment.sha256(), self._assembled.weights.sha256)
        records = self.hospital.host.answer(pack_task(task, occasion, TensorCache().array))
        return unpack_answer(records, task, "A", occasion.sha256)

    def told(self, task: Task) -> Payload:
        """The payload of an answer."""
        reply = self.ask(task)
        assert isinstance(reply, Answer), reply
        return reply.payload

    def refused(self, task: Task) -> str:
        """The line of a refusal."""
        reply = self.ask(task)
        assert isinstance(reply, Fault), reply
        assert reply.reason.startswith("refused: ")
        return reply.reason.removeprefix("refused: ")

    def prepare(self) -> None:
        """Let the site count and split."""
        self.told(Task(CountScans()))
        self.told(Task(AssignSplits(groups={})))

    def train(self, round_: int, state: State, **more: Any) -> State:
        """One round; returns the update."""
        reply = self.ask(Task(Train(rule="fedavg", step=STEP), round_, parts={"state": state}, **more))
        assert isinstance(reply, Answer), reply
        return reply.parts["state"]


STEP = {"keep_local": [], "frozen": [], "score_kind": "auc"}


@pytest.fixture(scope="module")
def cache(data: Path) -> Path:
    """The prepared scans of the hospital."""
    folder = data.parent / "cache"
    for person in ("sub-00", "sub-01"):
        PreparedStore(folder / "A" / "prepared").get(make_record(data / person / "anat" / f"{person}_T1w.nii.gz"))
    return folder


@pytest.fixture
def hospital(tmp_path: Path, data: Path, cache: Path) -> Hospital:
    """Site A with the site.yaml that `server init` writes for two sites, but for the path of its data."""
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "cache").symlink_to(cache)
    settings = SITE_TEMPLATE.format(name="A", address="localhost:1", secure_aggregation="allowed")
    (tmp_path / "site.yaml").write_text(settings.replace("/path/to/bids", str(data)))
    return Hospital(tmp_path, SiteHost(tmp_path, make_hosted_site))


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes an experiment file."""

    def written(name: str = "honest", **changes: Any) -> Path:
        values = {
            "name": name,
            "seed": 3,
            "sites": [{"name": "A"}, {"name": "B"}],
            "labels": CLASSES,
            "model": {"encoder": "tiny", "head": "linear"},
            "training": {"rounds": 2, "batch_size": 8},
            "threads": 1,
        }
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(values | changes))
        return path

    return written


@pytest.fixture
def server(hospital: Hospital, write: Callable[..., Path]) -> Server:
    """A server whose experiment the hospital has approved."""
    path = write()
    hospital.approve(path)
    return Server(Experiment.from_yaml(path), hospital)


def columns(hospital: Hospital, *names: str) -> None:
    path = hospital.folder / "site.yaml"
    path.write_text(path.read_text().replace("[diagnosis]", f"[{', '.join(names)}]"))
    hospital.restart()


def test_codes_do_not_leave_again_without_the_key(hospital: Hospital, server: Server) -> None:
    """A hospital that takes `fingerprint_key` out of site.yaml means the codes that were stored, too."""
    settings, key = hospital.folder / "site.yaml", hospital.folder / "audit.key"
    key.write_text("5d1c8e0b7f4a92636c21e8d9075ab3f4186e2c9b40d7af5388e1f06a2b9dc754")
    key.chmod(0o600)
    without = settings.read_text()
    settings.write_text(f"{without}\nfingerprint_key: audit.key\n")
    hospital.restart()
    server.prepare()
    asked = Task(FingerprintScans())
    codes = server.told(asked)
    assert isinstance(codes, ScanFingerprints)
    assert codes.scans
    assert server.told(asked) == codes
    settings.write_text(without)
    hospital.restart()
    nothing = server.told(asked)
    assert isinstance(nothing, ScanFingerprints)
    assert (nothing.key, nothing.scans) == (None, ())
    assert "no fingerprint_key" in str(nothing.why)


ONE_PERSON = {"positive": 'participant_id == "sub-03"', "negative": 'participant_id != "sub-03"'}
ONE_STEP = {"rounds": 1, "optimizer": "sgd", "head_learning_rate": 1.0, "batch_size": 100, "clip_norm": None}


def test_what_was_not_approved_is_not_answered(hospital: Hospital, write: Callable[..., Path]) -> None:
    server = Server(Experiment.from_yaml(write(labels=ONE_PERSON, training=ONE_STEP)), hospital)
    short = server.experiment.sha256()[:12]
    line = (
        f"site A has not approved this experiment ({short}…); run `fedtune3d site approve FOLDER experiment.yaml` there"
    )
    tasks = [Task(CountScans()), Task(Train(rule="fedavg", step=STEP), 1, parts={"state": server.state})]
    for task in (*tasks, Task(DescribePeople()), Task(FingerprintScans())):
        assert server.refused(task) == line


def test_an_experiment_altered_after_its_approval_is_another(server: Server, write: Callable[..., Path]) -> None:
    altered = Server(Experiment.from_yaml(write("honest", training=ONE_STEP)), server.hospital)
    assert "has not approved this experiment" in altered.refused(Task(CountScans()))


@pytest.mark.parametrize(
    ("labels", "listed", "line"),
    [
        (ONE_PERSON, ["diagnosis"], "labels use the column participant_id, which tells people apart"),
        (ONE_PERSON, ["participant_id"], "labels use the column participant_id, which tells people apart"),
        ({"positive": "mrn >= 73000100", "negative": "mrn < 73000100"}, ["mrn"], "labels use the column mrn, which"),
        ({"positive": "age >= 70", "negative": "age < 70"}, ["diagnosis"], "`columns` in site.yaml lists diagnosis"),
        (
            {"positive": "age >= 89", "negative": "age < 89"},
            ["age"],
            "policy.min_per_class of site A is 5, and a class",
        ),
    ],
)
def test_single_people_and_columns_cannot_be_asked_for_even_by_mistake(
    hospital: Hospital, write: Callable[..., Path], labels: dict, listed: list[str], line: str
) -> None:
    """One person against the rest; an 8-digit number, bit by bit; a column nobody listed; the one person over 89."""
    columns(hospital, *listed)
    with pytest.raises(Refusal) as raised:
        read_request(hospital.folder, write(labels=labels))
    assert line in str(raised.value)


def test_a_patient_with_nine_sessions_is_one_person(hospital: Hospital, write: Callable[..., Path], data: Path) -> None:
    other = hospital.folder / "nine"
    for path in data.rglob("*_T1w.nii.gz"):
        for session in range(9 if path.name.startswith("sub-01_") else 1):
            name = path.name.split("_")[0]
            scan = other / name / f"ses-{session}" / "anat" / f"{name}_ses-{session}_T1w.nii.gz"
            scan.parent.mkdir(parents=True)
            os.link(path, scan)
    rows = (data / "participants.tsv").read_text().replace("\tAD\t", "\tCN\t").replace("sub-01\tCN", "sub-01\tAD")
    (other / "participants.tsv").write_text(rows)
    settings = hospital.folder / "site.yaml"
    settings.write_text(settings.read_text().replace(str(data), str(other)))
    with pytest.raises(Refusal, match=r"policy\.min_per_class of site A is 5, and a class has fewer people there"):
        read_request(hospital.folder, write())


@pytest.mark.parametrize("key", ["labels", "include"])
def test_two_experiments_that_differ_in_one_person_release_one_set_of_numbers(
    hospital: Hospital, write: Callable[..., Path], key: str
) -> None:
    """The person is singled out by a label expression, or by who is included."""
    columns(hospital, "diagnosis", "age")
    expressions = [f"diagnosis == AD and age < {age}" for age in (85, 87)]
    servers = []
    for number, expression in enumerate(expressions):
        changes: dict[str, Any] = {"labels": {"positive": expression, "negative": "diagnosis == CN"}}
        if key == "include":
            changes = {"include": f"{expression} or diagnosis == CN"}
        path = write(f"try-{number}", **changes, splits={"train": 0.4, "validation": 0.3, "test": 0.3})
        screen = read_request(hospital.folder, path).screen
        assert (f"only rows of the table that meet: {expression}" in screen) == (key == "include")
        hospital.approve(path)
        servers.append(Server(Experiment.from_yaml(path), hospital))
    first, second = servers
    counts = first.told(Task(CountScans()))
    assert isinstance(counts, ScanCounts)
    assert counts.people == 24 + sum(60 + number % 30 < 85 for number in range(1, PEOPLE, 2))
    first.told(Task(AssignSplits(groups={})))
    assert second.told(Task(CountScans())) == ScanCounts(simulated=False)
    assert second.told(Task(AssignSplits(groups={}))) == SplitFlow()
    assert second.told(Task(DescribePeople())) == PeopleDescription()
    assert second.told(Task(ProfileIntensities())) == IntensityProfile()
    assert second.told(Task(FingerprintScans())) == ScanFingerprints(why=WITHHELD)
    reply = second.ask(Task(Train(rule="fedavg", step=STEP), 1, parts={"state": second.state}))
    assert isinstance(reply, Answer)
    payload = reply.expect(TrainAnswer)
    assert (payload.examples, payload.people, payload.loss, payload.scores) == (None, 0, None, {})
    assert set(reply.parts) == {"state"}
    summary = whole_summary(Answer("A", second.told(evaluate("federated", second.state))))
    assert (summary.test.scans, summary.test.auc.value, summary.validation.negative) == (0, None, {})


def evaluate(method: Any, state: State, **more: Any) -> Task:
    return Task(Evaluate(method=method), parts={"state": state}, **more)


def test_no_task_gives_away_the_counts_of_a_small_split(hospital: Hospital, write: Callable[..., Path]) -> None:
    """A validation set of 2 of each class, which the total less the other splits would tell."""
    path = write(splits={"train": 0.5, "validation": 0.1, "test": 0.4})
    hospital.approve(path)
    server = Server(Experiment.from_yaml(path), hospital)
    assert server.told(Task(CountScans())) == ScanCounts(simulated=False)
    flow = server.told(Task(AssignSplits(groups={})))
    assert isinstance(flow, SplitFlow)
    shown = {name: (split.of(0).participants, split.of(1).participants) for name, split in flow.flow.splits.items()}
    assert shown == {"all": (None, None), "train": (12, 12), "validation": (None, None), "test": (10, 10)}
    assert flow.flow.included.held_back
    people = server.told(Task(DescribePeople()))
    assert isinstance(people, PeopleDescription)
    described = {name: (part.of(0).people, part.of(1).people) for name, part in people.splits.items()}
    assert described == shown | {"test": (None, None)}
    assert server.told(Task(FingerprintScans())) == ScanFingerprints(why=NO_KEY)
    assert server.told(Task(ProfileIntensities())) == IntensityProfile()
    payload = server.told(Task(Train(rule="fedavg", step=STEP), 1, parts={"state": server.state}))
    assert isinstance(payload, TrainAnswer)
    assert (payload.examples, payload.validation_people, payload.received) == (24, 0, None)


def test_no_fault_gives_away_a_count_or_a_scan(hospital: Hospital, write: Callable[..., Path]) -> None:
    """The site's log names the scan and how many there are; a state that the server makes up would ask for either."""
    path = write(splits={"train": 0.5, "validation": 0.1, "test": 0.4}, participation={"retries": 2})
    hospital.approve(path)
    server = Server(Experiment.from_yaml(path), hospital)
    server.prepare()

    def fault(state: State, **more: Any) -> str:
        reply = server.ask(Task(Train(rule="fedavg", step=STEP), 1, parts={"state": state}, **more))
        assert isinstance(reply, Fault), reply
        return reply.reason

    line = "a loss, gradient or output is NaN or infinite; lower the learning rate or check the scans"
    assert fault(crafted(server.state, float("nan"))) == line
    weight = {name: 1e38 * torch.arange(tensor.numel()).view(tensor.shape) for name, tensor in server.state.items()}
    assert fault(weight) == line
    assert fault(server.state, deadline_seconds=1e-6) == "the deadline passed before the training was done"


def test_a_training_set_of_few_people_of_a_class_is_not_used(hospital: Hospital, write: Callable[..., Path]) -> None:
    path = write(splits={"train": 0.1, "validation": 0.45, "test": 0.45}, baselines=["leave_one_site_out"])
    hospital.approve(path)
    server = Server(Experiment.from_yaml(path), hospital)
    server.prepare()
    line = "policy.min_people of site A is 5, and a class has fewer people in training"
    for namespace in ("", "without-B"):
        train = Task(Train(rule="fedavg", step=STEP), 1, parts={"state": server.state}, namespace=namespace)
        assert server.refused(train) == line


def crafted(state: State, value: float) -> State:
    return {name: torch.full_like(tensor, value) for name, tensor in state.items()}


def test_crafted_states_are_not_evaluated(server: Server) -> None:
    """One evaluation, of a state of the rounds: not of weights that read a channel of each test scan."""
    server.prepare()
    line = "the state is none that this site received in the rounds of this method"
    assert server.refused(evaluate("federated", crafted(server.state, 1.0))).endswith(line)
    first = server.state
    second = server.train(1, first)
    server.train(2, second, memory_version=1)
    server.told(Task(Score(), 3, parts={"state": crafted(second, 0.5)}))
    for value in range(5):
        assert server.refused(evaluate("federated", crafted(second, float(value)))).endswith(line)
        features = Task(DescribeFeatures(), parts={"state": crafted(second, float(value))})
        assert server.refused(features).endswith(line)
    told = server.told(evaluate("federated", second))
    assert isinstance(told, Evaluation)
    assert server.told(evaluate("federated", second)) == told  # again, uncharged
    assert "needs 1 × evaluate federated, and that was answered already" in server.refused(evaluate("federated", first))


@pytest.mark.ci
def test_the_budget_holds_over_restarts_and_all_purposes(server: Server) -> None:
    server.prepare()
    states = [crafted(server.state, value / 10) for value in range(6)]
    for state in states[:2]:
        server.train(1, state)
        server.hospital.restart()
    for state in states[2:]:
        task = Task(Train(rule="fedavg", step=STEP), 1, parts={"state": state})
        assert "needs 2 × train fedavg in round 1, and those were answered already" in server.refused(task)
        server.hospital.restart()
    for number, state in enumerate(states):
        task = Task(Score(), 3, parts={"state": state})
        if number < 2:
            assert isinstance(server.told(task), ScoreAnswer)
        else:
            assert "needs 2 × score in round 3" in server.refused(task)
    for namespace in (LOCAL, "without-B"):
        task = Task(Train(rule="fedavg", step=STEP), 1, parts={"state": states[0]}, namespace=namespace)
        assert server.refused(task) == f"the approved experiment needs no train fedavg ({namespace}) in round 1"
    assert "needs no evaluate local" in server.refused(evaluate(LOCAL, states[0]))
    assert "needs no score in round 1" in server.refused(Task(Score(), 1, parts={"state": states[0]}))
    assert "needs no train ncc" in server.refused(Task(Train(rule="ncc", step={}), 1, parts={"state": states[0]}))


def test_a_server_that_lost_an_answer_is_given_it_again(server: Server) -> None:
    server.prepare()
    update = server.train(1, server.state)
    server.hospital.restart()
    again = server.train(1, server.state)
    assert all(torch.equal(update[name], again[name]) for name in update)
    charges = (server.hospital.folder / "charges.jsonl").read_text().splitlines()
    assert len(charges) == 3


def test_a_withdrawal_holds_for_the_answer_that_is_being_computed(server: Server) -> None:
    """It is refused, is not kept to be given later, and leaves without the person when it is asked for again."""
    hospital, left = server.hospital, ["sub-03"]

    def slow(*given: Any) -> Site:
        site = make_hosted_site(*given)
        answer = site.answer

        def withdrawn_meanwhile(task: Task) -> Answer:
            made = answer(task)
            if left:
                withdraw_person(hospital.folder, left.pop())
            return made

        site.answer = withdrawn_meanwhile  # type: ignore[method-assign]
        return site

    hospital.host = SiteHost(hospital.folder, slow)
    assert server.refused(Task(CountScans())) == "a participant has withdrawn at site A; ask again without them"
    counts = server.told(Task(CountScans()))
    assert isinstance(counts, ScanCounts)
    assert counts.people == PEOPLE - 1


def test_a_task_writes_nothing_but_lines_into_log_and_screen(
    server: Server, write: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    """Names in a task or an experiment that would clear a terminal, forge lines or fill the disk."""
    forged = "x\x1b[2J\nno answer left\u202e" + 100_000 * "y"
    for task in (Task(Train(rule=forged, step={})), Task(CountScans(), namespace=forged)):
        line = server.refused(task)
        assert "x\\x1b[2J no answer left\\u202eyyy" in line
        assert len(line) <= 2000
    logged = "".join(record.getMessage() for record in caplog.records)
    assert not {"\x1b", "\u202e"} & set(logged)
    assert len(logged) < 10_000
    hidden = 'diagnosis == "CN" or diagnosis == "\x1b[8m"'
    screen = read_request(server.hospital.folder, write(labels={"positive": "diagnosis == AD", "negative": hidden}))
    assert "\x1b" not in screen.screen


def test_a_withdrawal_at_any_moment_leaves_no_answer_to_be_given_again(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here between the last look at the decisions and the storing of the answer, which `site withdraw` cannot find."""
    keep, left = Account.keep, ["sub-03"]

    def withdrawn_before(account: Account, task: Task, answer: Answer) -> None:
        if left:
            withdraw_person(server.hospital.folder, left.pop())
        keep(account, task, answer)

    monkeypatch.setattr(Account, "keep", withdrawn_before)
    assert server.refused(Task(CountScans())) == "a participant has withdrawn at site A; ask again without them"
    assert server.told(Task(CountScans())) == ScanCounts(simulated=False)  # one fewer than were about to leave


def test_without_the_key_of_the_people_nothing_is_answered(server: Server) -> None:
    """With another one, who has withdrawn would be back, and whose budget is spent would begin a new one."""
    hospital = server.hospital
    withdraw_person(hospital.folder, "sub-03")
    (hospital.folder / "people.key").unlink()
    hospital.restart()
    reply = server.ask(Task(CountScans()))
    assert isinstance(reply, Fault)
    assert reply.reason == "the site could not carry out the task: InputError; details are in the site's log"
    assert not (hospital.folder / "people.key").exists()


def test_a_revocation_holds_for_the_answer_that_is_being_computed(server: Server) -> None:
    hospital, short = server.hospital, server.experiment.sha256()[:12]

    def slow(*given: Any) -> Site:
        site = make_hosted_site(*given)
        answer = site.answer

        def revoked_meanwhile(task: Task) -> Answer:
            made = answer(task)
            hospital.host.approvals.revoke(short)
            return made

        site.answer = revoked_meanwhile  # type: ignore[method-assign]
        return site

    hospital.host = SiteHost(hospital.folder, slow)
    line = f"site A has revoked its approval of this experiment ({short}…)"
    assert server.refused(Task(CountScans())) == line
    assert server.refused(Task(DescribePeople())) == line


def test_people_who_are_added_need_a_new_approval(server: Server, data: Path) -> None:
    site = server.hospital
    table = data / "participants.tsv"
    kept = table.read_text()
    try:
        table.write_text(kept.replace("sub-05\tAD", "sub-05\tCN"))
        site.restart()
        assert "the people at site A have changed since it approved" in server.refused(Task(CountScans()))
    finally:
        table.write_text(kept)


PRIVATE = {
    "privacy": {"epsilon": 3.0, "delta": 1e-3},
    "training": {"rounds": 2, "batch_size": 8, "class_weighted": False},
}


def private_server(hospital: Hospital, write: Callable[..., Path], name: str = "private", **changes: Any) -> Server:
    """A server whose experiment under differential privacy the hospital has approved, ready for the rounds."""
    path = write(name, **PRIVATE | changes)
    hospital.approve(path)
    server = Server(Experiment.from_yaml(path), hospital)
    server.prepare()
    return server


def require_equal(first: State, second: State) -> None:
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_noise_is_drawn_once_whatever_dies_and_whatever_is_asked(
    hospital: Hospital, write: Callable[..., Path]
) -> None:
    """Two draws of a round, averaged, have less noise. Here the site dies between storing the update and sending it."""
    server = private_server(hospital, write)
    child = os.fork()
    if child == 0:
        Account.keep = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign]
        server.train(1, server.state)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    (release,) = hospital.folder.glob("work/runs/*/sites/A/releases/*")
    stored = {
        name.removeprefix("trained/"): tensor
        for name, tensor in load_state(release).items()
        if name.startswith("trained/")
    }
    hospital.restart()
    sent = server.train(1, server.state)
    require_equal(sent, stored)
    hospital.restart()
    require_equal(server.train(1, server.state), sent)
    line = (
        "privacy.epsilon: site A has trained in round 1 already, and another answer would tell more of each person "
        "than the experiment promises"
    )
    task = Task(Train(rule="fedavg", step=STEP), 1, parts={"state": crafted(server.state, 1.0)})
    assert server.refused(task) == line
    (spending,) = {line.release for line in read_spending(hospital.folder / "privacy.jsonl")}
    assert spending


@pytest.mark.ci
def test_a_private_update_with_somebody_who_withdraws_meanwhile_never_leaves(
    hospital: Hospital, write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is written after `site withdraw` has looked for it."""
    server = private_server(hospital, write)
    (splits,) = hospital.folder.glob("work/runs/*/sites/A/splits.tsv")
    left = [next(line.split("\t")[0] for line in splits.read_text().splitlines() if line.endswith("\ttrain"))]
    store = private_rounds._write

    def withdrawn_before(*given: Any) -> None:
        if left:
            withdraw_person(hospital.folder, left.pop())
        store(*given)

    monkeypatch.setattr(private_rounds, "_write", withdrawn_before)
    task = Task(Train(rule="fedavg", step=STEP), 1, parts={"state": server.state})
    assert isinstance(server.ask(task), Fault)
    for _ in range(2):
        line = "privacy.epsilon: what was released in round 1 is no longer kept, and is not drawn again"
        assert server.refused(task) == line
        hospital.restart()
    server.train(2, server.state)


@pytest.mark.ci
def test_one_budget_for_all_experiments_on_the_same_people(hospital: Hospital, write: Callable[..., Path]) -> None:
    settings = hospital.folder / "site.yaml"
    settings.write_text(settings.read_text().replace("max_epsilon: null", "max_epsilon: 3.5"))
    hospital.restart()
    with pytest.raises(Refusal, match="the experiment trains without differential privacy"):
        read_request(hospital.folder, write())
    first = private_server(hospital, write)
    second_state = first.train(1, first.state)
    first.train(2, second_state, memory_version=1)
    screen = " ".join(read_request(hospital.folder, write("second", **PRIVATE)).screen.split())
    for line in (
        "Differential privacy (epsilon 3, delta 0.001): whoever sees all updates, the odds that a given person was in "
        "the training change by a factor of at most 20.1, but for a chance of 0.001.",
        "Spent on these people so far: epsilon 3 at delta 0.001; with this experiment 3, of a limit of 3.5.",
        "That is enough for 0 of 2 rounds; then this site stops training by itself.",
        "1 step over all of the people in training; each person's gradient has a norm of at most 1, and noise of",
    ):
        assert line in screen
    second = private_server(hospital, write, "second")
    hospital.restart()
    line = second.refused(Task(Train(rule="fedavg", step=STEP), 1, parts={"state": second.state}))
    assert line == (
        "policy.max_epsilon of site A is 3.5, of which 3 is spent on the same people; another round would make it 3.86"
    )
    payload = first.told(Task(Train(rule="fedavg", step=STEP), 2, parts={"state": second_state}, memory_version=1))
    assert isinstance(payload, TrainAnswer)  # what was sent before is sent again
    assert payload.spent is not None
    assert 2.99 < payload.spent.epsilon <= 3.0
    assert payload.loss is None


@pytest.mark.ci
def test_with_the_same_draws_a_hospital_sends_the_same_bits_as_a_simulation(
    hospital: Hospital, write: Callable[..., Path], cache: Path, data: Path
) -> None:
    """Which is the one exception to equal bits: with draws from the system they differ in every weight."""
    sampled = {"privacy": PRIVATE["privacy"] | {"sampling": "poisson"}}
    from_system = private_server(hospital, write, "system", **sampled)
    other = from_system.train(1, from_system.state)
    hospital.make_draws = SeededDraws
    hospital.restart()
    server = private_server(hospital, write, "seeded", **sampled)
    sent = server.train(1, server.state)
    sections = tuple(
        section.model_copy(update={"root": data, "policy": hospital.host.settings.policy})
        for section in server.experiment.sites
    )
    experiment = server.experiment.model_copy(
        update={"sites": sections, "cache": cache, "output": hospital.folder / "simulation"}
    )
    (site,) = make_sites(experiment, RunFolder(experiment.output), Silent(), only="A")
    site.answer(Task(CountScans()))
    site.answer(Task(AssignSplits(groups={})))
    simulated = site.answer(Task(Train(rule="fedavg", step=STEP), 1, parts={"state": server.state}))
    require_equal(sent, dict(simulated.parts["state"]))
    assert not any(torch.equal(sent[name], other[name]) for name in sent)
