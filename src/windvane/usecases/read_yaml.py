"""YAML as its writers mean it: a word is a text wherever a text is meant.

By YAML 1.1, which PyYAML reads, ``yes``, ``on`` and ``no`` are truth values, ``017`` is 15,
``12:30`` is 750 and ``2024-01-01`` a date. Whether a plain word is a text follows here from the
type that the file's own structs give to its place, before anything is made of it.

Source of the words: YAML 1.1, "Language-Independent Types"; of the numbers that stay numbers:
YAML 1.2.2, 10.3.2, "Tag Resolution" of the core schema.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec
import yaml
from msgspec import inspect

from windvane.ports.bounded_yaml import DEEPEST, MOST_NODES, BadYaml, BoundedLoader

__all__ = ["BadYaml", "like", "read_yaml"]

_TAG = "tag:yaml.org,2002:"
_TEXT = f"{_TAG}str"
_PLAIN_WORDS = frozenset(
    _TAG + kind for kind in ("bool", "int", "float", "timestamp", "value", "merge")
)
_WHOLE = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_NUMBER = re.compile(r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_SHOWN = 80
_MOST_DIGITS = 20  # more than 64 bits hold, whatever the number is for
_SPECIAL = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


def like(kind: type[msgspec.Struct]) -> msgspec.Meta:
    """Of a place that is typed as anything, because its checks are done by hand: its texts are
    where ``kind`` has them."""
    return msgspec.Meta(extra={"like": kind})


def read_yaml(text: str, kind: type[msgspec.Struct]) -> Any:
    """What the text holds, to be converted to ``kind``. Keys are texts, and so is whatever stands
    where ``kind`` has a text, as it is written; a number there is one only where a number is
    meant. A key that is written twice, of which YAML would drop the first, is refused.

    Raises BadYaml: also for over a million characters, 100,000 values (an alias or a merged
    mapping counts as often as it is used), 50 levels, or 20 digits of a whole number.
    """
    try:
        loader = BoundedLoader(text)
        try:
            root = loader.get_single_node()
            if root is None:
                return None
            _Reader().read(root, _typed(kind), 0)
            return loader.construct_document(root)
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError, OverflowError, AttributeError, LookupError) as error:
        if isinstance(error, BadYaml):
            raise
        raise BadYaml(f"not YAML: {error}") from error


@lru_cache(maxsize=64)
def _typed(kind: type[msgspec.Struct]) -> inspect.Type:
    return inspect.type_info(kind)


class _Reader:
    """Marks the plain words of one document as what they are meant to be."""

    def __init__(self) -> None:
        self._nodes = 0
        self._path: list[str] = []

    def read(self, node: yaml.Node, kind: inspect.Type | None, depth: int) -> None:
        """``kind`` is what the place is for, None where nobody knows it."""
        self._count()
        if depth > DEEPEST:
            raise BadYaml(f"more than {DEEPEST} levels")
        kinds = _alternatives(kind)
        if isinstance(node, yaml.MappingNode):
            self._mapping(node, kinds, depth)
        elif isinstance(node, yaml.SequenceNode):
            for i, item in enumerate(node.value):
                self.read(item, _item(kinds, i), depth + 1)
        elif isinstance(node, yaml.ScalarNode) and node.style is None:
            _scalar(node, kinds, self._path)

    def _count(self) -> None:
        self._nodes += 1
        if self._nodes > MOST_NODES:
            raise BadYaml(f"more than {MOST_NODES:,} values")

    def _mapping(self, node: yaml.MappingNode, kinds: list[inspect.Type], depth: int) -> None:
        seen: set[str] = set()
        inner = _values(kinds)
        for key, value in node.value:
            if key.tag == f"{_TAG}merge":
                self._count()
                for one in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    self._merged(one, kinds, depth)
                continue
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):  # nor would it be counted
                raise BadYaml("a list or a mapping is no key", hint=f"look at line {line}")
            name = key.value
            if name in seen:
                raise BadYaml(f"{name!r} is written twice", hint=f"look at line {line}")
            seen.add(name)
            key.tag = _TEXT
            self._path.append(name[:_SHOWN])
            self.read(value, inner(name), depth + 1)
            self._path.pop()

    def _merged(self, node: yaml.Node, kinds: list[inspect.Type], depth: int) -> None:
        self._count()
        if isinstance(node, yaml.MappingNode):
            if depth > DEEPEST:
                raise BadYaml(f"more than {DEEPEST} levels")
            self._mapping(node, kinds, depth + 1)


def _alternatives(kind: inspect.Type | None) -> list[inspect.Type]:
    if isinstance(kind, inspect.Metadata):
        meant = (kind.extra or {}).get("like")
        return [_typed(meant)] if meant is not None else _alternatives(kind.type)
    if isinstance(kind, inspect.UnionType):
        return [one for part in kind.types for one in _alternatives(part)]
    return [] if kind is None or isinstance(kind, inspect.AnyType) else [kind]


def _item(kinds: list[inspect.Type], place: int) -> inspect.Type | None:
    for kind in kinds:
        if isinstance(kind, inspect.TupleType):
            return kind.item_types[min(place, len(kind.item_types) - 1)]
        if isinstance(kind, inspect.ListType | inspect.VarTupleType):
            return kind.item_type
    return None


def _values(kinds: list[inspect.Type]) -> Callable[[str], inspect.Type | None]:
    """The type of a mapping's value by its key."""
    for kind in kinds:
        if isinstance(kind, inspect.StructType):
            return {field.encode_name: field.type for field in kind.fields}.get
        if isinstance(kind, inspect.DictType):
            value_type = kind.value_type
            return lambda _: value_type
    return lambda _: None


def _scalar(node: yaml.ScalarNode, kinds: list[inspect.Type], path: list[str]) -> None:
    """A plain word: the tag that its place gives it."""
    word, tag = str(node.value), node.tag
    text = any(isinstance(kind, inspect.StrType | inspect.EnumType) for kind in kinds)
    truth = any(isinstance(kind, inspect.BoolType) for kind in kinds)
    number = any(isinstance(kind, inspect.IntType | inspect.FloatType) for kind in kinds)
    if tag == f"{_TAG}bool":
        truth_word = word.lower() in ("true", "false")
        if not (truth and (truth_word or not text)) and (kinds or not truth_word):
            node.tag = _TEXT
    elif text or tag in (f"{_TAG}timestamp", f"{_TAG}value", f"{_TAG}merge"):
        if tag in _PLAIN_WORDS:
            node.tag = _TEXT
    elif tag in (f"{_TAG}int", f"{_TAG}float", _TEXT):
        digits = word.replace("_", "") if number and tag != _TEXT else word
        if _WHOLE.fullmatch(digits):
            if len(digits) > _MOST_DIGITS:
                hint = f"look at line {node.start_mark.line + 1}"
                message = f"a whole number of {len(digits):,} digits is out of range"
                raise BadYaml(f"{'.'.join(path)}: {message}" if path else message, hint=hint)
            node.tag = f"{_TAG}int"
        elif _NUMBER.fullmatch(digits) or _SPECIAL.fullmatch(digits):
            node.tag = f"{_TAG}float"
        else:
            node.tag = _TEXT
