"""Encoders in files of one's own: by path in a file that the user runs, else by name and SHA-256."""

import hashlib
from pathlib import Path

import pytest
from pydantic import ValidationError
from small_files import SMALL, problems, write_small

from fedtune3d._utils.errors import InputError
from fedtune3d.config.experiment import Experiment
from fedtune3d.config.own_encoder import require_code_of_run
from fedtune3d.config.study import Study
from fedtune3d.config.study_axes import Draw
from fedtune3d.models.encoders import _registry, install_encoder

CODE = """
from pathlib import Path

from fedtune3d.models.encoders.contract import EncoderSpec, FeatureSpec, InputSpec

Path(__file__).with_suffix(".ran").touch()
NAME = Path(__file__).stem
SPEC = EncoderSpec(
    name=NAME, version=1, title="Mine", input=InputSpec(size=64), features=FeatureSpec(4, 8), licence="MIT"
)


def build():
    raise NotImplementedError
"""


@pytest.fixture(autouse=True)
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_registry, "_INSTALLED", {})


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """The file of an encoder, which leaves `mine.ran` next to it when it is run."""
    path = tmp_path / "mine.py"
    path.write_text(CODE)
    return path


def has_run(path: Path) -> bool:
    return path.with_suffix(".ran").exists()


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_path_becomes_a_name_and_a_sha256(tmp_path: Path, mine: Path) -> None:
    experiment = Experiment.from_yaml(write_small(tmp_path, model={"encoder": "./mine.py", "head": "linear"}))
    assert (experiment.model.encoder, experiment.model.encoder_sha256) == ("mine", sha256(mine))
    assert experiment.input.size == 64
    public = experiment.public()
    assert public["model"]["encoder_sha256"] == sha256(mine)
    assert str(tmp_path) not in str(public)


def test_by_name_and_sha256_it_is_the_same_experiment(tmp_path: Path, mine: Path) -> None:
    by_path = Experiment.from_yaml(write_small(tmp_path, model={"encoder": "mine.py", "head": "linear"}))
    named = {"encoder": "mine", "encoder_sha256": sha256(mine), "head": "linear"}
    assert Experiment.from_yaml(write_small(tmp_path, model=named)).sha256() == by_path.sha256()
    (line,) = problems(Experiment, write_small(tmp_path, model={**named, "encoder_sha256": "0" * 64}))
    assert f"the file installed here has SHA-256 {sha256(mine)}, expected SHA-256 {'0' * 64}" in line
    (line,) = problems(Experiment, write_small(tmp_path, model={"encoder": "mine", "head": "linear"}))
    assert f"SHA-256 {sha256(mine)}, but none is given; write encoder_sha256" in line


def test_an_experiment_without_such_an_encoder_has_the_hash_that_it_had(tmp_path: Path) -> None:
    assert "encoder_sha256" not in Experiment.from_yaml(write_small(tmp_path)).public()["model"]


def test_a_name_that_is_not_installed_says_where_to_list_the_file(tmp_path: Path) -> None:
    (line,) = problems(Experiment, write_small(tmp_path, model={"encoder": "mine", "encoder_sha256": "1" * 64}))
    assert "not installed here: list it under `encoders` in site.yaml or server.yaml" in line
    (line,) = problems(Experiment, write_small(tmp_path, model={"encoder": "tiny", "encoder_sha256": "1" * 64}))
    assert "encoder tiny is part of fedtune3d and has no file of its own" in line


def test_a_path_in_an_experiment_from_elsewhere_is_refused_and_never_run(tmp_path: Path, mine: Path) -> None:
    """Validation is what a site does with what a server sends, and what `site approve` does with a file."""
    for encoder in (str(mine), "./mine.py", "../mine.py"):
        with pytest.raises(ValidationError, match="expected a name, got a file, which is code"):
            Experiment.model_validate(SMALL | {"model": {"encoder": encoder, "head": "linear"}})
    path = write_small(tmp_path, model={"encoder": "./mine.py", "head": "linear"})
    with pytest.raises(InputError, match="expected a name, got a file, which is code"):
        Experiment.from_yaml(path, own_code=False)
    assert not has_run(mine)


def test_the_sha256_in_the_file_is_held_against_the_path(tmp_path: Path, mine: Path) -> None:
    model = {"encoder": "./mine.py", "encoder_sha256": "2" * 64, "head": "linear"}
    with pytest.raises(InputError, match="expected the encoder's file with SHA-256 2222"):
        Experiment.from_yaml(write_small(tmp_path, model=model))
    assert not has_run(mine)


def test_a_study_compares_files_with_encoders_of_the_package(tmp_path: Path, mine: Path) -> None:
    (tmp_path / "other.py").write_text(CODE)
    encoders = ["./mine.py", "tiny", {"encoder": "./other.py", "label": "second"}]
    path = write_small(tmp_path, model={"encoder": "./mine.py", "head": "linear"}, encoders=encoders)
    study = Study.from_yaml(path)
    models = {one.name: study.experiment(one, Draw(0)).model for one in study.encoders_stage()}
    assert {name: (model.encoder, model.encoder_sha256) for name, model in models.items()} == {
        "mine-linear-frozen-fedavg": ("mine", sha256(mine)),
        "tiny-linear-frozen-fedavg": ("tiny", ""),
        "second-linear-frozen-fedavg": ("other", sha256(tmp_path / "other.py")),
    }


def test_a_run_asks_for_the_file_that_it_was_made_with(tmp_path: Path, mine: Path) -> None:
    config = {"model": {"encoder": "mine", "encoder_sha256": sha256(mine)}}
    with pytest.raises(InputError, match=rf"give the file with SHA-256 {sha256(mine)} as --encoder mine.py"):
        require_code_of_run(config, tmp_path / "run")
    install_encoder(mine)
    require_code_of_run(config, tmp_path / "run")
    mine.write_text(CODE + "# changed")
    install_encoder(mine)
    with pytest.raises(InputError, match=r"--encoder mine\.py"):
        require_code_of_run(config, tmp_path / "run")


def test_precision_is_for_a_frozen_encoder_and_part_of_the_experiment(tmp_path: Path) -> None:
    plain = Experiment.from_yaml(write_small(tmp_path))
    rounded = Experiment.from_yaml(write_small(tmp_path, model={"precision": "bfloat16"}))
    assert "precision" not in plain.public()["model"]
    assert plain.sha256() != rounded.sha256()
    (line,) = problems(Experiment, write_small(tmp_path, model={"precision": "bfloat16"}, tuning={"method": "full"}))
    assert "model.precision: bfloat16 is for a frozen encoder, but tuning full trains it; write float32" in line
