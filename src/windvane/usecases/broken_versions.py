"""Versions that a gateway was told to serve and cannot load, as its workers post it."""

from __future__ import annotations

from windvane.ports.metrics import MetricsBoard

METRIC = "version_broken"
_FRESH_S = 10.0  # a worker posts each second; what an ended one posted last is over


def broken_versions(board: MetricsBoard | None, worker: str = "") -> frozenset[tuple[str, str]]:
    """Models and versions, of the workers whose posts are here: those of this machine, or the
    one ``worker``, of which none is known where it posted nothing lately."""
    posted = {} if board is None else board.posted(_FRESH_S)
    return frozenset(
        (labels[0], labels[1])
        for name, series in posted.items()
        if name == worker or not worker
        for one in series
        if one.name == METRIC
        for labels, _ in one.values
    )
