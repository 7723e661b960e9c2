"""Load what the judges of one closed window need."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from windvane.core.drift import Baseline, Kind, StreamState
from windvane.core.routing import NO_SAMPLE
from windvane.core.sketch import Layout, Sketch
from windvane.core.verdict import RateState
from windvane.ports.control_store import Deployment, Tx, WindowKey
from windvane.usecases.count_rows import views_of
from windvane.usecases.load_recent_history import RecentHistory, load_recent_history
from windvane.usecases.project_sketches import project_sketches
from windvane.usecases.read_model_file import ModelFile, parse_duration, read_model_file
from windvane.usecases.recorded_until import EXPIRE_AFTER_S, expired_spools, recorded_until
from windvane.usecases.window_policy import WindowPolicy, window_policy

_log = logging.getLogger(__name__)
_NAMED = 10
Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
# What is drawn for each judge. With other names, the figures in benchmarks/results, and a window
# that is judged once more, would come from other draws.
SHIFT_SALT, DRIFT_SALT = "breaks", "season"


class StewardState(msgspec.Struct):
    """What the judges carry from window to window; stored with every step.

    ``excluded``: spans of time a view was broken, which its recent past leaves out.
    """

    judged_until: float = 0.0
    training_drift_from: float = 0.0
    sudden_shift: dict[str, StreamState] = {}
    training_drift: dict[str, StreamState] = {}
    refusals: dict[str, RateState] = {}
    errors: RateState = RateState()
    excluded: dict[str, list[tuple[float, float]]] = {}


class Look(NamedTuple):
    """What a look for a closed window depended on; ``window`` counts windows up to where every
    spool was read."""

    window: float
    champion: str
    changed_at: float
    text: str


@dataclass
class WindowCache:
    """The recent past and the unpacked baselines of each model, and the last look that found
    no closed window: until the spools are read into another window there is none either.

    A cache only: losing it costs reading, never a verdict.
    """

    histories: dict[str, RecentHistory] = field(default_factory=dict[str, RecentHistory])
    baselines: dict[str, Baseline] = field(default_factory=dict[str, Baseline])
    in_vain: dict[str, Look] = field(default_factory=dict[str, Look])
    expired: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class ClosedWindow:
    """One window of one model and all that bears on it.

    ``counts`` are merged over everyone; ``history`` has them too, and those of the recent past.
    """

    file: ModelFile
    policy: WindowPolicy
    live: Deployment
    layout: Layout
    baseline: Baseline
    start: float
    sketches: tuple[tuple[WindowKey, Sketch], ...]
    counts: Counts
    history: RecentHistory

    @property
    def end(self) -> float:
        return self.start + self.policy.window_s

    @property
    def views(self) -> dict[str, str]:
        return views_of(self.file.schema, self.layout.names)

    def seed(self, purpose: str) -> int:
        """A seed that follows from the window, so that a repeat draws the same."""
        name = f"{self.file.model}/{purpose}/{self.start:.0f}"
        return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=6).digest(), "big")

    def references(self, state: StewardState) -> dict[str, Counts]:
        """Each feature's counts over its recent healthy past; absent until there is enough.

        The past of a view that is broken ends where the shift began, and stays there until
        it heals; former shifts are left out. Training windows count as the recent past of
        a model's first days.
        """
        recent = self.policy.recent_s
        tail_s = self.baseline.block_s
        known = {s: (s + tail_s, counts) for s, counts in self.baseline.tail.items()}
        known |= {start: (end, counts) for start, end, counts in self.history.spans()}
        broken = broken_since(self.views, state)
        out: dict[str, Counts] = {}
        for view in dict.fromkeys(self.views.values()):
            until = min(broken.get(view, self.start), self.start)
            healthy = [
                (end - start, counts)
                for start, (end, counts) in known.items()
                if until - recent <= start and end <= until
                and _healthy(start, end, state.excluded.get(view, []))
                and counts.any()
            ]  # fmt: skip
            if sum(span for span, _ in healthy) < recent / 8.0:
                continue
            merged = np.sum([counts for _, counts in healthy], axis=0)
            for name, of in self.views.items():
                if of == view:
                    out[name] = self.layout.part(merged, name)
        return out

    def calibration(self, state: StewardState) -> dict[str, tuple[Floats, Floats]]:
        """Sizes of healthy windows by feature, values and nulls: of the training data, or of
        what was served where too few training windows were full enough to be measured."""
        broken = broken_since(self.views, state)
        out: dict[str, tuple[Floats, Floats]] = {}
        for name, view in self.views.items():
            trained = self.baseline.calibration[name]
            until = broken.get(view, self.start)
            spans = state.excluded.get(view, [])
            both: list[Floats] = []
            for row, kind in ((0, Kind.VALUES), (1, Kind.NULLS)):
                scores = trained[row][~np.isnan(trained[row])]
                if len(scores) < self.policy.sudden_shift.enough:
                    sizes = self.history.sizes.get(f"{name}/{kind.value}", {})
                    scores = np.array(
                        [
                            size
                            for start, size in sizes.items()
                            if start < until
                            and _healthy(start, start + self.policy.window_s, spans)
                        ]
                    )
                both.append(scores)
            out[name] = (both[0], both[1])
        return out


def _healthy(start: float, end: float, broken: Sequence[tuple[float, float]]) -> bool:
    return not any(low < end and start < high for low, high in broken)


def broken_since(views: Mapping[str, str], state: StewardState) -> dict[str, float]:
    """When each view that sounds now began to."""
    out: dict[str, float] = {}
    for stream, held in state.sudden_shift.items():
        if held.alarmed and held.since is not None:
            view = views.get(stream.rpartition("/")[0], "")
            out[view] = min(out.get(view, held.since), held.since)
    return out


def load_window(
    tx: Tx,
    model: str,
    cache: WindowCache,
    wall: float = 0.0,
    expire_after_s: float = EXPIRE_AFTER_S,
) -> tuple[ClosedWindow, StewardState] | None:
    """The next window that is closed but not judged; None where there is none.

    A window is closed once every spool of every recorder was read past its end, but for those that
    nobody saw for ``expire_after_s`` before ``wall``.
    """
    live = tx.deployment(model)
    checkpoints = tx.checkpoints()
    if live is None or not checkpoints:
        return None
    text = tx.model(model).text
    file = read_model_file(text)
    window_s, grace_s = parse_duration(file.watch.window), parse_duration(file.watch.grace)
    read_until = recorded_until(checkpoints, wall, expire_after_s)
    _say_expired(cache, tuple(expired_spools(checkpoints, wall, expire_after_s)))
    if read_until is None:
        return None
    look = Look((read_until - grace_s) // window_s, live.champion, live.changed_at, text)
    if cache.in_vain.get(model) == look:
        return None
    tenants = len({record.entry.tenant for record in tx.key_records()})
    policy = window_policy(file, models=len(tx.models()), tenants=tenants)
    state = msgspec.convert(tx.steward_state(model), StewardState)
    start = state.judged_until or _first_window(tx, model, live, policy)
    if start is None or read_until < start + window_s + grace_s:
        cache.in_vain[model] = look
        return None
    champion = tx.version(model, live.champion)
    layout = tx.layout(champion.layout_id)
    name = f"{model}/{champion.version}/{champion.manifest}"
    if name not in cache.baselines:
        cache.baselines[name] = Baseline.from_bytes(champion.baseline)
    oldest = min([start, *broken_since(views_of(file.schema, layout.names), state).values()])
    first = oldest - max(policy.recent_s, policy.drift_over_s)
    name_of_history = f"{model}/{layout.id}/{policy.window_s}/{policy.block_s}"
    history = cache.histories.get(name_of_history)
    # Not the next window and not this one again: another steward led in between.
    if history is None or history.until not in (start, start + policy.window_s):
        history = load_recent_history(
            tx, model, layout, policy.window_s, policy.block_s, first, start
        )
        cache.histories[name_of_history] = history
    history.forget_before(first)
    sketches = tuple(
        project_sketches(tx, layout, tx.sketches(model, start, start + policy.window_s))
    )
    counts = _merge(layout, [sketch for key, sketch in sketches if key.arm not in NO_SAMPLE])
    history.add(start, counts)
    baseline = cache.baselines[name]
    window = ClosedWindow(file, policy, live, layout, baseline, start, sketches, counts, history)
    return window, state


def _say_expired(cache: WindowCache, expired: tuple[str, ...]) -> None:
    """Once, when it changes."""
    if expired != cache.expired:
        cache.expired = expired
        named = ", ".join(expired[:_NAMED]) or "none"
        _log.warning("windows close without %d spools that expired: %s", len(expired), named)


def _first_window(tx: Tx, model: str, live: Deployment, policy: WindowPolicy) -> float | None:
    found = tx.sketches(model, live.changed_at - policy.recent_s, float("inf"))
    return min((key.start for key, _ in found), default=None)


def _merge(layout: Layout, sketches: list[Sketch]) -> Counts:
    parts = [s.features for s in sketches]
    return np.sum(parts, axis=0) if parts else np.zeros(layout.size, np.int64)
