"""Read YAML files; every file that the package reads passes through here."""

import typing
from pathlib import Path

import yaml
from yaml.constructor import ConstructorError
from yaml.parser import ParserError
from yaml.scanner import ScannerError

from fedtune3d._utils.errors import InputError

MAX_NODES = 1_000_000
"""Values of a file, each alias counted as what it stands for."""


class _Loader(yaml.SafeLoader):
    """A safe loader that refuses duplicate keys, of which YAML libraries silently use the last."""

    def compose_mapping_node(self, anchor: dict[typing.Any, yaml.Node]) -> yaml.MappingNode:
        """Compose a mapping. Raises `_DuplicateKeyError` if a key occurs twice."""
        # Keys are compared before merge keys (`<<`) are expanded, because a key may override a merged one.
        node = super().compose_mapping_node(anchor)
        first_uses: dict[tuple[str, str], yaml.ScalarNode] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                first = first_uses.setdefault((key.tag, key.value), key)
                if first is not key:
                    raise _DuplicateKeyError(key.value, first.start_mark.line + 1, key.start_mark.line + 1)
        return node

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        try:
            return int(super().construct_yaml_int(node))
        except ValueError:
            text = str(node.value)
            is_long = len(text) > 4_300
            wanted = f"at most 4,300 digits, found {len(text):,}" if is_long else f"digits, found {text[:40]!r}"
            raise ConstructorError(None, None, f"expected a whole number of {wanted}", node.start_mark) from None


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


def _require_small(node: yaml.Node | None) -> None:
    """Count the nodes of a document as if each alias were written out: a few lines could stand for billions.

    Raises:
        yaml.YAMLError: If there are more than `MAX_NODES`, or a node contains itself.
    """
    sizes: dict[int, float] = {}

    def size(inner: yaml.Node) -> float:
        if id(inner) not in sizes:
            sizes[id(inner)] = float("inf")  # until it is known: a node within itself has no size
            sizes[id(inner)] = 1 + sum(size(child) for child in _children(inner))
        return sizes[id(inner)]

    if node is not None and size(node) > MAX_NODES:
        raise yaml.YAMLError(f"its aliases stand for more than {MAX_NODES:,} values")


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


class _DuplicateKeyError(yaml.YAMLError):
    def __init__(self, key: str, first_line: int, second_line: int) -> None:
        super().__init__(f"key {key!r} appears twice, on lines {first_line} and {second_line}; keep one of them")


def _load(text: str) -> object:
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        _require_small(node)
        return None if node is None else loader.construct_document(node)
    finally:
        loader.dispose()


def _advice(error: yaml.MarkedYAMLError) -> str:
    """Return what to look for where the structure of a file is wrong, which YAML may notice only lines later."""
    if not isinstance(error, ParserError | ScannerError):
        return ""
    context = error.context or ""
    if "flow" in context or "quoted" in context:
        return "; check that every bracket and quote here and in the lines above is closed"
    return "; check the indentation here and in the lines above"


def read_yaml(path: Path, if_missing: str) -> dict[str, object]:
    """Read the keys and values of a YAML file.

    Args:
        path: The file.
        if_missing: What to do if there is no such file; ends the message.

    Raises:
        InputError: If the file is missing or unreadable, is not YAML, gives a key twice, or is not a mapping.
    """
    try:
        values = _load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; {if_missing}") from None
    except IsADirectoryError:
        raise InputError(f"{path}: expected a YAML file, found a folder; name the file in it") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as UTF-8 text: {error}") from None
    except _DuplicateKeyError as error:
        raise InputError(f"{path}: {error}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise InputError(f"{path}: not YAML{where}: {error.problem}{_advice(error)}") from None
    except RecursionError:
        raise InputError(f"{path}: its values are nested too deeply to be read; flatten them") from None
    except (yaml.YAMLError, ValueError) as error:  # a control character, or a date that does not exist
        raise InputError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected keys and values at the top level, got {type(values).__name__}")
    return values
