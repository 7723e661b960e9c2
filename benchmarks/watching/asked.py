"""What a peer is asked, in its own environment: windows of rows, each beside the same reference.

Run by `watch_libraries.py` as ``python score.py IN.npz OUT.json``. Needs numpy and pandas alone.
"""

from __future__ import annotations

import gc
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

_TINY = 1e-300
NEVER = 1e9  # a score beyond all: nothing is left to compare


@dataclass(frozen=True)
class Asked:
    """``windows`` share the columns of ``reference``; names are texts, a null is None or NaN."""

    reference: pd.DataFrame
    windows: list[pd.DataFrame]
    rows: int


@dataclass
class Answer:
    """``scores``: of each window by feature, larger is more drift. ``alarms``: the features that
    the peer flags by its defaults. ``cpu_s``: of each window; ``ready_s``: of the reference."""

    version: str
    ready_s: float = 0.0
    scores: list[dict[str, float]] = field(default_factory=list)
    alarms: list[list[str]] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)

    def add(self, scores: Mapping[str, float], alarms: list[str], cpu_s: float) -> None:
        self.scores.append({k: min(float(np.nan_to_num(v)), NEVER) for k, v in scores.items()})
        self.alarms.append(alarms)
        self.cpu_s.append(cpu_s)

    def add_raised(self, window: pd.DataFrame, cpu_s: float) -> None:
        """It raised, as some do on a column without a value: whoever runs it is told so. What is
        told is the columns that are empty, all of them where none is."""
        empty = [name for name in window.columns if bool(np.all(pd.isna(window[name].to_numpy())))]
        names = empty or list(window.columns)
        self.add(dict.fromkeys(names, NEVER), names, cpu_s)


def read_asked(path: str) -> Asked:
    with np.load(path, allow_pickle=False) as held:
        bounds, names = held["bounds"], [str(name) for name in held["names"]]
        reference = pd.DataFrame({n: _column(held[f"reference/{n}"]) for n in names})
        current = pd.DataFrame({n: _column(held[f"current/{n}"]) for n in names})
    windows = [current.iloc[a:b].reset_index(drop=True) for a, b in pairwise(bounds)]
    return Asked(reference, windows, max((len(w) for w in windows), default=0))


def _column(values: np.ndarray) -> Any:
    if values.dtype.kind != "U":
        return values
    texts = values.astype(object)
    texts[values == ""] = None
    return texts


def of_p(p: float) -> float:
    """A p-value as a score."""
    return float(-np.log10(max(p, _TINY)))


class Clock:
    """Processor seconds of one step."""

    def __init__(self) -> None:
        self.s = 0.0

    def __enter__(self) -> Clock:
        gc.collect()
        self._from = time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.s = time.process_time() - self._from


def each(asked: Asked) -> Iterator[tuple[pd.DataFrame, Clock]]:
    for window in asked.windows:
        yield window, Clock()


def main(score: Callable[[Asked], Answer]) -> None:
    warnings.simplefilter("ignore")
    source, target = sys.argv[1:3]
    answer = score(read_asked(source))
    with open(target, "w") as out:
        json.dump(answer.__dict__, out)
