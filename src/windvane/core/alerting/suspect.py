"""What the version makes of a suspect feature's usual and present values, in words."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

PARTIAL_DEPENDENCE = "partial_dependence"
_PLAIN = ("probability", "")
_LONGEST = 60


def suspect_words(evidence: Mapping[str, Any], private: Collection[str] = ()) -> str:
    """`mean answer 0.21 at wind_speed 8 (usual), 0.34 at 14.4 (now)`; "" where nothing is known of
    it, the feature is ``private``, or its middle is where it was: then it is its mixture that
    moved, of which one value says nothing."""
    held: Mapping[str, Any] = evidence.get(PARTIAL_DEPENDENCE) or {}
    usual, now = held.get("usual"), held.get("now")
    if not usual or not now or held["feature"] in private:
        return ""
    if usual["value"] == now["value"]:
        return ""
    output = "" if held["output"] in _PLAIN else f" ({held['output']})"
    return f"mean answer{output} {_at(usual, held['feature'])} (usual), {_at(now)} (now)"


def value_words(value: Any) -> str:
    """A feature's value as a page and a notification write it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return repr(value if len(value) <= _LONGEST else f"{value[:_LONGEST]}…")
    return f"{value:.4g}"


def answer_words(answer: float | None) -> str:
    """A mean answer, with as many digits as matter."""
    return "not asked" if answer is None else f"{answer:.3g}"


def _at(place: Mapping[str, Any], feature: str = "") -> str:
    value, said = place["value"], answer_words(place["answer"])
    if value is None:
        return f"{said} where {feature or 'it'} is missing"
    named = f"{said} at {feature} " if feature else f"{said} at "
    if "asked" in place:
        return f"{named}{value_words(place['asked'])}, the furthest asked of {value_words(value)}"
    return named + value_words(value)
