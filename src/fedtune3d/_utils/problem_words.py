"""Expectations of pydantic in words: ``a whole number``, ``at least 1``, ``a list such as [fedavg]``."""

from pydantic_core import ErrorDetails

from fedtune3d._utils.ranges import readable_number, shown

EXPECTED = {
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "multiple_of": "a multiple of {multiple_of}",
    "finite_number": "a finite number",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number of fewer digits",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "a text",
    "string_too_short": "a text of at least {min_length} characters",
    "string_too_long": "a text of at most {max_length} characters",
    "path_type": "a path",
    "literal_error": "{expected}",
    "union_tag_invalid": "{expected_tags} for {discriminator}",
    "too_short": "at least {min_length} in the list",
    "too_long": "at most {max_length} in the list",
    "dict_type": "keys and values",
    "mapping_type": "keys and values",
    "model_type": "keys and values",
    "model_attributes_type": "keys and values",
    "dataclass_type": "keys and values",
}
"""Type of a problem → what was expected; names in braces are those of pydantic's context."""
_LISTS = ("list_type", "tuple_type", "set_type", "frozen_set_type")


def expected_words(problem: ErrorDetails) -> str | None:
    """Return what was expected in place of a value, and the value; None for a problem that has no words here."""
    kind, value = problem["type"], problem["input"]
    if kind in _LISTS:
        is_entry = isinstance(value, str | int | float) and not isinstance(value, bool)
        expected = f"a list such as [{value}]" if is_entry and len(str(value)) <= 40 else "a list"
    elif kind in EXPECTED:
        context = problem.get("ctx", {}).items()
        limits = {name: readable_number(value) if isinstance(value, float) else value for name, value in context}
        expected = EXPECTED[kind].format_map(limits)
    else:
        return None
    return f"expected {expected}, got {'nothing' if value is None else shown(value)}"
