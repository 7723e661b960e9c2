"""The one family of errors that Windvane raises on purpose."""

from __future__ import annotations

import difflib
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import ClassVar

_MOST_LETTERS = 64
_MOST_COMPARED = 64
_EACH_SIDE = 4
_CLOSE = 0.6

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

    @property
    def docs(self) -> str:
        """Where the reference explains the code, below its folder: ``errors/GAT#gat-101``."""
        return f"errors/{self.code[:3]}#{self.code.lower()}"

    def __str__(self) -> str:
        advice = f" Hint: {self.advice}" if self.advice else ""
        return f"{self.code}: {self.message}{advice}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint naming the closest known word, or all of them where none is close."""
    return did_you_mean_sorted(word, sorted(known))


def did_you_mean_sorted(word: str, names: Sequence[str]) -> str:
    """The same of ``names`` in their order, for who is asked by strangers.

    Its cost is bounded: a word that no name is as long as is close to none, and of many names
    only the likest is compared of those that are next to it in their order, which begin alike.
    """
    close = ""
    if len(word) <= _MOST_LETTERS:
        if len(names) > _MOST_COMPARED:
            at = bisect_left(names, word)
            near = names[max(0, at - _EACH_SIDE) : at + _EACH_SIDE]
            best = max(near, key=lambda name: _likeness(word, name))
            alike = difflib.SequenceMatcher(None, word, best[:_MOST_LETTERS]).ratio()
            close = best if alike >= _CLOSE else ""
        else:
            near = [name for name in names if len(name) <= _MOST_LETTERS]
            close = next(iter(difflib.get_close_matches(word, near, n=1, cutoff=_CLOSE)), "")
    if close:
        return f"did you mean {close!r}?"
    shown = ", ".join(name[:_MOST_LETTERS] for name in names[:12])
    shown += ", …" if len(names) > 12 else ""
    return f"known: {shown}" if names else "none is known yet"


def _likeness(one: str, other: str) -> float:
    """The share of both words' letters that lie in what they begin and end with in common: all
    but one where one letter is too many, missing or wrong."""
    least = min(len(one), len(other))
    begin = 0
    while begin < least and one[begin] == other[begin]:
        begin += 1
    end = 0
    while end < least - begin and one[-1 - end] == other[-1 - end]:
        end += 1
    return 2.0 * (begin + end) / (len(one) + len(other)) if least else 0.0
