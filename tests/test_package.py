import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import fedtune3d
from fedtune3d.config.experiment import Experiment
from fedtune3d.workflows.run import run_experiment


def test_the_front_door() -> None:
    assert fedtune3d.Experiment is Experiment
    assert fedtune3d.run is run_experiment
    assert set(fedtune3d.__all__) == {"Experiment", "run", "__version__"}


@pytest.mark.ci
def test_what_only_trains_or_measures_does_not_import_what_evaluates_and_draws() -> None:
    code = """
import sys
import fedtune3d.config.experiment, fedtune3d.federation.site.costs, fedtune3d.preparation.prepare_all
sys.exit(str({"scipy.stats", "statsmodels", "pandas", "sklearn", "matplotlib", "nilearn"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr == "set()\n"


def test_the_citation_has_the_package_s_version() -> None:
    citation = yaml.safe_load((Path(__file__).parents[1] / "CITATION.cff").read_text())
    assert citation["version"] == fedtune3d.__version__


@pytest.mark.slow  # a whole run
def test_the_example_of_the_readme_prints_the_auc(
    small_experiment: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    example = re.search(r"```python\n(.*?)```", (Path(__file__).parents[1] / "README.md").read_text(), flags=re.DOTALL)
    assert example
    small_experiment.write(tmp_path / "experiment")
    monkeypatch.chdir(tmp_path)
    exec(compile(example[1], "README.md", "exec"), {})
    assert 0 <= float(capsys.readouterr().out) <= 1
