"""The one family of errors that Windvane raises on purpose."""

from __future__ import annotations

import difflib
from bisect import bisect_left
from collections.abc import Iterable
from typing import ClassVar

_MOST_LETTERS = 64
_MOST_COMPARED = 64
_EACH_SIDE = 4

REGISTRY: dict[str, type[WindvaneError]] = {}


class WindvaneError(Exception):
    """An error with a stable code, a sentence naming both sides, and a hint.

    Codes never change meaning once released; the reference page lists them all.
    """

    code: ClassVar[str] = "WIN-000"
    hint: ClassVar[str] = ""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.advice = self.hint if hint is None else hint

    def __init_subclass__(cls) -> None:
        code = cls.__dict__.get("code")
        if code is None:
            return
        if code in REGISTRY:
            raise TypeError(f"error code {code} is taken by {REGISTRY[code].__name__}")
        REGISTRY[code] = cls

    def __str__(self) -> str:
        advice = f" Hint: {self.advice}" if self.advice else ""
        return f"{self.code}: {self.message}{advice}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint naming the closest known word, or all of them where none is close.

    Its cost is bounded: a word that no name is as long as is close to none, and of many names
    only those are compared that are next to it in their order, which begin alike.
    """
    names = sorted(known)
    close: list[str] = []
    if len(word) <= _MOST_LETTERS:
        near = names
        if len(names) > _MOST_COMPARED:
            at = bisect_left(names, word)
            near = names[max(0, at - _EACH_SIDE) : at + _EACH_SIDE]
        near = [name for name in near if len(name) <= _MOST_LETTERS]
        close = difflib.get_close_matches(word, near, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    shown = ", ".join(name[:_MOST_LETTERS] for name in names[:12])
    shown += ", …" if len(names) > 12 else ""
    return f"known: {shown}" if names else "none is known yet"
