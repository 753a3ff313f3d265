import re
from pathlib import Path

import pytest
import yaml

from fedtune3d._utils.errors import DamagedFileError, InputError
from fedtune3d._utils.run_config import FORMAT, FORMAT_KEY, read_run_config, write_run_config

PUBLIC = {"name": "x", "seed": 1, "baselines": []}


def test_the_configuration_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "run" / "config.yaml"
    write_run_config(path, PUBLIC)
    assert yaml.safe_load(path.read_text()) == {FORMAT_KEY: FORMAT, **PUBLIC}
    assert read_run_config(path) == PUBLIC


def test_a_configuration_edited_by_hand_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    write_run_config(path, PUBLIC)
    path.write_text(path.read_text().replace("seed: 1", "seed: 2"))
    with pytest.raises(DamagedFileError, match=r"config\.yaml: the file does not match its checksum"):
        read_run_config(path)


@pytest.mark.parametrize(("first_line", "version"), [("", "0.1"), ("fedtune3d: '0.9'\n", "0.9")])
def test_a_run_folder_of_another_version_is_refused_in_one_line(tmp_path: Path, first_line: str, version: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"{first_line}name: x\nbaselines: []\n")
    line = rf"^{re.escape(str(path))}: this run folder needs fedtune3d {version}, but this is [^\n]*$"
    with pytest.raises(InputError, match=line):
        read_run_config(path)
