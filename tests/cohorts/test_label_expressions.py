"""The grammar of label expressions: what each means, worked out by hand, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtune3d._utils.errors import InputError
from fedtune3d.cohorts.label_expressions import as_number, one_of, parse_label_expression, word_of

ROW = {"cdr": "0.5", "mmse": "22", "diagnosis": "AD", "APOE e4": "yes", "tau": None, "note": "high"}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("cdr >= 0.5", True),
        ("cdr>=0.5", True),
        ("cdr > 0.5", False),
        ("cdr <= 1", True),
        ("cdr < 0,5", False),
        ("cdr == .5", False),  # a word: numbers begin with a digit
        ("cdr == 0.50", True),
        ("cdr != 0.5", False),
        ("diagnosis == AD", True),
        ("diagnosis != 'AD'", False),
        ("diagnosis == ad", False),
        ("'APOE e4' == yes", True),
        ('"APOE e4" == "yes"', True),
        ("mmse < 24 and diagnosis == AD", True),
        ("mmse < 20 or diagnosis == AD", True),
        ("mmse < 20 and diagnosis == AD or cdr == 0.5", True),
        ("cdr == 0.5 or mmse < 20 and diagnosis == CN", True),  # and binds before or
        ("mmse < 20 and diagnosis == AD", False),
        ("tau > 1", None),
        ("note > 1", None),
        ("note == 1", None),
        ("tau > 1 and diagnosis == CN", False),
        ("tau > 1 and diagnosis == AD", None),
        ("tau > 1 or diagnosis == AD", True),
        ("tau > 1 or diagnosis == CN", None),
        ("tau != 1", None),
        ("cdr >= -1", True),
    ],
)
def test_what_expressions_mean(text: str, holds: bool | None) -> None:
    assert parse_label_expression(text).holds(ROW) is holds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "found nothing"),
        ("cdr", "found cdr"),
        ("cdr 1", "found cdr 1"),
        ("cdr = 1", "cannot be parsed at = 1; write == for equality"),
        ("cdr => 1", "cannot be parsed at => 1; write == for equality"),
        ("cdr >= 1 and", "found nothing"),
        ("and cdr >= 1", "found nothing"),
        ("cdr >= 1 mmse < 2", "found cdr >= 1 mmse < 2"),
        ("0 <= cdr <= 1", "found 0 <= cdr <= 1"),
        (">= 1", "found >= 1"),
        ("diagnosis > AD", "a number after >, found AD"),
        ("diagnosis == 'AD", "cannot be parsed at 'AD"),
        ("cdr >= 1 or or mmse < 2", "found nothing"),
        ("__import__('os').system('true') == 1", "found"),
    ],
)
def test_what_is_no_expression_is_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(InputError, match="label expression ") as caught:
        parse_label_expression(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.text(alphabet="ab 01.,<>=!\"'()and or\t_-+", max_size=40))
def test_any_text_is_an_expression_or_refused(text: str) -> None:
    try:
        expression = parse_label_expression(text)
    except InputError:
        return
    assert expression.holds({"a": "1", "b": None}) in (True, False, None)


def test_numbers_as_spreadsheets_write_them() -> None:
    assert [as_number(text) for text in ("0.5", "0,5", "-2", "+3")] == [0.5, 0.5, -2.0, 3.0]
    assert [as_number(text) for text in ("", "nan", "inf", "1e5", "1 000", "1_000", "½", "0x1")] == [None] * 8


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("dx == AD or dx == CN", "dx MCI"),
        ("dx != MCI", "dx MCI"),
        ("grade == 1", "grade 2"),
        ("grade >= 3", ""),
        ("dx == AD and grade == 1", ""),
    ],
)
def test_a_rows_word_is_named_where_words_are_asked_for(text: str, word: str) -> None:
    assert word_of({"dx": "MCI", "grade": "2"}, parse_label_expression(text).comparisons) == word


def test_a_list_is_an_expression_too() -> None:
    expression = one_of("diagnosis", ("AD", "1"))
    assert [expression.holds({"diagnosis": value}) for value in ("AD", "1", "CN", None)] == [True, True, False, None]
