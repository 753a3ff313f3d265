import hashlib
import json
from pathlib import Path

import pytest
from small_files import problems, write_small

from fedtune3d.aggregation.lora import LoraRule
from fedtune3d.config.experiment import Experiment


def test_relative_paths_count_from_the_file(tmp_path: Path) -> None:
    experiment = Experiment.from_yaml(write_small(tmp_path, model={"weights": "sam.pth"}, cache="/elsewhere"))
    assert experiment.sites[0].root == tmp_path / "a"
    assert experiment.model.weights == tmp_path / "sam.pth"
    assert (experiment.output, experiment.cache) == (tmp_path / "runs", Path("/elsewhere"))


def test_logs_are_one_name_or_several_and_no_part_of_the_identity(tmp_path: Path) -> None:
    written = {"tensorboard": ("tensorboard",), ("mlflow", "mlflow"): ("mlflow",), (): ()}
    for log, expected in written.items():
        experiment = Experiment.from_yaml(write_small(tmp_path, log=log if isinstance(log, str) else list(log)))
        assert experiment.log == expected
        assert experiment.sha256() == Experiment.from_yaml(write_small(tmp_path)).sha256()


def test_every_problem_is_reported_together_with_the_nearest_key(tmp_path: Path) -> None:
    path = write_small(
        tmp_path,
        seeed=1,
        training={"round": 3, "batch_size": 0},
        model={"head": "conv_x"},
        aggregation={"rule": "fedavgg"},
    )
    lines = problems(Experiment, path)
    assert len(lines) == 5
    text = "\n".join(lines)
    assert "seeed: unknown key, did you mean 'seed'?" in text
    assert "training.round: unknown key, did you mean 'rounds'?" in text
    assert "training.batch_size: expected at least 1, got 0" in text
    assert "model.head: unknown name 'conv_x', did you mean 'conv_s'?" in text
    assert "did you mean 'fedavg'?" in text
    assert all(line.startswith(str(path)) for line in lines)


def test_unknown_key_inside_a_list_and_a_union(tmp_path: Path) -> None:
    sites = [{"name": "A", "rooot": "a"}]
    lines = problems(Experiment, write_small(tmp_path, sites=sites, tuning={"method": "lora", "rnak": 2}))
    assert any("sites.0.rooot (site A): unknown key, did you mean 'root'?" in line for line in lines)
    assert any("tuning.rnak: unknown key, did you mean 'rank'?" in line for line in lines)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": {"positive": ["AD"], "negative": ["AD"]}}, "labels: AD is in both positive and negative"),
        ({"labels": None}, "site A has no labels"),
        ({"sites": [{"name": "A"}, {"name": "A"}]}, "A is used twice"),
        ({"splits": {"train": 0.5, "validation": 0.5, "test": 0.5}}, "splits: train + validation + test must sum to 1"),
        (
            {"name": "a/b"},
            "name: expected at most 64 letters, digits, - and _, beginning with a letter or digit, got 'a/b'",
        ),
        ({"tuning": {"method": "magic"}}, "tuning: "),
        ({"aggregation": {"rule": "fedavg", "mu": 1}}, "'mu'"),
        (
            {"log": ["mlflow", "tensorbord"]},
            "log: unknown name 'tensorbord', did you mean 'tensorboard'? (known: mlflow,",
        ),
    ],
)
def test_wrong_values_are_named(tmp_path: Path, changes: dict, message: str) -> None:
    assert message in "\n".join(problems(Experiment, write_small(tmp_path, **changes)))


@pytest.mark.parametrize(
    ("text", "message"),
    [("a: [", "not YAML at line 1"), ("- a", "expected keys and values at the top level, got list")],
)
def test_what_is_no_mapping_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    assert message in problems(Experiment, path)[0]


def test_missing_file_is_named(tmp_path: Path) -> None:
    assert "no such file" in problems(Experiment, tmp_path / "none.yaml")[0]


def test_identity_leaves_paths_out(tmp_path: Path) -> None:
    here = Experiment.from_yaml(write_small(tmp_path))
    (tmp_path / "other").mkdir()
    there = Experiment.from_yaml(write_small(tmp_path / "other", output="x", cache="y"))
    assert here.sha256() == there.sha256()
    assert here.sha256() != Experiment.from_yaml(write_small(tmp_path, seed=5)).sha256()
    assert "root" not in here.public()["sites"][0]


def test_identity_stays_that_of_runs_before(tmp_path: Path) -> None:
    changes = {
        "tuning": {"method": "lora", "rank": 2},
        "training": {"rounds": 3, "augmentation": {"noise": 1}},
        "preparation": {"steps": ["bias", "brain"]},
    }
    expected = "ca1e0db288b5f2d59628d4eb6e56292fe84e73b4d07708057e990dd17bfdeb52"
    public = Experiment.from_yaml(write_small(tmp_path, **changes)).public()
    assert hashlib.sha256(json.dumps(public, sort_keys=True).encode()).hexdigest() == expected


def test_a_program_with_other_features_has_another_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = Experiment.from_yaml(write_small(tmp_path))
    before = experiment.sha256(), experiment.splits_sha256()
    monkeypatch.setattr("fedtune3d.config.feature_versions.PREPARATION_VERSION", 99)
    assert experiment.sha256() != before[0]
    assert experiment.splits_sha256() == before[1]  # the same people


