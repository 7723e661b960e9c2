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
    if (usual["value"], usual.get("beyond")) == (now["value"], now.get("beyond")):
        return ""
    output = "" if held["output"] in _PLAIN else f" ({held['output']})"
    return f"mean answer{output} {_at(usual, held['feature'])} (usual), {_at(now)} ({_when(now)})"


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


def place_words(place: Mapping[str, Any]) -> str:
    """A place's value: `12.5`, or `over 12.5` where it lies beyond training's, nobody knows how
    far."""
    return f"{place.get('beyond', '')} {value_words(place['value'])}".lstrip()


def _when(now: Mapping[str, Any]) -> str:
    few = "beyond" in now and "share" in now
    return f"{now['share']:.0%} of rows now" if few else "now"


def _at(place: Mapping[str, Any], feature: str = "") -> str:
    value, said = place["value"], answer_words(place["answer"])
    if value is None:
        return f"{said} where {feature or 'it'} is missing"
    named = f"{feature} " if feature else ""
    if "asked" not in place:
        return f"{said} at {named}{value_words(value)}"
    if place["asked"] is None:
        return f"{said} at {named}{place_words(place)}"
    of = f"asked {place_words(place)}" if "beyond" in place else f"asked of {value_words(value)}"
    far = "nearest" if "beyond" in place else "furthest"
    return f"{said} at {named}{value_words(place['asked'])}, the {far} {of}"
