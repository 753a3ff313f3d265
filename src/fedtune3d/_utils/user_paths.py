"""Paths as users write them in YAML: ``~`` and environment variables are expanded."""

import os
import re
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator

_VARIABLE = re.compile(r"\$(?:(\w+)|\{([^}]*)\})")


def expand_path(value: object) -> object:
    """Expand ``~``, ``~name``, ``$NAME`` and ``${NAME}`` in a path; values other than text are returned unchanged.

    Raises:
        ValueError: If a variable is not set, there is no user with the name after ``~``, or the text is not a path.
    """
    if not isinstance(value, str):
        return value
    if "\0" in value:
        raise ValueError("expected a path, got text with a zero byte")
    for match in _VARIABLE.finditer(value):
        name = match[1] or match[2]
        if name not in os.environ:
            raise ValueError(f"the environment variable {name} in {value} is not set; set it, or write the full path")
    expanded = os.path.expanduser(os.path.expandvars(value))
    if expanded.startswith("~"):
        raise ValueError(f"expected a path, got {value}, but there is no such user; write the full path")
    return expanded


UserPath = Annotated[Path, BeforeValidator(expand_path)]
"""A path in a configuration file."""
