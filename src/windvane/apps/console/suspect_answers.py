"""What the version makes of an incident's suspect, as its page draws it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from windvane.apps.console.svg import CurveMark, answer_curve
from windvane.core.alerting.suspect import (
    answer_words,
    place_words,
    suspect_words,
    value_words,
)

_WHERE = {
    "outside": "beyond training", "unseen": "not in training", "null": "missing", "training": "",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """A value that was asked about. ``mark`` is ``usual``, ``now``, ``usual and now`` or "",
    ``part`` the answer's place between 0, or the lowest where that is below, and the highest.
    ``asked`` is the value that the answer is of, "" where that is the row's own."""

    value: str
    answer: float | None
    where: str
    mark: str
    part: float
    asked: str = ""

    @property
    def said(self) -> str:
        return answer_words(self.answer)


@dataclass(frozen=True, slots=True)
class SuspectAnswers:
    """``missing`` says why there are none, "" where there are. ``picture`` is of a number, names
    have ``rows`` only; ``low`` and ``high`` are the ends of its axis, ``least`` and ``most`` the
    lowest and the highest mean answer. ``rank`` among ``features`` by importance; ``asked`` are
    the rows of training that each mean is over."""

    feature: str
    version: str
    missing: str = ""
    words: str = ""
    output: str = ""
    asked: int = 0
    rank: int = 0
    features: int = 0
    picture: Markup | None = None
    low: str = ""
    high: str = ""
    least: str = ""
    most: str = ""
    rows: tuple[AnswerRow, ...] = ()


def suspect_answers(evidence: Mapping[str, Any]) -> SuspectAnswers | None:
    """None where nothing is on record. Raises KeyError, TypeError, ValueError of a record that
    this release cannot read."""
    held: Mapping[str, Any] = evidence.get("partial_dependence") or {}
    if not held:
        return None
    feature, version = str(held["feature"]), str(held["version"])
    if "missing" in held:
        return SuspectAnswers(feature, version, str(held["missing"]))
    points: list[Mapping[str, Any]] = list(held["points"])
    usual: Mapping[str, Any] = held["usual"] or {}
    now: Mapping[str, Any] = held["now"] or {}
    known = [float(p["answer"]) for p in points if p["answer"] is not None]
    least, most = min(known, default=0.0), max(known, default=0.0)
    words = suspect_words(evidence)
    numbers = [p for p in points if _is_number(p["value"])]
    return SuspectAnswers(
        feature, version, "", words, str(held["output"]), int(held["rows"]), int(held["rank"]),
        int(held["features"]),
        picture=_picture(held, numbers, usual, now, words) if numbers else None,
        low=value_words(numbers[0]["value"]) if numbers else "",
        high=value_words(numbers[-1]["value"]) if numbers else "",
        least=answer_words(least),
        most=answer_words(most),
        rows=tuple(_rows(points, usual, now, min(0.0, least), most)),
    )  # fmt: skip


def _rows(
    points: list[Mapping[str, Any]],
    usual: Mapping[str, Any],
    now: Mapping[str, Any],
    least: float,
    most: float,
) -> list[AnswerRow]:
    """Every point, and the usual and the present value among them where they are none."""
    marked = {key: held for key, held in (("usual", usual), ("now", now)) if held}
    shown = [*points]
    for held in marked.values():
        if not any(_same(held, p) for p in shown):
            shown.append(held)
    numbers = sorted((p for p in shown if _is_number(p["value"])), key=_order)
    others = [p for p in shown if not _is_number(p["value"])]
    span = (most - least) or 1.0
    return [
        AnswerRow(
            place_words(p),
            p["answer"],
            _WHERE.get(str(p["where"]), ""),
            " and ".join(key for key, held in marked.items() if _same(held, p)),
            0.0 if p["answer"] is None else (float(p["answer"]) - least) / span,
            "" if p.get("asked") is None else value_words(p["asked"]),
        )
        for p in (*numbers, *others)
    ]


def _picture(
    held: Mapping[str, Any],
    numbers: list[Mapping[str, Any]],
    usual: Mapping[str, Any],
    now: Mapping[str, Any],
    words: str,
) -> Markup:
    trained = [float(p["value"]) for p in numbers if p["where"] == "training"]
    quartiles = [float(value) for value in held["quartiles"] or ()]
    marks = [
        CurveMark(
            name,
            float(x) if _is_number(x := place.get("asked", place["value"])) else None,
            place["answer"],
        )
        for name, place in (("usual", usual), ("now", now))
        if place
    ]
    return answer_curve(
        [(float(p["value"]), p["answer"]) for p in numbers],
        marks,
        (trained[0], trained[-1]) if trained else None,
        (quartiles[0], quartiles[-1]) if quartiles else None,
        f"Mean answer as {held['feature']} moves: {words}",
    )


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    alike = type(one["value"]) is type(other["value"]) and one["value"] == other["value"]
    return alike and one.get("beyond") == other.get("beyond")


def _order(place: Mapping[str, Any]) -> tuple[float, int]:
    return float(place["value"]), {"under": -1, "over": 1}.get(place.get("beyond", ""), 0)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
