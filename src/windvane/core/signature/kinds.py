"""All that differs between the types of features, one class each.

The next type is one class here and one line in ``KINDS``. Who validates, parses, sketches or
logs a feature asks its kind; nobody else looks at the type.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar, cast

import numpy as np

from windvane.core.errors import did_you_mean_sorted
from windvane.core.signature.pictures import PLAIN_PICTURE, picture_size
from windvane.core.signature.times import FIRST_TIME, LAST_TIME, parse_time
from windvane.core.signature.types import (
    MAX_INTEGER,
    MAX_MAGNITUDE,
    FeatureSpec,
    FeatureType,
    Violation,
)

MAX_TEXT = 65_536
MAX_IMAGE_BYTES = 4 << 20
MAX_VECTOR = 65_536
_PROJECTIONS = 4
_PLAIN_TEXT = "text"
_TRUE = {"true", "t", "yes", "y", "1", "on"}
_FALSE = {"false", "f", "no", "n", "0", "off"}
_WORD = re.compile(r"\S+")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_WHOLE = re.compile(r"[+-]?[0-9]+")
_MOST_DIGITS = 1_000
_MOST_SHOWN = 40

Summary = Callable[[Any], float]


class Kind:
    """How values of one type are checked, read and summarised. Values are Python's own:
    float, int, bool, str, a list of floats, bytes."""

    type: ClassVar[FeatureType]
    hashable: ClassVar[bool] = True
    column: ClassVar[str]
    """How the log and a version's inputs hold it: double, bool, string, list or binary."""

    def check(self, spec: FeatureSpec, value: Any) -> Violation | None:
        """Why ``value``, which is not None, breaks ``spec``; None if it does not."""
        raise NotImplementedError

    def check_held(self, spec: FeatureSpec, value: Any) -> Violation | None:
        """The same of a value that may have been read before, as a table or a row holds it."""
        return self.check(spec, value)

    def normal(self, spec: FeatureSpec, value: Any) -> Any:
        """``value``, which ``check`` let through, as every later step expects it."""
        raise NotImplementedError

    def parse(self, spec: FeatureSpec, text: str) -> Any:
        """The value of a cell of a CSV file. Raises ValueError with the reason."""
        raise NotImplementedError

    def plain(self, spec: FeatureSpec) -> Any:
        """A value that fits ``spec``, as near to nothing as models take: a version is warmed up
        with it, and is not loaded if it fails on it."""
        raise NotImplementedError

    def summaries(self, spec: FeatureSpec) -> Mapping[str, Summary]:
        """What a sketch counts in place of the value, by name; nothing where the value itself
        is counted."""
        del spec
        return {}


def _violation(code: str, spec: FeatureSpec, message: str) -> Violation:
    return Violation(code, spec.name, f"{spec.name} {message}")


_FAR = float(MAX_MAGNITUDE)


class NumberKind(Kind):
    type = FeatureType.NUMBER
    column = "double"

    def check(self, spec: FeatureSpec, value: Any) -> Violation | None:
        # Nearly all values of a row that is refused for one of them are these.
        if type(value) is float and -_FAR < value < _FAR:
            low, high = spec.low, spec.high
            if (low is None or low <= value) and (high is None or value <= high):
                return None
        return _check_number(spec, value) or _check_range(spec, value, math.inf)

    def normal(self, spec: FeatureSpec, value: Any) -> float:
        return float(value)

    def parse(self, spec: FeatureSpec, text: str) -> float:
        return read_number(text)

    def plain(self, spec: FeatureSpec) -> float:
        return _nearest_to_zero(spec)


class IntegerKind(Kind):
    type = FeatureType.INTEGER
    column = "double"

    def check(self, spec: FeatureSpec, value: Any) -> Violation | None:
        wrong = _check_number(spec, value)
        if wrong is not None:
            return wrong
        if value != int(value):
            return _violation("CON-102", spec, f"must be whole, got {show(value)}")
        return _check_range(spec, value, float(MAX_INTEGER))

    def normal(self, spec: FeatureSpec, value: Any) -> int:
        return int(value)

    def parse(self, spec: FeatureSpec, text: str) -> int:
        word = text.strip()
        if len(word) <= _MOST_DIGITS and _WHOLE.fullmatch(word):
            return int(word)
        read_number(word)  # neither huge nor nonsense
        value = Decimal(word)  # a float would round what it cannot hold
        if value != value.to_integral_value():
            raise ValueError(f"{show(text)} is no whole number")
        return int(value)

    def plain(self, spec: FeatureSpec) -> float:
        value = _nearest_to_zero(spec)
        return math.floor(value) if value < 0.0 else math.ceil(value)  # away from zero: inside


