"""Every metric that an installation exports, by the code that exports it."""

from __future__ import annotations

import re

from windvane.apps.console.control_metrics import control_names
from windvane.apps.console.metrics import PREFIX, recorder_series
from windvane.inference.metrics import Metrics, metric_names

_SUFFIXES = ("_bucket", "_sum", "_count")
_ADDED = {"instance", "job"}  # by Prometheus


def exported() -> dict[str, set[str]]:
    """The labels of each, with the suffixes of a histogram."""
    made = Metrics()
    for held in made.counts.values():
        held[()] += 1
    for name in metric_names():
        made.gauges.setdefault(name.removeprefix(PREFIX), {(): 0.0})
    out: dict[str, set[str]] = {}
    for one in [*made.series(), *recorder_series({}), *control_names().values()]:
        labels = {*one.labels, *_ADDED, *({"worker"} if one.kind == "gauge" else ())}
        if one.kind == "histogram":
            out |= {PREFIX + one.name + suffix: labels | {"le"} for suffix in _SUFFIXES}
        else:
            out[PREFIX + one.name] = labels
    return out


def check_expression(expression: str, known: dict[str, set[str]]) -> None:
    """It names metrics that there are, and labels that these have."""
    bare = re.sub(r'"[^"]*"', '""', expression)
    named = set(re.findall(r"windvane_\w+", bare))
    assert named, expression
    assert named <= known.keys(), f"{named - known.keys()}: {expression}"
    for name, matchers in re.findall(r"(windvane_\w+)\{([^}]*)\}", bare):
        used = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))
        assert used <= known[name], f"{used - known[name]} of {name}: {expression}"
    labels = set().union(*(known[name] for name in named))
    for listed in re.findall(r"\b(?:by|on|without|ignoring)\s*\(([^)]*)\)", bare):
        used = {word.strip() for word in listed.split(",") if word.strip()}
        assert used <= labels, f"{used - labels}: {expression}"
