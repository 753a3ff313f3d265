"""Files of encoders of one's own: what is loaded, what is refused in one line, and what the cache's key says."""

from pathlib import Path

import pytest

from fedtune3d._utils.errors import InputError
from fedtune3d.models.classifier import Classifier
from fedtune3d.models.encoders import _registry, build_encoder, encoder_names, encoder_spec, install_encoder
from fedtune3d.models.encoders.contract import initialise_random
from fedtune3d.models.heads import build_head
from fedtune3d.models.tuning import Frozen, apply_tuning
from fedtune3d.training.prefix import Prefix

CODE = """
from torch import nn

from fedtune3d.models.encoders.contract import Encoder, EncoderSpec, FeatureSpec, InputSpec

SPEC = EncoderSpec(
    name="mine", version=1, title="Mine", input=InputSpec(), features=FeatureSpec(4, 8), licence="MIT"
)


class Mine(Encoder):
    spec = SPEC
    stage_count = 1

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv3d(1, 4, 16, stride=16)

    def run_stage(self, x, stage):
        return self.layer(x)

    def stage_of(self, name):
        return 0


def build():
    return Mine()
"""


@pytest.fixture(autouse=True)
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_registry, "_INSTALLED", {})


def write(folder: Path, code: str = CODE, name: str = "mine.py") -> Path:
    path = folder / name
    path.write_text(code, encoding="utf-8")
    return path


def cache_key(name: str) -> str:
    encoder = build_encoder(name)
    initialise_random(encoder, 1)
    model = Classifier(encoder, build_head("linear", encoder.out_channels))
    return Prefix(model, apply_tuning(model, Frozen())).key("scan", "0").digest()


def test_an_installed_file_is_an_encoder_by_its_name(tmp_path: Path) -> None:
    own = install_encoder(write(tmp_path))
    assert own.name == "mine"
    assert "mine" in encoder_names()
    assert encoder_spec("mine").code_sha256 == own.sha256 == build_encoder("mine").spec.code_sha256
    assert len(own.sha256) == 64


def test_changed_contents_have_another_cache_key(tmp_path: Path) -> None:
    install_encoder(write(tmp_path))
    before = cache_key("mine")
    install_encoder(write(tmp_path))
    assert cache_key("mine") == before
    install_encoder(write(tmp_path, CODE + "# the same weights and version, but another file\n"))
    assert cache_key("mine") != before


def test_other_bytes_than_expected_are_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    path = write(tmp_path, f"open({str(mark)!r}, 'w')\n{CODE}")
    with pytest.raises(InputError, match=f"expected the encoder's file with SHA-256 {'0' * 64}, got "):
        install_encoder(path, "0" * 64)
    assert not mark.exists()
    assert "mine" not in encoder_names()


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("x = 1\nraise ValueError('no\\nGPU')", "ValueError while the encoder's file was loaded, line 2: no GPU;"),
        ("import no_such_package_anywhere", "ModuleNotFoundError while the encoder's file was loaded, line 1: "),
        ("import sys\n\nsys.exit()", "SystemExit while the encoder's file was loaded, line 3: without a message;"),
        ("def build(:", "SyntaxError while the encoder's file was loaded, line 1: "),
        ("x = '\x00'", "while the encoder's file was loaded"),
        ("x = 1", "needs `SPEC`, an EncoderSpec, and a function `build`"),
        (CODE.replace('name="mine"', 'name="yours"'), "SPEC.name is 'yours', but the file is mine.py"),
    ],
)
def test_a_file_that_is_no_encoder_is_refused_in_one_line(tmp_path: Path, code: str, line: str) -> None:
    with pytest.raises(InputError) as caught:
        install_encoder(write(tmp_path, code))
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "mine.py") in str(caught.value)
    assert "mine" not in encoder_names()


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("vit_b.py", "vit_b is an encoder of fedtune3d; give the file another name"),
        ("My-Encoder.py", "expected an encoder's file such as my_encoder.py"),
        ("mine.txt", "expected an encoder's file such as my_encoder.py"),
    ],
)
def test_names_that_cannot_be_used(tmp_path: Path, name: str, line: str) -> None:
    with pytest.raises(InputError, match=line):
        install_encoder(write(tmp_path, CODE, name))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"mine.py: the encoder's file cannot be read \(No such file"):
        install_encoder(tmp_path / "mine.py")


def test_a_file_that_fails_leaves_the_installed_one(tmp_path: Path) -> None:
    own = install_encoder(write(tmp_path))
    with pytest.raises(InputError):
        install_encoder(write(tmp_path, "raise ValueError"))
    assert encoder_spec("mine").code_sha256 == own.sha256