class BooleanKind(Kind):
    type = FeatureType.BOOLEAN
    column = "bool"

    def check(self, spec: FeatureSpec, value: Any) -> Violation | None:
        if not isinstance(value, bool):
            return _violation("CON-102", spec, f"must be true or false, got {show(value)}")
        return None

    def normal(self, spec: FeatureSpec, value: Any) -> bool:
        return bool(value)

    def parse(self, spec: FeatureSpec, text: str) -> bool:
        word = text.strip().lower()
        if word in _TRUE or word in _FALSE:
            return word in _TRUE
        raise ValueError(f"{show(text)} is neither true nor false")

    def plain(self, spec: FeatureSpec) -> bool:
        return False


class CategoryKind(Kind):
    type = FeatureType.CATEGORY
    column = "string"

    def check(self, spec: FeatureSpec, value: Any) -> Violation | None:
        if not isinstance(value, str):
            return _violation("CON-102", spec, f"must be a string, got {show(value)}")
        if spec.known and value not in spec.known_set:
            hint = did_you_mean_sorted(value, spec.known_sorted)
            return _violation("CON-104", spec, f"{show(value)} is not known; {hint}")
        if len(value) > MAX_TEXT:
            return _violation(
                "CON-103", spec, f"has {len(value):,} characters, {MAX_TEXT:,} may be"
            )
        return None

    def normal(self, spec: FeatureSpec, value: Any) -> str:
        return str(value)

    def parse(self, spec: FeatureSpec, text: str) -> str:
        return text

    def plain(self, spec: FeatureSpec) -> str:
        return spec.known[0] if spec.known else ""


class DatetimeKind(Kind):
    type = FeatureType.DATETIME
    column = "double"

    def check(self, spec: FeatureSpec, value: Any) -> Violation | None:
        if isinstance(value, str):
            try:
                parse_time(value)
            except ValueError as error:
                return _violation("CON-102", spec, str(error))
            return None
        message = f"must be a text such as 2026-11-28T17:45:00+01:00, got {show(value)}"
        return _violation("CON-102", spec, message)

    def check_held(self, spec: FeatureSpec, value: Any) -> Violation | None:
        if not isinstance(value, float):
            return self.check(spec, value)
        if FIRST_TIME <= value <= LAST_TIME:
            return None
        return _violation("CON-103", spec, f"{show(value)} s is in no year from 1 to 9999")

    def normal(self, spec: FeatureSpec, value: Any) -> float:
        return parse_time(value) if isinstance(value, str) else float(value)

    def parse(self, spec: FeatureSpec, text: str) -> float:
        return parse_time(text)

    def plain(self, spec: FeatureSpec) -> float:
        return 0.0


class TextKind(Kind):
    type = FeatureType.TEXT
    column = "string"

    def check(self, spec: FeatureSpec, value: Any) -> Violation | None:
        if not isinstance(value, str):
            return _violation("CON-102", spec, f"must be a string, got {show(value)}")
        most = MAX_TEXT if spec.high is None else int(spec.high)
        if len(value) > most:
            return _violation("CON-103", spec, f"has {len(value):,} characters, {most:,} may be")
        return None

    def normal(self, spec: FeatureSpec, value: Any) -> str:
        return str(value)

    def parse(self, spec: FeatureSpec, text: str) -> str:
        return text

    def plain(self, spec: FeatureSpec) -> str:
        # Not "": a text without any word has no mean of its words.
        return _PLAIN_TEXT if spec.high is None else _PLAIN_TEXT[: int(spec.high)]

    def summaries(self, spec: FeatureSpec) -> Mapping[str, Summary]:
        return {"length": _length, "words": _words, "non_ascii": _non_ascii}


