"""What of single requests is shown, and to whom. The only place that hides values."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, cast

HIDDEN: Final = "hidden"

# What says which request it was and what became of it, and nothing of what was in it.
_WITHOUT_VALUES = frozenset(
    {"ts", "tenant", "prediction_id", "request_id", "event_id", "row", "routed", "answered", "arm",
     "rollout", "latency_us", "flags", "code", "key", "outcome_ts"}
)  # fmt: skip
# Texts that quote a request as it came, whichever feature was in it.
_QUOTED = ("sample", "message")
# What of a feature's change is made of values of requests.
_OF_VALUES = ("quartiles", "quartiles_beyond", "beyond", "names")


def redact_evidence(
    evidence: Mapping[str, Any], *, pii: Collection[str], values: bool, unit: str = ""
) -> dict[str, Any]:
    """An incident's evidence as it may be shown.

    Without ``values`` nothing of a request's content is left. With them, the features in ``pii``
    are hidden, and with any of those all that quotes a request. A missing value stays missing.
    ``unit`` is the name of what requests are split by: if that is among ``pii``, it is hidden too.
    """
    out = dict(evidence)
    samples = out.get("samples")
    if isinstance(samples, list):
        rows = cast("list[Any]", samples)
        out["samples"] = [redact_row(_mapping(row), pii, unit, values=values) for row in rows]
    drawn = out.get("histograms")
    if isinstance(drawn, list):
        out["histograms"] = [_drawn(_mapping(one), pii) for one in cast("list[Any]", drawn)]
    changes = out.get("changes")
    if isinstance(changes, list):
        out["changes"] = [_changed(_mapping(one), pii) for one in cast("list[Any]", changes)]
    answers = _mapping(out.get("partial_dependence"))
    if (feature := answers.get("feature")) in pii:
        kept = {name: answers[name] for name in ("feature", "version") if name in answers}
        out["partial_dependence"] = {**kept, "missing": f"values of {feature} are tagged as pii"}
    return out


def bin_labels(labels: Sequence[str], feature: str, pii: Collection[str]) -> list[str]:
    """The names of a histogram's bins. Those of a category are values of requests."""
    if feature not in pii:
        return list(labels)
    return [label if label == "null" else f"bin {i}" for i, label in enumerate(labels)]


def redact_row(
    row: Mapping[str, Any], pii: Collection[str], unit: str, *, values: bool
) -> dict[str, Any]:
    """One request, or one row of it, as it may be shown: see `redact_evidence`."""
    if not values:
        return {name: value for name, value in row.items() if name in _WITHOUT_VALUES}
    out = dict(row)
    if not pii:
        return out
    for name in _QUOTED:
        if out.get(name):
            out[name] = HIDDEN
    if unit in pii and out.get("unit"):
        out["unit"] = HIDDEN
    if "features" in out:
        given = _mapping(out["features"])
        out["features"] = {
            name: HIDDEN if name in pii and value is not None else value
            for name, value in given.items()
        }
    return out


def _drawn(one: Mapping[str, Any], pii: Collection[str]) -> dict[str, Any]:
    labels = one.get("labels")
    if not isinstance(labels, list):
        return dict(one)
    names = [str(label) for label in cast("list[Any]", labels)]
    return {**one, "labels": bin_labels(names, str(one.get("feature", "")), pii)}


def _changed(one: Mapping[str, Any], pii: Collection[str]) -> dict[str, Any]:
    """How far a feature moved is no value of a request."""
    if one.get("feature") not in pii:
        return dict(one)
    return {name: value for name, value in one.items() if name not in _OF_VALUES}


def _mapping(value: Any) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}
