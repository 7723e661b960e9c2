"""What in a file or a request's body is not of the type that its place asks for, in words.

`msgspec.convert` says whether; its own text names Python's types, and not every place.
"""

from __future__ import annotations

import enum
import re
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin, get_type_hints

import msgspec

from windvane.core.errors import did_you_mean

_LONGEST_SHOWN = 40
_MOST_KEYS_SHOWN = 12


# The place where it stopped is the last thing that msgspec says; a name before it may be anything.
_PLACE = re.compile(r" - at `\$([^`]*)`\Z")
_ITEM = re.compile(r"\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class TypeFault:
    """The first place that is wrong: its dotted ``path`` ("" for the whole), the sentence that
    says what is needed there and what is there, and a hint ("" for none). ``apart`` stands
    between the two."""

    path: str
    sentence: str
    hint: str = ""
    apart: str = ": "

    def __str__(self) -> str:
        return f"{self.path}{self.apart}{self.sentence}" if self.path else self.sentence


@dataclass(frozen=True, slots=True)
class Wording:
    """What a format calls its types, and how it is said that a place is wrong."""

    text: str
    mapping: str
    whole: str
    apart: str
    wrong: str
    missing: str
    unknown: str
    count: str
    null_hint: str

    def names(self) -> Mapping[Any, str]:
        """Its word for each of Python's types."""
        return {
            str: self.text, int: "a whole number", float: "a number", bool: "true or false",
            type(None): "null", dict: self.mapping, list: "a list", tuple: "a list",
        }  # fmt: skip


FILE = Wording(
    text="a text", mapping="a mapping", whole="", apart=": ",
    wrong="{needed} is needed, here is {here}",
    missing="{needed} is needed, and it is missing",
    unknown="there is no such key",
    count="{needed} values are needed, here are {here}",
    null_hint='quote it where the word is meant: "null"',
)  # fmt: skip
BODY = Wording(
    text="a string", mapping="an object", whole="the body", apart=" ",
    wrong="must be {needed}, got {here}",
    missing="is missing, it must be {needed}",
    unknown="is an unknown field",
    count="must have {needed} values, got {here}",
    null_hint="",
)  # fmt: skip


def find_type_error(
    value: Any, kind: Any, *, strict: bool = True, secret: bool = False, wording: Wording = FILE,
    refusal: str = "",
) -> TypeFault | None:  # fmt: skip
    """The first place of ``value`` that ``kind`` does not allow, None if there is none; exactly
    those are found that `msgspec.convert` refuses. Texts are not repeated where they may be
    ``secret``.

    ``refusal``: what msgspec said as it read ``value``, where it has done so; then little more is
    read than the place that it names, however much there is.
    """
    finder = _Finder(strict, secret, wording)
    return finder.find(value, kind, wording.whole, _place(refusal) if refusal else None)


class _Finder:
    def __init__(self, strict: bool, secret: bool, wording: Wording) -> None:
        self._strict = strict
        self._secret = secret
        self._wording = wording
        self._names = wording.names()

    def find(self, value: Any, kind: Any, path: str, place: str | None = None) -> TypeFault | None:
        """``place``: where inside of ``value`` msgspec stopped, where that is known already."""
        told = place is not None
        if place is None:
            text = self._refusal(value, kind)
            if not text:
                return None
            place = _place(text)
        fault = self._inner(value, kind, path, place)
        # What was said of a field that is given twice need not be true of its last value.
        if fault is None and told and not self._refusal(value, kind):
            return None
        return fault or self._here(value, kind, path)

    def _refusal(self, value: Any, kind: Any) -> str:
        try:
            msgspec.convert(value, kind, strict=self._strict)
        except msgspec.ValidationError as error:
            return str(error)
        return ""

    def _inner(self, value: Any, kind: Any, path: str, place: str | None) -> TypeFault | None:
        """What is wrong further inside; None where it is this very value."""
        if isinstance(value, dict):
            return self._mapping(cast("dict[Any, Any]", value), kind, path, place)
        if isinstance(value, list):
            return self._list(cast("list[Any]", value), kind, path, place)
        return None

    def _fault(self, path: str, sentence: str, hint: str = "") -> TypeFault:
        return TypeFault(path, sentence, hint, self._wording.apart)

    def _joined(self, path: str, name: Any) -> str:
        word = str(name)[:_LONGEST_SHOWN]
        return word if path == self._wording.whole else f"{path}.{word}"

    def _mapping(
        self, value: dict[Any, Any], kind: Any, path: str, place: str | None
    ) -> TypeFault | None:
        for one in _alternatives(kind):
            if isinstance(one, type) and issubclass(one, msgspec.Struct):
                return self._struct(value, one, path, place)
            if get_origin(one) is dict:
                keys, values = get_args(one)
                for name, inner in value.items():
                    where = self._joined(path, name)
                    fault = self.find(name, keys, where) or self.find(inner, values, where)
                    if fault is not None:
                        return fault
        return None

    def _struct(
        self, value: dict[Any, Any], kind: type[msgspec.Struct], path: str, place: str | None
    ) -> TypeFault | None:
        fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
        hints = _hints(kind)
        for name in value if kind.__struct_config__.forbid_unknown_fields else ():
            if name not in fields:
                hint = did_you_mean(str(name), fields)
                return self._fault(self._joined(path, name), self._wording.unknown, hint)
        for name, field in fields.items():
            if name in value:
                inside = _below(place, f".{name}")
                if inside is None and place is not None and place.startswith("."):
                    continue
                where = self._joined(path, name)
                fault = self.find(value[name], hints[field.name], where, inside)
                if fault is not None:
                    return fault
            elif field.required:
                missing = self._wording.missing.format(needed=self._needed(hints[field.name]))
                return self._fault(self._joined(path, name), missing)
        return None

    def _list(self, value: list[Any], kind: Any, path: str, place: str | None) -> TypeFault | None:
        for one in _alternatives(kind):
            if get_origin(one) not in (list, tuple):
                continue
            items = get_args(one)
            if get_origin(one) is tuple and items[-1] is not Ellipsis:
                if len(items) != len(value):
                    count = self._wording.count.format(needed=len(items), here=len(value))
                    return self._fault(path, count)
            else:
                items = (items[0],) * len(value)
            if place is not None:
                at = _ITEM.match(place)
                i = int(at.group(1)) if at is not None else len(value)
                if at is None or i >= len(value):
                    return None
                return self.find(value[i], items[i], f"{path}[{i}]", place[at.end() :])
            for i, (item, wanted) in enumerate(zip(value, items, strict=True)):
                fault = self.find(item, wanted, f"{path}[{i}]")
                if fault is not None:
                    return fault
        return None

    def _here(self, value: Any, kind: Any, path: str) -> TypeFault:
        alternatives = _alternatives(kind)
        words = [word for one in alternatives for word in _choices(one)]
        if words and isinstance(value, str):
            sentence = f"{self._shown(value)} is not known"
            return TypeFault(path, sentence, did_you_mean(value, words))
        sentence = self._wording.wrong.format(needed=self._needed(kind), here=self._shown(value))
        if value is None and (str in alternatives or words):
            return self._fault(path, sentence, self._wording.null_hint)
        return self._fault(path, sentence)

    def _needed(self, kind: Any) -> str:
        """Such as "a whole number from 1 to 32", "a text, or null"."""
        parts = [self._needed_part(one, kind) for one in _alternatives(kind)]
        return ", or ".join(dict.fromkeys(parts))

    def _needed_part(self, one: Any, kind: Any) -> str:
        choices = _choices(one)
        if choices:
            return f"one of {', '.join(choices[:_MOST_KEYS_SHOWN])}"
        if isinstance(one, type) and issubclass(one, msgspec.Struct):
            keys = ", ".join(one.__struct_fields__[:_MOST_KEYS_SHOWN])
            return f"{self._wording.mapping} of {keys}"
        if get_origin(one) is tuple and get_args(one)[-1] is not Ellipsis:
            return f"a list of {len(get_args(one))} values"
        word = self._names.get(get_origin(one) or one, "a value")
        return word + _bounds(kind) if one in (int, float, str) else word

    def _shown(self, value: Any) -> str:
        if self._secret or not isinstance(value, str | int | float):
            return self._shown_type(value)
        if isinstance(value, str):
            cut = "…" if len(value) > _LONGEST_SHOWN else ""
            return f"{value[:_LONGEST_SHOWN]!r}{cut}"
        if isinstance(value, bool):
            return "true" if value else "false"
        try:
            return f"the number {str(value)[:_LONGEST_SHOWN]}"
        except ValueError:  # Python writes no whole number of that many digits
            return "a number of thousands of digits"

    def _shown_type(self, value: Any) -> str:
        if value is None:
            return "null"
        if isinstance(value, int | float) and not isinstance(value, bool):
            return "a number"
        return self._names.get(type(value), "something else")


def _place(text: str) -> str | None:
    """Where msgspec stopped, such as ".events[3].id", "" for the whole; None for a key."""
    found = _PLACE.search(text)
    if found is not None:
        return found.group(1)
    return None if text.endswith("`") and " - at `key` in " in text else ""


def _below(place: str | None, name: str) -> str | None:
    """The rest of ``place`` below a field, None where it lies elsewhere."""
    if place is None or not place.startswith(name):
        return None
    rest = place[len(name) :]
    return rest if rest[:1] in ("", ".", "[") else None


@cache
def _hints(kind: type[msgspec.Struct]) -> Mapping[str, Any]:
    return get_type_hints(kind, include_extras=True)


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
        if meta.min_length and meta.max_length is not None:
            bounds.append(f"of {meta.min_length:,} to {meta.max_length:,} characters")
        elif meta.max_length is not None:
            bounds.append(f"of at most {meta.max_length:,} characters")
        if meta.pattern is not None:
            bounds.append(f"like {meta.pattern}")
    return "".join(f" {one}" for one in bounds)


def _notes(kind: Any) -> Sequence[Any]:
    if get_origin(kind) is Annotated:
        return kind.__metadata__
    return [note for part in get_args(kind) for note in _notes(part)]