class VectorKind(Kind):
    type = FeatureType.VECTOR
    hashable = False
    column = "list"

    def check(self, spec: FeatureSpec, value: Any) -> Violation | None:
        if not isinstance(value, list | tuple):
            return _violation("CON-102", spec, f"must be a list of numbers, got {show(value)}")
        items = cast("Sequence[Any]", value)
        if len(items) != spec.length:
            return _violation("CON-103", spec, f"has {len(items):,} numbers, not {spec.length:,}")
        for i, item in enumerate(items):
            if isinstance(item, bool) or not isinstance(item, int | float) or not _finite(item):
                message = f"[{i}] must be a finite number, got {show(item)}"
                return Violation("CON-102", spec.name, f"{spec.name}{message}")
            if not -MAX_MAGNITUDE <= item <= MAX_MAGNITUDE:
                message = f"[{i}]: {show(item)} is outside {-MAX_MAGNITUDE:g} to {MAX_MAGNITUDE:g}"
                return Violation("CON-103", spec.name, f"{spec.name}{message}")
        return None

    def normal(self, spec: FeatureSpec, value: Any) -> list[float]:
        return [float(item) for item in value]

    def parse(self, spec: FeatureSpec, text: str) -> list[float]:
        return read_numbers(text)

    def plain(self, spec: FeatureSpec) -> list[float]:
        return [0.0] * spec.length

    def summaries(self, spec: FeatureSpec) -> Mapping[str, Summary]:
        signs = projection_signs(spec.name, spec.length)

        def projected(i: int) -> Summary:
            return lambda value: float(signs[i] @ np.asarray(value, np.float64))

        found: dict[str, Summary] = {"norm": _norm}
        return found | {f"projection_{i + 1}": projected(i) for i in range(_PROJECTIONS)}


class ImageKind(Kind):
    type = FeatureType.IMAGE
    column = "binary"

    def check(self, spec: FeatureSpec, value: Any) -> Violation | None:
        if isinstance(value, str):
            try:
                value = base64.b64decode(value, validate=True)
            except (binascii.Error, ValueError):
                return _violation("CON-102", spec, f"must be base64, got {show(value)}")
        if not isinstance(value, bytes):
            return _violation("CON-102", spec, f"must be base64, got {show(value)}")
        most = MAX_IMAGE_BYTES if spec.high is None else int(spec.high)
        if len(value) > most:
            return _violation("CON-103", spec, f"has {len(value):,} bytes, {most:,} may be")
        return None

    def normal(self, spec: FeatureSpec, value: Any) -> bytes:
        return base64.b64decode(value) if isinstance(value, str) else bytes(value)

    def parse(self, spec: FeatureSpec, text: str) -> bytes:
        try:
            return base64.b64decode(text, validate=True)
        except ValueError as error:
            raise ValueError(f"{show(text)} is no base64") from error

    def plain(self, spec: FeatureSpec) -> bytes:
        fits = spec.high is None or len(PLAIN_PICTURE) <= spec.high
        return PLAIN_PICTURE if fits else b""

    def summaries(self, spec: FeatureSpec) -> Mapping[str, Summary]:
        return {
            "bytes": _length, "width": _width, "height": _height,
            "bits_per_pixel": _bits_per_pixel,
        }  # fmt: skip


KINDS: Mapping[FeatureType, Kind] = {
    kind.type: kind
    for kind in (
        NumberKind(), IntegerKind(), BooleanKind(), CategoryKind(), DatetimeKind(), TextKind(),
        VectorKind(), ImageKind(),
    )
}  # fmt: skip


def kind_of(spec: FeatureSpec) -> Kind:
    return KINDS[spec.type]


def summary_name(feature: str, summary: str) -> str:
    """What an axis is called that counts a summary of a feature rather than its value."""
    return f"{feature}#{summary}"


