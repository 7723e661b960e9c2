"""Versions that a gateway was told to serve and cannot load, as its workers post it."""

from __future__ import annotations

from windvane.ports.metrics import MetricsBoard

METRIC = "version_broken"
_FRESH_S = 10.0  # a worker posts each second; what an ended one posted last is over


def broken_versions(board: MetricsBoard | None) -> frozenset[tuple[str, str]]:
    """Models and versions, of the workers whose posts are here: those of this machine."""
    posted = {} if board is None else board.posted(_FRESH_S)
    return frozenset(
        (labels[0], labels[1])
        for series in posted.values()
        for one in series
        if one.name == METRIC
        for labels, _ in one.values
    )
