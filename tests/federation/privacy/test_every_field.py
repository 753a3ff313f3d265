"""Every kind of task × every key of the policy × every field: what too few people stand behind does not leave.

The answers are those of a real site. A kind or key that is added is walked, too, or fails here.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fedtune3d._utils.folders import RunFolder
from fedtune3d._utils.progress import Silent
from fedtune3d.config.experiment import Experiment
from fedtune3d.config.policy import Policy
from fedtune3d.evaluation.summary import Summary, ValidationSummary
from fedtune3d.federation.messages import Answer, Task
from fedtune3d.federation.privacy.declarations import (
    EVERY_PART,
    AtLeast,
    CountedBy,
    Declaration,
    Exactly,
    Reveals,
    default_of,
)
from fedtune3d.federation.privacy.gate import PolicyGate
from fedtune3d.federation.privacy.refusal import Refusal
from fedtune3d.federation.privacy.suppression import reveals_numbers, withhold
from fedtune3d.federation.process_model import ProcessModel
from fedtune3d.federation.tasks.assign_splits import AssignSplits
from fedtune3d.federation.tasks.count_scans import CountScans
from fedtune3d.federation.tasks.describe_features import DescribeFeatures
from fedtune3d.federation.tasks.describe_people import DescribePeople
from fedtune3d.federation.tasks.evaluate import Evaluate, Evaluation
from fedtune3d.federation.tasks.fingerprint_scans import FingerprintScans
from fedtune3d.federation.tasks.map_saliency import MapSaliency
from fedtune3d.federation.tasks.profile_intensities import ProfileIntensities
from fedtune3d.federation.tasks.registry import declared_answer, task_kinds
from fedtune3d.federation.tasks.score import Score
from fedtune3d.federation.tasks.train import Train
from fedtune3d.models.tuning import read_state
from fedtune3d.workflows.sites import make_sites

pytestmark = pytest.mark.ci

MANY = 1000
STEP = {"keep_local": [], "frozen": [], "score_kind": "auc"}
REFUSING: dict[str, Any] = {
    "tunings": ["full"],
    "heads": ["conv_l"],
    "max_rounds": 1,
    "max_threads": 1,
    "max_lora_rank": 1,
    "max_payload_mb": 1e-9,
    "hours": "03:00-03:01",
    "secure_aggregation": "required",
    "max_epsilon": 1.0,
}
EXCEEDING: dict[str, Any] = {
    "max_threads": {"threads": 2},
    "max_lora_rank": {"tuning": {"method": "lora", "rank": 2, "blocks": "all"}},
}
"""What an experiment has more of than a policy allows, where the small one has the least."""
KEEPING = {"predictions_leave", "groups_leave", "maps_leave", "names_leave", "pictures_leave"}
SECURE_KINDS = {"share_secrets", "mask_update", "confirm_survivors", "reveal_shares"}
SECURE_KEYS = {"max_share"}
"""Of secure aggregation, which wants several sites: `tests/federation/test_secure_round.py`."""
PRIVATE_KEYS = {"max_delta"}
"""Of differential privacy: `tests/federation/test_private_run.py`."""
COUNTING = {"min_people", "min_per_class"}


def tasks(experiment: Experiment) -> Iterator[Task]:
    """A task of every kind, in an order that a site can answer."""
    assembled = ProcessModel(experiment).assembled
    parts = {"state": read_state(assembled.model, assembled.trainable)}
    yield Task(CountScans())
    yield Task(AssignSplits(groups={}))
    yield Task(FingerprintScans())
    yield Task(DescribePeople())
    yield Task(ProfileIntensities())
    yield Task(ProfileIntensities(grid=(-3.0, 3.0)))
    yield Task(Train(rule="fedavg", step=STEP), 1, parts=parts)
    yield Task(Score(), 2, parts=parts)
    yield Task(Evaluate(method="federated"), parts=parts)
    yield Task(Evaluate(method="leave_one_site_out", left_out="B"), parts=parts)
    yield Task(DescribeFeatures(), parts=parts)
    yield Task(MapSaliency(), parts=parts)


def answers(
    small_experiment: Any, folder: Path, changes: dict[str, Any] | None = None, **policy: Any
) -> dict[str, Answer | Refusal]:
    """What site A answers to each kind under a policy, or how it refuses."""
    path = small_experiment.write(folder / "run", explain="gradcam", **changes or {})
    experiment = Experiment.from_yaml(path)
    policies = Policy.model_validate({"min_per_class": 1, **policy})
    sections = tuple(section.model_copy(update={"policy": policies}) for section in experiment.sites)
    experiment = experiment.model_copy(update={"sites": sections})
    (site,) = make_sites(experiment, RunFolder(folder / "run"), Silent(), key=b"k" * 32, only="A")
    gate = PolicyGate(site, experiment, policies, site.folder, declared_answer)
    found: dict[str, Answer | Refusal] = {}
    for number, task in enumerate(tasks(experiment)):
        try:
            found[f"{number} {task.kind}"] = gate.answer(task)
        except Refusal as refusal:
            found[f"{number} {task.kind}"] = refusal
    return found


def depends(declaration: Declaration, key: str) -> bool:
    """Whether a field is bounded by a key of the policy."""
    match declaration.people:
        case AtLeast(own):
            return own in (key, "min_described")
        case CountedBy() | Exactly():
            return key == "min_people"
    return False


def bounds_all(key: str) -> bool:
    """Whether a key holds for every tensor that leaves, whatever its declaration says."""
    return key == "min_people"


def numbers(value: object) -> Iterator[float]:
    """All numbers in a JSON value, but for 0 and for those that say which format it is."""
    if isinstance(value, dict):
        for name, part in value.items():
            if name not in ("version", "grid"):
                yield from numbers(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from numbers(part)
    elif isinstance(value, int | float) and not isinstance(value, bool) and value:
        yield value


@pytest.fixture(scope="module")
def generous(small_experiment: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Answer | Refusal]:
    """The answers under a policy that bounds nothing."""
    return answers(small_experiment, tmp_path_factory.mktemp("generous"))


def test_every_kind_and_key_is_walked(generous: dict[str, Answer | Refusal]) -> None:
    assert {name.split()[1] for name in generous} == set(task_kinds()) - SECURE_KINDS
    assert {*REFUSING, *KEEPING, *COUNTING, *SECURE_KEYS, *PRIVATE_KEYS} == set(Policy.model_fields)
    for name, answer in generous.items():
        assert isinstance(answer, Answer), name
        assert reveals_numbers(answer, declared_answer(name.split()[1])) or name.endswith("train"), name


def test_a_membership_attack_is_among_what_is_walked(generous: dict[str, Answer | Refusal]) -> None:
    """And only of a model that was trained on people of this site."""
    tested, elsewhere = generous["8 evaluate"], generous["9 evaluate"]
    assert isinstance(tested, Answer)
    assert isinstance(elsewhere, Answer)
    summary = tested.expect(Evaluation).summary
    assert isinstance(summary, Summary)
    assert summary.membership is not None
    assert summary.membership.members > 0
    assert type(elsewhere.expect(Evaluation).summary) is ValidationSummary


@pytest.mark.parametrize("key", sorted(COUNTING))
def test_no_field_of_fewer_people_leaves(small_experiment: Any, tmp_path: Path, key: str) -> None:
    """The leak audit heeds `min_per_class` only where `min_people` is above 1."""
    bounded, policy = 0, {"min_people": 2, key: MANY}
    for name, answer in answers(small_experiment, tmp_path, **policy).items():
        declared = declared_answer(name.split()[1])
        if isinstance(answer, Refusal):
            assert any(f"policy.{name}" in str(answer) for name in policy)
            bounded += 1
            continue
        for field, declaration in declared.fields.items():
            if depends(declaration, key):
                bounded += 1
                if getattr(answer.payload, field) != default_of(answer.payload, field):
                    assert list(numbers(answer.payload.model_dump(mode="json")[field])) == [], (name, field)
        for part in answer.parts:
            assert not bounds_all(key)
            assert not depends(declared.parts.get(part) or declared.parts[EVERY_PART], key)
    assert bounded >= 2


@pytest.mark.parametrize("key", sorted(REFUSING))
def test_what_the_policy_refuses_is_refused_to_every_kind(small_experiment: Any, tmp_path: Path, key: str) -> None:
    for name, answer in answers(small_experiment, tmp_path, EXCEEDING.get(key), **{key: REFUSING[key]}).items():
        if key == "max_payload_mb" and isinstance(answer, Answer):
            assert not answer.parts, name  # no tensors, either way
        else:
            assert isinstance(answer, Refusal), name
            assert f"policy.{key}" in str(answer)


def test_what_the_policy_keeps_is_kept(small_experiment: Any, tmp_path: Path) -> None:
    kept = answers(small_experiment, tmp_path, **dict.fromkeys(KEEPING, False))
    told = {name: answer.payload for name, answer in kept.items() if isinstance(answer, Answer)}
    text = " ".join(payload.model_dump_json() for payload in told.values())
    assert "sub-" not in text
    summary = told["8 evaluate"].model_dump()["summary"]
    assert summary["test"]["predictions"] is None
    assert (
        told["11 map_saliency"].model_dump()["why"] == "the site's policy does not let maps leave (policy.maps_leave)"
    )
    assert not list((tmp_path / "run").rglob("*.png"))


def test_what_is_withheld_leaves_update_tensors_alone(generous: dict[str, Answer | Refusal]) -> None:
    for name, answer in generous.items():
        assert isinstance(answer, Answer)
        declared = declared_answer(name.split()[1])
        left = withhold(answer, declared, "why")
        for field, declaration in declared.fields.items():
            if declaration.reveals is not Reveals.NOTHING:
                assert getattr(left.payload, field) == default_of(left.payload, field), (name, field)
        assert set(left.parts) == ({"state"} if name.endswith("train") else set())
