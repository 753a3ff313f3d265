"""Payloads and instructions as JSON text, and state dicts under flat names, for both the wire and the egress log."""

import json
from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from fedtune3d._utils.state_dicts import State

Model = TypeVar("Model", bound=BaseModel)


def to_text(message: BaseModel) -> str:
    """Write the JSON values of a message. Raises `ValueError` on NaN and infinity."""
    return json.dumps(message.model_dump(), allow_nan=False)


def from_text(model: type[Model], text: str, what: str) -> Model:
    """Read what `to_text` wrote, strictly.

    Args:
        model: The expected type.
        text: Untrusted text.
        what: Name of the message, for errors.

    Raises:
        ValueError: If the text is invalid; one line with the field but without its content.
    """
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "json_invalid":
            raise ValueError(f"{what}: not valid JSON") from None
        where = ".".join(str(part) for part in first["loc"]) or model.__name__
        raise ValueError(f"{what}: {where}: {first['msg']}") from None


def flat_state(parts: Mapping[str, State]) -> State:
    """Return the tensors of a message under their names on the wire, ``part/name``, sorted."""
    return {f"{part}/{name}": parts[part][name] for part in sorted(parts) for name in sorted(parts[part])}