def projection_signs(name: str, length: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Fixed random projections (projections, length) with entries ±1/sqrt(length): the same on
    every machine, for they follow from the feature's name by BLAKE2.

    Source: Achlioptas, Database-friendly random projections, 2003.
    """
    rows: list[Any] = []
    for i in range(_PROJECTIONS):
        stream = b"".join(
            hashlib.blake2b(f"{name}/{i}/{block}".encode()).digest()
            for block in range(-(-length // 512))
        )
        bits = np.unpackbits(np.frombuffer(stream, np.uint8))[:length]
        rows.append((2.0 * bits - 1.0) / math.sqrt(max(1, length)))
    return np.array(rows, np.float64)


def show(value: Any) -> str:
    """A value for a message, cut short; no more of it is looked at than is shown."""
    text = ""
    try:
        for piece in _pieces(value):
            text += piece
            if len(text) > _MOST_SHOWN:
                return text[: _MOST_SHOWN - 3] + "..."
    except ValueError:  # Python writes no whole number of that many digits
        return "a number of thousands of digits"
    return text


def _pieces(value: Any) -> Iterator[str]:
    """``repr``, in parts that each have a character at least."""
    if isinstance(value, str | bytes):
        yield repr(value[:60])
    elif isinstance(value, list | tuple):
        items = cast("Sequence[Any]", value)
        yield "[" if isinstance(value, list) else "("
        for i, item in enumerate(items):
            if i:
                yield ", "
            yield from _pieces(item)
        yield "]" if isinstance(value, list) else ",)" if len(items) == 1 else ")"
    elif isinstance(value, dict):
        yield "{"
        for i, (key, item) in enumerate(cast("dict[Any, Any]", value).items()):
            if i:
                yield ", "
            yield from _pieces(key)
            yield ": "
            yield from _pieces(item)
        yield "}"
    else:
        yield repr(value)


def read_number(text: str) -> float:
    """A finite number with a decimal point, as every language writes it: 2.50, -1e3. Raises
    ValueError; Python's own reading also takes 1_000, nan and the digits of other scripts."""
    word = text.strip()
    if len(word) > _MOST_DIGITS or not _NUMBER.fullmatch(word):
        comma = "; a decimal point is needed" if word.count(",") == 1 else ""
        raise ValueError(f"{show(text)} is no number{comma}")
    value = float(word)
    if not math.isfinite(value):
        raise ValueError(f"{show(text)} is too large")
    return value


def read_numbers(text: str) -> list[float]:
    """Numbers between commas, semicolons, bars or spaces, with or without brackets around them.
    Raises ValueError."""
    inner = text.strip()
    if inner[:1] == "[" and inner[-1:] == "]":
        inner = inner[1:-1].strip()
    inner = inner.replace(";", ",").replace("|", ",")
    cells = inner.split(",", MAX_VECTOR) if "," in inner else inner.split(None, MAX_VECTOR)
    if len(cells) > MAX_VECTOR:
        raise ValueError(f"more than {MAX_VECTOR:,} numbers")
    return [read_number(cell) for cell in cells]


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float can hold
        return False


def _check_number(spec: FeatureSpec, value: Any) -> Violation | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _violation("CON-102", spec, f"must be a number, got {show(value)}")
    if not _finite(value):
        return _violation("CON-102", spec, f"must be finite, got {show(value)}")
    return None


def _check_range(spec: FeatureSpec, value: float, widest: float) -> Violation | None:
    low = -widest if spec.low is None else spec.low
    high = widest if spec.high is None else spec.high
    if not low <= value <= high:
        return _violation(
            "CON-103", spec, f"{show(value)} is outside {_bound(low)} to {_bound(high)}"
        )
    return None


def _bound(value: float) -> str:
    """Short where that is the bound itself: a rounded one would contradict the value beside it."""
    if abs(value) <= MAX_INTEGER and value == int(value):
        return str(int(value))
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def _nearest_to_zero(spec: FeatureSpec) -> float:
    low = -math.inf if spec.low is None else spec.low
    high = math.inf if spec.high is None else spec.high
    return min(max(0.0, low), high)


def _length(value: Any) -> float:
    return float(len(value))


def _words(value: str) -> float:
    return float(sum(1 for _ in _WORD.finditer(value)))


def _non_ascii(value: str) -> float:
    """The share of characters beyond ASCII."""
    return sum(c > "\x7f" for c in value) / len(value) if value else 0.0


def _norm(value: Any) -> float:
    return float(np.linalg.norm(np.asarray(value, np.float64)))


def _width(value: bytes) -> float:
    return float(picture_size(value)[0])


def _height(value: bytes) -> float:
    return float(picture_size(value)[1])


def _bits_per_pixel(value: bytes) -> float:
    """Of the encoded picture: how much there is in it, and how hard it is compressed. 0 where its
    header does not say its size."""
    width, height = picture_size(value)
    return 8.0 * len(value) / (width * height) if width and height else 0.0
