"""YAML as a person means it: ``1e-3`` is a number, and a key given twice is a mistake."""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from hsplid_core.errors import ConfigError

# A spec has some hundred; aliases count each time, so that a few lines cannot stand for millions.
_MAX_NODES = 5_000
_INT, _FLOAT = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"


class _Loader(yaml.SafeLoader):
    """The safe loader, with the numbers of YAML 1.2 and without silent overwriting."""

    def get_single_node(self) -> yaml.Node | None:
        node = super().get_single_node()
        if node is not None and _size(node, {}) > _MAX_NODES:
            raise yaml.composer.ComposerError(
                None, None, f"with its aliases it has more than {_MAX_NODES:,} values"
            )
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue  # '<<: *anchor' is no key, and what it brings in may be replaced
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key} is given twice", key_node.start_mark
                )
            if isinstance(key, Hashable):
                seen.add(key)
        return super().construct_mapping(node, deep)


# YAML 1.1, which PyYAML implements, reads 1:30 as 90, and 1e-3 and 1.5e3 as text.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in (_INT, _FLOAT)]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    _INT, re.compile(r"[-+]?(0b[01_]+|0x[0-9a-fA-F_]+|0[0-7_]*|[1-9][0-9_]*)$"), [*"-+0123456789"]
)
_Loader.add_implicit_resolver(
    _FLOAT,
    re.compile(
        r"[-+]?([0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?$"
        r"|[-+]?\.(inf|Inf|INF)$|\.(nan|NaN|NAN)$"
    ),
    [*"-+.0123456789"],
)


def _size(node: yaml.Node, known: dict[int, int | None]) -> int:
    """Count the values of a node, those behind aliases each time; looks at every node once.

    Raises:
        yaml.YAMLError: A node holds itself.
    """
    if id(node) in known:
        size = known[id(node)]
        if size is None:
            raise yaml.composer.ComposerError(
                None, None, "an alias stands inside of its own anchor", node.start_mark
            )
        return size
    known[id(node)] = None
    children: list[yaml.Node] = []
    if isinstance(node, yaml.SequenceNode):
        children = node.value
    elif isinstance(node, yaml.MappingNode):
        children = [child for pair in node.value for child in pair]
    size = 1 + sum(_size(child, known) for child in children)
    known[id(node)] = size
    return size


def parse_yaml(text: str) -> Any:
    """Read YAML text.

    Raises:
        yaml.YAMLError: The text is not YAML, gives a key twice, or is endless by its aliases.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except RecursionError:
        raise yaml.YAMLError("it is nested too deeply") from None
    except ValueError as error:
        # Of Python's types behind the tags: a day 99, or an integer of 5,000 digits.
        raise yaml.YAMLError(f"a value cannot be read ({error})") from error


def yaml_problem(error: yaml.YAMLError) -> str:
    """Say in one line what is wrong with a YAML text, and where."""
    problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
    mark = getattr(error, "problem_mark", None)
    at = "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: "
    return f"{at}{problem}"


def read_mapping(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping.

    Raises:
        ConfigError: The file cannot be read or holds something else.
    """
    try:
        values = parse_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {yaml_problem(error)}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds no keys: write them as 'name: value'")
    return values
