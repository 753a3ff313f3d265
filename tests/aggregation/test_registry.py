import pytest

import fedtune3d.aggregation
from fedtune3d._utils.errors import InputError
from fedtune3d.aggregation.registry import build_rule, rules

ONE_FILE = """
from dataclasses import dataclass
from fedtune3d.aggregation.contract import Rule

@dataclass(frozen=True)
class Extra(Rule):
    name = "{name}"
    share: float = 0.5

    def aggregate(self, state, updates, memory):
        raise NotImplementedError
"""


@pytest.fixture
def extra_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(fedtune3d.aggregation, "__path__", [*fedtune3d.aggregation.__path__, str(tmp_path)])
    return tmp_path


def test_a_file_in_the_folder_is_a_rule(extra_folder):
    (extra_folder / "extra_rule_found.py").write_text(ONE_FILE.format(name="extra"))
    assert "extra" in rules()
    assert build_rule("extra", {"share": 0.2}).share == 0.2
    with pytest.raises(InputError, match="rule extra: unknown option 'shar', did you mean 'share'"):
        build_rule("extra", {"shar": 0.2})


def test_a_name_taken_twice_is_refused(extra_folder):
    (extra_folder / "extra_rule_twice.py").write_text(ONE_FILE.format(name="fedavg"))
    with pytest.raises(TypeError, match="'fedavg' is taken"):
        rules()


def test_a_rule_without_the_decorator_is_refused(extra_folder):
    (extra_folder / "extra_rule_plain.py").write_text(ONE_FILE.format(name="plain").replace("@dataclass", "# @"))
    with pytest.raises(TypeError, match="Extra: expected @dataclass"):
        rules()


def test_unknown_names_and_options():
    with pytest.raises(InputError, match="unknown rule 'fedagv', did you mean 'fedavg'"):
        build_rule("fedagv")
    with pytest.raises(InputError, match="rule fedavg: 'tau': this rule has no options"):
        build_rule("fedavg", {"tau": 1})
