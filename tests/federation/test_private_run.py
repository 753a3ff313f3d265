"""Whole runs under differential privacy: refused where they cannot be private, the same again, and never past ε."""

from pathlib import Path
from typing import Any

import pytest

from fedtune3d._utils.errors import InputError
from fedtune3d._utils.folders import RunFolder
from fedtune3d._utils.state_dicts import load_state, state_sha256
from fedtune3d.config.experiment import Experiment
from fedtune3d.config.policy import Policy
from fedtune3d.federation.privacy.differential_privacy.accounting import epsilon_of
from fedtune3d.federation.privacy.differential_privacy.spending import read_spending
from fedtune3d.federation.privacy.limits import require_within_limits
from fedtune3d.federation.privacy.refusal import Refusal
from fedtune3d.federation.round_state import RoundsFolder
from fedtune3d.training.private import SampledGaussian
from fedtune3d.workflows.run import run_experiment

PRIVATE = {"epsilon": 3.0, "delta": 1e-3}
TRAINING = {"rounds": 2, "batch_size": 4, "class_weighted": False}


def read(small_experiment: Any, folder: Path, **changes: Any) -> Experiment:
    path = small_experiment.write(folder / "run", **{"privacy": PRIVATE, "training": TRAINING} | changes)
    return Experiment.from_yaml(path)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"training": TRAINING | {"class_weighted": True}}, "write training: {class_weighted: false}"),
        ({"training": TRAINING | {"accumulation": 2}}, "training.accumulation has no meaning under it"),
        ({"baselines": ["local"]}, r"baselines \(local\) train on the same people again"),
        ({"aggregation": {"rule": "qfedavg"}}, "rule qfedavg sends the exact loss over the training scans"),
        (
            {
                "model": {"encoder": "tiny", "head": "ncc"},
                "aggregation": {"rule": "ncc"},
                "training": TRAINING | {"rounds": 1},
            },
            "head ncc sends exact class sums",
        ),
        ({"privacy": PRIVATE | {"delta": 0.2}}, "delta"),
        ({"privacy": PRIVATE | {"unit": "scan"}}, "unit"),
    ],
)
def test_what_is_not_private_is_refused_by_name(
    small_experiment: Any, tmp_path: Path, changes: dict[str, Any], line: str
) -> None:
    with pytest.raises(InputError, match=line):
        read(small_experiment, tmp_path, **changes)


def test_a_delta_that_allows_to_publish_a_person_is_refused_before_the_rounds(
    small_experiment: Any, tmp_path: Path
) -> None:
    """Site A trains on 8 people, B on 6: 0.15 is below 1/6, but not below 1/8."""
    experiment = read(small_experiment, tmp_path, privacy=PRIVATE | {"delta": 0.1})
    experiment = experiment.model_copy(update={"privacy": experiment.privacy.model_copy(update={"delta": 0.15})})
    with pytest.raises(InputError, match=r"privacy.delta is 0.15, but must be below 1 / people in training at site A"):
        run_experiment(experiment)
    assert not (tmp_path / "run" / "checkpoints").exists()


@pytest.mark.ci
def test_a_run_keeps_to_epsilon_and_says_what_it_spent(small_experiment: Any, tmp_path: Path) -> None:
    experiment = read(small_experiment, tmp_path, privacy=PRIVATE | {"sampling": "poisson"})
    folder = run_experiment(experiment, report=False)
    lines = [line for line in RoundsFolder(folder.path).lines() if line.trains]
    for name, rate, steps in (("A", 4 / 8, 2), ("B", 4 / 6, 2)):
        spent = [line.sites[name].spent for line in lines]
        assert spent[0] is not None
        assert spent[1] is not None
        noise = spent[0].noise_multiplier
        assert spent[0].sampling_rate == rate
        mechanism = SampledGaussian(noise, rate, steps)
        assert [one.epsilon for one in spent if one] == [epsilon_of({mechanism: count}, 1e-3) for count in (1, 2)]
        assert 2.9 < spent[1].epsilon <= 3.0
        assert [line.sites[name].loss for line in lines] == [None, None]
        written = list(read_spending(folder.site(name).spending))
        assert [f"{line.what} {line.round}" for line in written] == ["charged 1", "kept 1", "charged 2", "kept 2"]
        assert len(written[0].people) == {"A": 8, "B": 6}[name]
    grown = experiment.with_rounds(3)
    with pytest.raises(InputError, match=r"training.rounds: 2 before, 3 now"):
        run_experiment(grown, resume=True, report=False)


