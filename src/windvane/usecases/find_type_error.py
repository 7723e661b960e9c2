"""What in a file's contents is not of the type that its place asks for, in a person's words.

`msgspec.convert` says whether; its own text names Python's types, and not every place.
"""

from __future__ import annotations

import enum
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from windvane.core.errors import did_you_mean

_LONGEST_SHOWN = 40
_MOST_KEYS_SHOWN = 12
_WORDS: Mapping[Any, str] = {
    str: "a text", int: "a whole number", float: "a number", bool: "true or false",
    type(None): "null", dict: "a mapping", list: "a list", tuple: "a list",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TypeFault:
    """The first place that is wrong: its dotted ``path`` ("" for the whole), the sentence that
    says what is needed there and what is there, and a hint ("" for none)."""

    path: str
    sentence: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.path}: {self.sentence}" if self.path else self.sentence


def find_type_error(
    value: Any, kind: Any, *, path: str = "", strict: bool = True, secret: bool = False
) -> TypeFault | None:
    """The first place of ``value`` that ``kind`` does not allow, None if there is none; exactly
    those are found that `msgspec.convert` refuses. Texts are not repeated where they may be
    ``secret``."""
    finder = _Finder(strict, _shown_type if secret else _shown)
    return finder.find(value, kind, path)


class _Finder:
    def __init__(self, strict: bool, show: Callable[[Any], str]) -> None:
        self._strict = strict
        self._show = show

    def find(self, value: Any, kind: Any, path: str) -> TypeFault | None:
        try:
            msgspec.convert(value, kind, strict=self._strict)
        except msgspec.ValidationError:
            return self._inner(value, kind, path) or self._here(value, kind, path)
        return None

    def _inner(self, value: Any, kind: Any, path: str) -> TypeFault | None:
        """What is wrong further inside; None where it is this very value."""
        if isinstance(value, dict):
            return self._mapping(value, kind, path)
        if isinstance(value, list):
            return self._list(value, kind, path)
        return None

    def _mapping(self, value: dict[Any, Any], kind: Any, path: str) -> TypeFault | None:
        for one in _alternatives(kind):
            if isinstance(one, type) and issubclass(one, msgspec.Struct):
                return self._struct(value, one, path)
            if get_origin(one) is dict:
                keys, values = get_args(one)
                for name, inner in value.items():
                    where = _joined(path, name)
                    fault = self.find(name, keys, where) or self.find(inner, values, where)
                    if fault is not None:
                        return fault
        return None

    def _struct(
        self, value: dict[Any, Any], kind: type[msgspec.Struct], path: str
    ) -> TypeFault | None:
        fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
        hints = get_type_hints(kind, include_extras=True)
        for name in value if kind.__struct_config__.forbid_unknown_fields else ():
            if name not in fields:
                hint = did_you_mean(str(name), fields)
                return TypeFault(_joined(path, name), "there is no such key", hint)
        for name, field in fields.items():
            if name in value:
                fault = self.find(value[name], hints[field.name], _joined(path, name))
                if fault is not None:
                    return fault
            elif field.required:
                needed = _needed(hints[field.name])
                return TypeFault(_joined(path, name), f"{needed} is needed, and it is missing")
        return None

    def _list(self, value: list[Any], kind: Any, path: str) -> TypeFault | None:
        for one in _alternatives(kind):
            if get_origin(one) not in (list, tuple):
                continue
            items = get_args(one)
            if get_origin(one) is tuple and items[-1] is not Ellipsis:
                if len(items) != len(value):
                    return TypeFault(path, f"{len(items)} values are needed, here are {len(value)}")
            else:
                items = (items[0],) * len(value)
            for i, (item, wanted) in enumerate(zip(value, items, strict=True)):
                fault = self.find(item, wanted, f"{path}[{i}]")
                if fault is not None:
                    return fault
        return None

    def _here(self, value: Any, kind: Any, path: str) -> TypeFault:
        alternatives = _alternatives(kind)
        words = [word for one in alternatives for word in _choices(one)]
        if words and isinstance(value, str):
            return TypeFault(path, f"{self._show(value)} is not known", did_you_mean(value, words))
        sentence = f"{_needed(kind)} is needed, here is {self._show(value)}"
        if value is None and (str in alternatives or words):
            return TypeFault(path, sentence, 'quote it where the word is meant: "null"')
        return TypeFault(path, sentence)


def _alternatives(kind: Any) -> list[Any]:
    """What a place takes, without notes; a union's parts one by one."""
    origin = get_origin(kind)
    if origin is Annotated:
        return _alternatives(get_args(kind)[0])
    if origin in (Union, types.UnionType):
        return [one for part in get_args(kind) for one in _alternatives(part)]
    return [kind]


def _choices(kind: Any) -> list[str]:
    if get_origin(kind) is Literal:
        return [str(one) for one in get_args(kind)]
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return [str(one.value) for one in kind]
    return []


def _needed(kind: Any) -> str:
    """Such as "a whole number from 1 to 32", "a text, or null"."""
    parts = [_needed_part(one, kind) for one in _alternatives(kind)]
    return ", or ".join(dict.fromkeys(parts))


def _needed_part(one: Any, kind: Any) -> str:
    choices = _choices(one)
    if choices:
        return f"one of {', '.join(choices[:_MOST_KEYS_SHOWN])}"
    if isinstance(one, type) and issubclass(one, msgspec.Struct):
        keys = ", ".join(one.__struct_fields__[:_MOST_KEYS_SHOWN])
        return f"a mapping of {keys}"
    if get_origin(one) is tuple and get_args(one)[-1] is not Ellipsis:
        return f"a list of {len(get_args(one))} values"
    word = _WORDS.get(get_origin(one) or one, "a value")
    return word + _bounds(kind) if one in (int, float, str) else word


def _bounds(kind: Any) -> str:
    """What notes on the type say: " over 0", " from 1 to 32"."""
    metas = [m for m in _notes(kind) if isinstance(m, msgspec.Meta)]
    bounds: list[str] = []
    for meta in metas:
        if meta.ge is not None and meta.le is not None:
            bounds.append(f"from {meta.ge:g} to {meta.le:g}")
        elif meta.ge is not None:
            bounds.append(f"of at least {meta.ge:g}")
        elif meta.le is not None:
            bounds.append(f"of at most {meta.le:g}")
        if meta.gt is not None:
            bounds.append(f"over {meta.gt:g}")
        if meta.pattern is not None:
            bounds.append(f"like {meta.pattern}")
    return "".join(f" {one}" for one in bounds)


def _notes(kind: Any) -> Sequence[Any]:
    if get_origin(kind) is Annotated:
        return kind.__metadata__
    return [note for part in get_args(kind) for note in _notes(part)]


def _shown(value: Any) -> str:
    if isinstance(value, str):
        cut = "…" if len(value) > _LONGEST_SHOWN else ""
        return f"{value[:_LONGEST_SHOWN]!r}{cut}"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"the number {str(value)[:_LONGEST_SHOWN]}"
    return _shown_type(value)


def _shown_type(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    return {str: "a text", dict: "a mapping", list: "a list"}.get(type(value), "something else")


def _joined(path: str, name: Any) -> str:
    word = str(name)[:_LONGEST_SHOWN]
    return f"{path}.{word}" if path else word
