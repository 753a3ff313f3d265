"""The reference is made from the types, the commands and the folders, and says something about each of them."""

import re
from pathlib import Path

import click
import pytest
import typer
from command_line_reference import command_line_reference
from configuration_reference import configuration_reference, keys_of, undocumented
from doc_pages import DOCS
from run_folder_reference import run_folder_reference

from fedtune3d._utils.folders import RunFolder
from fedtune3d._utils.locks import LOCK
from fedtune3d.aggregation.registry import rules
from fedtune3d.cli.app import app
from fedtune3d.cohorts.splits import COLUMNS as SPLIT_COLUMNS
from fedtune3d.config.experiment import ExperimentKeys
from fedtune3d.config.participation import ParticipationSection
from fedtune3d.federation.site.predictions_table import COLUMNS as PREDICTION_COLUMNS
from fedtune3d.training.settings import TrainingSettings


def test_every_key_has_a_sentence() -> None:
    assert undocumented() == [], "write it under `Attributes:` (of a rule: `Options:`) in the docstring of the class"


def test_a_key_comes_with_its_range_default_and_meaning() -> None:
    key = next(key for key in keys_of(ParticipationSection) if key.name == "quorum")
    assert (key.values, key.default) == ("a whole number from 1 to 100,000 or null", "`null`")
    assert key.meaning.startswith("Minimum number of updates")
    schedule = next(key for key in keys_of(TrainingSettings) if key.name == "schedule")
    assert (schedule.values, schedule.default) == ("one of constant, cosine", "`constant`")


def test_the_reference_has_every_section_and_every_rule() -> None:
    text = configuration_reference()
    for name in ExperimentKeys.model_fields:
        assert f"| `{name}` |" in text, name
    for section in ("sites", "sites.policy", "training.augmentation", "tuning (lora)", "explain", "privacy"):
        assert f"### `{section}`" in text, section
    for name in rules():
        assert f"### `{name}`: " in text, name
    assert "| `mu` | a number from 0 to 1,000,000,000 | `0.01` |" in text
    assert "| `max_lora_rank` |" in text.partition("site.yaml")[2]


def test_links_from_docstrings_lead_to_pages() -> None:
    linked = set(re.findall(r"\]\(\.\./([\w-]+\.md)\)", configuration_reference()))
    assert len(linked) > 5
    assert [name for name in linked if not (DOCS / name).exists()] == []


def test_the_command_line_has_every_command_with_its_options() -> None:
    text = command_line_reference()
    assert "fedtune3d run [OPTIONS] EXPERIMENT.yaml" in text
    assert re.search(r"^\| `--rounds .*`? \| Override the number of rounds", text, flags=re.MULTILINE)
    assert "### `fedtune3d site approve`" in text
    assert "\\[raw" not in text


def test_every_file_of_a_run_is_in_the_reference(small_run: RunFolder) -> None:
    named = [re.escape(path) for path in re.findall(r"^\| `([^`]+)` \|", run_folder_reference(), flags=re.MULTILINE)]
    patterns = [path.replace("NAME", "[^/]+") + (".*" if path.endswith("/") else "") for path in named]
    halves = [f"sites/[^/]+/{pattern}" for pattern in patterns] + [f"baselines/.*/{pattern}" for pattern in patterns]
    found = [path for path in small_run.path.rglob("*") if path.is_file() and path.name != LOCK]
    files = [path.relative_to(small_run.path).as_posix() for path in found]
    known = re.compile("|".join([*patterns, *halves]))
    assert len(files) > 30
    assert [file for file in files if not known.fullmatch(file)] == []


@pytest.mark.parametrize("name", ["configuration", "command line", "run folder"])
def test_each_is_on_a_page(name: str) -> None:
    pages = [
        page for page in Path(DOCS / "reference").glob("*.md") if f"<!-- generated: {name} -->" in page.read_text()
    ]
    assert len(pages) == 1
    before = " ".join(pages[0].read_text().partition("<!-- generated: ")[0].split())
    assert "On a code host this page ends here" in before
    assert "(../../src/fedtune3d/" in before, "a reader on a code host needs the source"


def test_the_page_of_the_command_line_lists_every_command_and_group() -> None:
    text = (DOCS / "reference" / "command-line.md").read_text().partition("| Commands |")[2]
    command = typer.main.get_command(app)
    assert isinstance(command, click.Group)
    assert [name for name in command.commands if f"`{name}`" not in text] == []


def test_the_columns_of_the_tables_are_those_of_the_program() -> None:
    text = (DOCS / "reference" / "files.md").read_text()
    for name, columns in (("splits", SPLIT_COLUMNS), ("predictions", PREDICTION_COLUMNS)):
        listed = re.search(rf"\*\*`{name}\.tsv`\*\* has\s(.*?)(?:, a row|\. \*\*)", text, flags=re.DOTALL)
        assert listed is not None
        assert tuple(re.findall(r"`(\w+)`", listed[1])) == columns