@pytest.mark.ci
def test_the_same_run_gives_the_same_bits_and_a_resumed_one_too(small_experiment: Any, tmp_path: Path) -> None:
    """In a simulation noise follows from seed, site and round; the second run loses its checkpoint of round 2."""
    first = run_experiment(read(small_experiment, tmp_path / "a"), report=False)
    experiment = read(small_experiment, tmp_path / "b")
    stopped = _stopped_in_round_2(experiment)
    run_experiment(experiment, resume=True, report=False)
    for name in ("last", "best"):
        assert _sha256(first, name) == _sha256(stopped, name)
    other = run_experiment(read(small_experiment, tmp_path / "c", privacy=PRIVATE | {"epsilon": 2.0}), report=False)
    assert _sha256(first, "last") != _sha256(other, "last")


def _stopped_in_round_2(experiment: Experiment) -> RunFolder:
    """Run until site B begins round 2."""
    from fedtune3d.federation.site.local_trainer import LocalTrainer

    class Stop(BaseException):
        pass

    original = LocalTrainer.train

    def train(self: LocalTrainer, task: Any) -> Any:
        if (self.name, task.round) == ("B", 2):
            raise Stop
        return original(self, task)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LocalTrainer, "train", train)
        with pytest.raises(Stop):
            run_experiment(experiment, report=False)
    return RunFolder(experiment.output)


def _sha256(folder: RunFolder, name: str) -> str:
    return state_sha256(load_state(folder.rounds.checkpoints / f"{name}.safetensors"))


@pytest.mark.parametrize(
    ("policy", "privacy", "line"),
    [
        ({"max_epsilon": 2.0}, {}, "policy.max_epsilon is 2, but the experiment trains without differential privacy"),
        ({"max_epsilon": 2.0}, PRIVATE, "policy.max_epsilon is 2, but the experiment has privacy.epsilon 3"),
        (
            {"max_epsilon": 4.0, "max_delta": 1e-4},
            PRIVATE,
            "policy.max_delta is 0.0001, but the experiment has privacy.delta 0.001",
        ),
        ({"max_epsilon": 3.0}, PRIVATE, None),
        ({"max_delta": 1e-4}, {}, None),
    ],
)
def test_a_sites_policy_limits_what_an_experiment_may_spend(
    small_experiment: Any, tmp_path: Path, policy: dict[str, float], privacy: dict[str, float], line: str | None
) -> None:
    experiment = read(small_experiment, tmp_path, privacy=privacy)
    if line is None:
        require_within_limits(experiment, Policy.model_validate(policy))
        return
    with pytest.raises(Refusal, match=line):
        require_within_limits(experiment, Policy.model_validate(policy))


def test_epsilon_is_no_part_of_an_experiment_without_it(small_experiment: Any, tmp_path: Path) -> None:
    plain = read(small_experiment, tmp_path, privacy={})
    assert "privacy" not in plain.public()
    hidden = read(
        small_experiment,
        tmp_path,
        privacy={"secure_aggregation": True},
        sites=[{"name": name, "root": str(tmp_path)} for name in "ABC"],
    )
    assert hidden.public()["privacy"] == {"secure_aggregation": True, "max_share": 0.6}
    assert not plain.warnings
    small = read(small_experiment, tmp_path)
    assert not small.warnings
    large = read(small_experiment, tmp_path, model={"encoder": "tiny", "head": "conv_s"})
    assert "head conv_s trains many parameters" in large.warnings[0]
