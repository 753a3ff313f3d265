"""The glossary: in order, each word once, and with the words of the YAML."""

import re

from doc_pages import DOCS

TERMS = re.findall(r"^\| \*\*([^*]+)\*\* \|", (DOCS / "reference" / "glossary.md").read_text(), flags=re.MULTILINE)


def test_the_words_are_in_order_and_stand_once() -> None:
    lower = [term.lower() for term in TERMS]
    assert lower == sorted(set(lower))
    assert len(lower) > 40


def test_it_has_the_words_that_a_first_reader_meets() -> None:
    met = {
        "site",
        "round",
        "task",
        "answer",
        "update",
        "rule",
        "head",
        "encoder",
        "tuning",
        "baseline",
        "local",
        "threshold",
    }
    assert met - {part.strip() for term in TERMS for part in term.split(",")} == set()
