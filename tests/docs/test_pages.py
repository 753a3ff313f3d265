"""What all pages of the documentation hold: commands that exist, Python that compiles, YAML that is read."""

import itertools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer
import yaml
from doc_pages import DOCS, ROOT, SHELL, blocks, first_missing, pages

from fedtune3d._utils.yaml_files import read_yaml
from fedtune3d.cli.app import app
from fedtune3d.config.experiment import Experiment

PAGES = list(pages())
MINIMAL = {
    "name": "x",
    "sites": [{"name": "A"}, {"name": "B"}, {"name": "C"}],
    "labels": {"positive": ["AD"], "negative": ["CN"]},
}


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def commands(text: str) -> Iterator[list[str]]:
    """The words of every call of fedtune3d in a piece of shell."""
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        for is_punctuation, words in itertools.groupby(lexer, lambda word: set(word) <= set("();<>|&")):
            if not is_punctuation:
                yield from _calls(list(words))


def _calls(words: list[str]) -> Iterator[list[str]]:
    """The words after fedtune3d where this is the command, perhaps after variables."""
    at = next((place for place, word in enumerate(words) if Path(word).name == "fedtune3d"), None)
    if at is not None and all("=" in word or word in ("exec", "$") for word in words[:at]):
        yield words[at + 1 :]


def unknown_in(words: list[str]) -> list[str]:
    """The subcommands and options among the words of a command that fedtune3d does not have."""
    command: click.Command = typer.main.get_command(app)
    words = list(words)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        if words[0] not in command.commands:
            return [words[0]]
        command = command.commands[words.pop(0)]
    known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)} | {"--help", "-h"}
    return [word for word in words if re.fullmatch(r"--?[A-Za-z].*", word) and word.partition("=")[0] not in known]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_that_a_page_shows_exists_with_its_options(page: Path) -> None:
    shown = [words for block in blocks(page) if block.language in SHELL for words in commands(block.text)]
    shown += [
        words for line in re.findall(r"(?<!`)`(fedtune3d [^`]+)`(?!`)", page.read_text()) for words in commands(line)
    ]
    assert {" ".join(words): unknown for words in shown if (unknown := unknown_in(words))} == {}


def test_an_option_that_does_not_exist_is_found() -> None:
    text = "OMP_NUM_THREADS=1 fedtune3d run a.yaml \\\n  --reusme && fedtune3d server start; echo fedtune3d"
    assert [unknown_in(words) for words in commands(text)] == [["--reusme"], ["start"]]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_python_on_a_page_compiles_and_yaml_can_be_read(page: Path, tmp_path: Path) -> None:
    for block in blocks(page):
        if block.language == "python":
            compile(block.text, name_of(page), "exec")
        if block.language in ("yaml", "yml"):
            path = tmp_path / "block.yaml"
            path.write_text(block.text)
            assert read_yaml(path, if_missing="") is not None


@pytest.mark.parametrize("page", sorted((DOCS / "how-to").glob("*.md")), ids=lambda page: page.stem)
def test_the_keys_that_a_how_to_shows_are_keys_of_an_experiment(page: Path) -> None:
    for block in blocks(page):
        if block.language == "yaml" and not block.title:
            shown = yaml.safe_load(block.text)
            assert Experiment.model_validate(MINIMAL | shown)


def test_text_is_compared_line_by_line_in_order() -> None:
    printed = "one   1\ntwo 2.5 s\nthree\n"
    assert first_missing("one 1\ntwo … s\n", printed) is None
    assert first_missing("two … s\none 1\n", printed) == "one 1"
    assert first_missing("…\nthree", printed) is None
    assert first_missing("thre", printed) == "thre"
