"""What a LightGBM text says of the model in it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from windvane.adapters.lightgbm.library import Booster
from windvane.ports.runtime import CannotLoad
from windvane.ports.source import DataFile

_ANY_SIZE = 1 << 30
_CATEGORICAL = 1  # the bit of a split's decision type


def read_lightgbm(path: Path) -> DataFile:
    """A booster's text, the names in it, what each column was, its splits, and, where it was
    trained on a pandas frame, the lists of its categories. Training that stopped early is cut
    off in the file already.

    The text has one list for each categorical column of the frame, in their order, but does
    not say which columns these are: an ordered category becomes a plain number, and whole
    numbers may be named as categories. Where that leaves a choice the lists are ``unplaced``.
    Raises CannotLoad.
    """
    body = path.read_bytes()
    booster = Booster(body)
    outputs = booster.classes
    booster.close()
    try:
        held: Any = json.loads(_line(body, b"pandas_categorical:") or "null")
    except ValueError as error:
        raise CannotLoad(f"its categories cannot be read: {error}") from error
    names = tuple(_line(body, b"feature_names=").split(" "))
    lists = tuple(tuple(str(name) for name in one) for one in held or [])
    infos = _line(body, b"feature_infos=").split(" ")[: len(names)]
    coded = [i for i, info in enumerate(infos) if _is_codes(info)]
    named = _named(body)
    sure = sorted({*named, *coded})
    placed = len(sure) == len(lists) and all(
        len(names_) >= _size(infos[i]) or infos[i] == "none"
        for i, names_ in zip(sure, lists, strict=True)
    )
    types = {i: "category" if i in sure else "number" for i in range(len(names))}
    if lists:  # an ordered category is a number to the trees
        types = {i: kind for i, kind in types.items() if kind == "category" and placed}
    return DataFile(
        body,
        names,
        dict(zip(sure, lists, strict=True)) if placed else {},
        outputs,
        types=types,
        unplaced=() if placed else lists,
        sizes=tuple(_size(info) for info in infos),
        splits=_splits(body),
    )


def _named(body: bytes) -> list[int]:
    """The columns that training was told are categories."""
    given = _line(body, b"[categorical_feature: ").rstrip("]")
    return [int(part) for part in given.split(",") if part.strip().isdigit()]


def _size(info: str) -> int:
    """How many codes a column's values need, 0 where they are no codes: ``[0:12]`` is a range of
    numbers, ``-1:0:3`` a list of codes, ``none`` a column that no tree could use."""
    if info == "none":
        return _ANY_SIZE
    low, _, high = info.strip("[]").rpartition(":")
    try:
        if info.startswith("["):
            whole = float(low) >= 0.0 and float(high).is_integer() and float(low).is_integer()
            return int(float(high)) + 1 if whole else 0
        return max(int(part) for part in info.split(":")) + 1
    except ValueError:
        return 0


def _is_codes(info: str) -> bool:
    return ":" in info and not info.startswith("[")


def _splits(body: bytes) -> tuple[tuple[int, float], ...]:
    """(place, threshold) of every split of numbers."""
    found: set[tuple[int, float]] = set()
    parts = (_every(body, start) for start in (b"split_feature=", b"threshold=", b"decision_type="))
    for places, thresholds, kinds in zip(*parts, strict=False):
        for place, threshold, kind in zip(
            places.split(), thresholds.split(), kinds.split(), strict=False
        ):
            if not int(kind) & _CATEGORICAL:
                found.add((int(place), float(threshold)))
    return tuple(sorted(found))


def _every(body: bytes, start: bytes) -> Sequence[str]:
    return [line[len(start) :].decode() for line in body.split(b"\n") if line.startswith(start)]


def _line(body: bytes, start: bytes) -> str:
    at = body.find(b"\n" + start)
    if at < 0:
        return ""
    begin = at + 1 + len(start)
    end = body.find(b"\n", begin)
    return body[begin : end if end >= 0 else None].decode()