def test_labels_may_be_numbers(tmp_path: Path) -> None:
    experiment = Experiment.from_yaml(write_small(tmp_path, labels={"positive": [1], "negative": [0]}))
    assert experiment.labels_of(experiment.sites[0]).label({"diagnosis": "1"}) == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("least_examples", "min_people"),
        ("least_per_class", "min_per_class"),
        ("most_rounds", "max_rounds"),
        ("largest_payload_mb", "max_payload_mb"),
    ],
)
def test_a_policy_of_version_0_1_is_refused_in_one_line(tmp_path: Path, old: str, new: str) -> None:
    (line,) = problems(Experiment, write_small(tmp_path, sites=[{"name": "A", "policy": {old: 3}}]))
    assert f"sites.0.policy.{old} (site A): needs fedtune3d 0.1; since 0.2 this key is `{new}`" in line


def test_the_old_bound_on_updates_is_refused_in_one_line(tmp_path: Path) -> None:
    (line,) = problems(Experiment, write_small(tmp_path, participation={"largest_norm": 10}))
    assert "participation.largest_norm: needs fedtune3d 0.1; since 0.2 this key is `max_norm`" in line


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("training", "rounds", 10**400),
        ("training", "rounds", 100_001),
        ("training", "local_epochs", 10**9),
        ("training", "batch_size", 10**9),
        ("training", "accumulation", 10**9),
        ("training", "views", 10**9),
        ("training", "head_learning_rate", float("inf")),
        ("training", "encoder_learning_rate", float("nan")),
        ("training", "weight_decay", float("inf")),
        ("training", "weight_decay", 10**400),
        ("training", "clip_norm", float("nan")),
        ("participation", "fraction", 1e-300),
        ("participation", "deadline_seconds", float("inf")),
        ("participation", "deadline_seconds", 10**400),
        ("participation", "quorum", 10**9),
        ("participation", "retries", 10**9),
        ("splits", "train", float("nan")),
        ("tuning", "rank", 10**9),
        ("tuning", "alpha", float("inf")),
        ("explain", "steps", 10**9),
    ],
)
def test_absurd_numbers_are_refused_in_one_line(tmp_path: Path, section: str, key: str, value: float) -> None:
    methods = {"tuning": {"method": "lora"}, "explain": {"method": "gradcam"}}
    (line,) = problems(Experiment, write_small(tmp_path, **{section: {key: value} | methods.get(section, {})}))
    assert f"{section}.{key}: " in line
    assert len(line) < 400


@pytest.mark.parametrize("value", [1_000_000, 10**400, float("nan"), 0])
def test_an_absurd_number_of_threads_is_refused(tmp_path: Path, value: float) -> None:
    (line,) = problems(Experiment, write_small(tmp_path, threads=value))
    assert "threads: " in line


def test_a_truth_value_is_no_diagnosis(tmp_path: Path) -> None:
    (line,) = problems(Experiment, write_small(tmp_path, labels={"positive": [True], "negative": ["CN"]}))
    assert "labels.positive: expected diagnoses as text, got True; put it in quotes, such as 'yes'" in line


@pytest.mark.parametrize("section", ["training", "preparation", "splits"])
def test_a_value_in_place_of_a_section_is_refused(tmp_path: Path, section: str) -> None:
    (line,) = problems(Experiment, write_small(tmp_path, **{section: 3}))
    assert f"{section}: expected keys and values, got 3" in line


def test_unknown_keys_of_nested_sections_are_refused(tmp_path: Path) -> None:
    (line,) = problems(Experiment, write_small(tmp_path, training={"augmentation": {"noize": 1}}))
    assert "training.augmentation.noize: unknown key, did you mean 'noise'?" in line


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tuning": {"method": "lora", "blocks": 3}}, "tuning.blocks: expected a text, got 3"),
        ({"preparation": {"steps": ["foo"]}}, "preparation.steps.0: expected 'brain', 'bias' or 'register', got 'foo'"),
        ({"aggregation": {"lora": "foo"}}, "aggregation.lora: expected 'factors'"),
        ({"tuning": {}}, "tuning: missing key 'method'"),
        ({"tuning": {"method": "lorra"}}, "tuning: expected 'frozen', 'full', 'lora' for 'method', got {"),
        ({"seed": "1x"}, "seed: expected a whole number, got '1x'"),
        ({"seed": None}, "seed: expected a whole number, got nothing"),
        ({"baselines": "local"}, "baselines: expected a list such as [local], got 'local'"),
        ({"sites": []}, "sites: expected at least 1 in the list, got []"),
        (
            {"sites": [{"name": "A", "labels": {"positive": 3, "negative": ["CN"]}}]},
            "sites.0.labels.positive (site A): expected a list of diagnoses",
        ),
        ({"sites": [{"name": "-"}]}, "sites.0.name: expected at most 64 letters"),
    ],
)
def test_the_key_is_named_as_it_stands_in_the_file(tmp_path: Path, changes: dict, message: str) -> None:
    assert message in "\n".join(problems(Experiment, write_small(tmp_path, **changes)))


@pytest.mark.parametrize(
    ("section", "mode"),
    [
        ({"rule": "fedavg"}, "factors"),
        ({"rule": "rate_my_lora"}, "exact"),
        ({"rule": "rate_my_lora", "lora": "factors"}, "factors"),
    ],
)
def test_a_rule_has_its_own_way_to_run_on_lora_factors(section: dict[str, str], mode: str) -> None:
    """It is resolved in what is written and hashed, so that the default may change without changing what a run was."""
    values = {"name": "x", "sites": [{"name": "A", "root": "A"}], "labels": {"positive": ["AD"], "negative": ["CN"]}}
    experiment = Experiment.model_validate(values | {"aggregation": section, "tuning": {"method": "lora"}})
    assert experiment.public()["aggregation"]["lora"] == mode  # type: ignore[index,call-overload]
    rule = experiment.rule()
    assert isinstance(rule, LoraRule)
    assert rule.mode == mode
    assert Experiment.model_validate(experiment.public()).sha256() == experiment.sha256()
