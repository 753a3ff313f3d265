"""Take the README as the front page, and add a page for every other file of the repository that a page links to.

The pages of `docs/` link to README, examples, tests and benchmarks by relative paths, which work on a code host. In
the site these links lead to the pages that are added here.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

DOCS = Path(__file__).parents[1]
ROOT = DOCS.parent
LINK = re.compile(r"(?<=\]\()(?!https?:|mailto:|#)([^)\s#]+)")
FENCE = re.compile(r"(^(`{3,}).*?^\2 *$)", flags=re.MULTILINE | re.DOTALL)
LANGUAGES = {".py": "python", ".yaml": "yaml", ".cff": "yaml", ".sh": "bash", ".sbatch": "bash"}
HIDDEN = "---\nsearch:\n  exclude: true\n---\n\n"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the front page and a page for each file that is linked to, and to which those lead."""
    waiting = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
    seen = set(waiting)
    while waiting:
        path = waiting.pop()
        if not path.is_relative_to(DOCS):
            inclusion = InclusionLevel.INCLUDED if path.name == "README.md" else InclusionLevel.NOT_IN_NAV
            files.append(File.generated(config, address(path), content=content(path), inclusion=inclusion))
        if path.suffix == ".md":
            new = {target for target in targets(path) if not target.is_relative_to(DOCS)} - seen
            seen |= new
            waiting += sorted(new)
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Point links at the pages of the site, and let Markdown inside ``<details>`` be read as such."""
    origin = source(page.file.src_uri)
    here = os.path.dirname(page.file.src_uri)

    def moved(link: re.Match[str]) -> str:
        target = (origin.parent / link[1]).resolve()
        return os.path.relpath(address(target), here or ".") if target.is_file() else link[0]

    def prepared(text: str) -> str:
        return LINK.sub(moved, text).replace("<details>", '<details markdown="1">')

    return "".join(part if part.startswith("```") else prepared(part) for part in _parts(markdown))


def targets(path: Path) -> list[Path]:
    """Return the files of the repository that a page links to."""
    linked = [
        match[1] for part in _parts(path.read_text()) if not part.startswith("```") for match in LINK.finditer(part)
    ]
    return [target for link in linked if (target := (path.parent / link).resolve()).is_file()]


def address(path: Path) -> str:
    """Return where a file of the repository stands in the site, as the path of its source."""
    if path.is_relative_to(DOCS):
        return path.relative_to(DOCS).as_posix()
    name = path.relative_to(ROOT).as_posix()
    if name == "README.md":
        return "index.md"
    return f"repository/{name}" if path.suffix == ".md" else f"repository/{name}.md"


def source(uri: str) -> Path:
    """Return the file of the repository from which a page of the site is made."""
    if uri == "index.md":
        return ROOT / "README.md"
    if not uri.startswith("repository/"):
        return DOCS / uri
    path = ROOT / uri.removeprefix("repository/")
    return path if path.exists() else path.with_suffix("")


def content(path: Path) -> str:
    """Return a file as Markdown; one that is not Markdown as a block of code."""
    if path.suffix == ".md":
        return path.read_text()
    name = path.relative_to(ROOT).as_posix()
    return f"{HIDDEN}# `{name}`\n\n``````{LANGUAGES.get(path.suffix, 'text')}\n{path.read_text()}\n``````\n"


def _parts(markdown: str) -> Iterator[str]:
    """Yield the text between blocks of code and the blocks, in order."""
    before = 0
    for block in FENCE.finditer(markdown):
        yield markdown[before : block.start()]
        yield block[0]
        before = block.end()
    yield markdown[before:]
