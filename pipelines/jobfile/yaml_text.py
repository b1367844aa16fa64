"""Reading and writing of the YAML that job files use.

Plain scalars are read by the core schema of YAML 1.2.2 (chapter 10.3), with one difference: digits that begin with a
zero (01234) are text, as in the JSON schema of chapter 10.2, because numbers are not written like that. In YAML 1.1,
which PyYAML reads by default, yes, no, on and off are booleans, and there are dates and base-60 numbers (12:30:45);
here all of these are text.
Merge keys (<<) are kept from YAML 1.1. A key that occurs twice in a mapping is an error (chapter 3.2.1.3).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

Resolvers = dict[str | None, list[tuple[str, re.Pattern[str]]]]
TAG = "tag:yaml.org,2002:"
CORE: Mapping[str, str] = {
    "null": r"null|Null|NULL|~|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?(0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+",
    "float": r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
    "merge": r"<<",
}
"""Tag -> pattern of the plain scalars that have it; the first match counts. Scalars without a match are text."""


def read_yaml(text: str) -> Any:
    """The document in the text. Errors: ValueError, in one line, if it is not YAML, or if a key occurs twice."""
    try:
        return yaml.load(text, _Loader)
    except _DuplicateKeyError as error:
        raise ValueError(str(error)) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f"is not YAML: {' '.join(str(error).split())}") from None


def write_yaml(content: Any) -> str:
    """Text from which both read_yaml and a reader of YAML 1.1 read equal content."""
    text: str = yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return text


class _DuplicateKeyError(Exception):
    """A key occurs twice in a mapping."""


def _resolvers(more: Resolvers | None = None) -> Resolvers:
    return {**(more or {}), None: [(TAG + name, re.compile(rf"(?:{scalars})\Z")) for name, scalars in CORE.items()]}


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers = _resolvers()

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        lines: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                name, line = (key.tag, key.value), key.start_mark.line + 1
                if name in lines:
                    raise _DuplicateKeyError(_duplicate_message(key.value, lines[name], line))
                lines[name] = line
        return node

    def construct_int(self, node: yaml.ScalarNode) -> int:
        """An integer of the core schema: no underscores, and only the bases 8, 10 and 16."""
        text = str(self.construct_scalar(node))
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)


class _Dumper(yaml.SafeDumper):
    """Quotes a text that either version of YAML would read as another type."""

    yaml_implicit_resolvers = _resolvers(yaml.SafeDumper.yaml_implicit_resolvers)


def _duplicate_message(key: str, first: int, second: int) -> str:
    where = f"in line {first} and in line {second}" if first != second else f"both in line {first}"
    return f"the key {key!r} is given twice, {where}; keep one of them"


_Loader.add_constructor(f"{TAG}int", _Loader.construct_int)
