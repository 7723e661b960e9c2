"""A small installation: the real SQLite store, spool and Delta log, and a clock moved by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from windvane.adapters.delta import DeltaEventLog
from windvane.adapters.files import FileRoutingFeed
from windvane.adapters.sql import SqlControlStore
from windvane.core.drift import Baseline, build_baseline
from windvane.core.journal import Decision
from windvane.core.routing import KeyEntry
from windvane.core.sketch import TRAFFIC, CategoryAxis, Layout, NumericAxis, Sketch
from windvane.ports.control_store import (
    Checkpoint,
    Deployment,
    Incident,
    KeyRecord,
    VersionRecord,
    WindowKey,
)
from windvane.usecases.actions import About, Asked, action_named, perform
from windvane.usecases.apply_model import apply_model
from windvane.usecases.derived_axes import derived_axes
from windvane.usecases.judge_windows import judge_windows
from windvane.usecases.leases import SHARDS, Shards, give_up, hold_shards
from windvane.usecases.load_windows import WindowCache
from windvane.usecases.read_model_file import read_model_file

MODEL = "delay"
START = 1_700_006_400.0  # a midnight, UTC
WINDOW_S = 60.0
FEATURES = {"plan": ("distance", "carrier"), "weather": ("temp",)}
TENANTS = ("AA", "UA")
CARRIERS = ("b6", "dl", "ev", "mq")

FILE = """
model: delay
owner: {team: ops, contact: "#ops-ml"}
runbook: runbooks/
predicts: {kind: binary, outcome: late}
features:
  plan:
    distance: {type: number, range: [0, 5000]}
    carrier: {type: category}
  weather:
    temp: {type: number, nullable: true}
serve:
  deadline: 250ms
  fallback: [previous, {without: weather}, {constant: 0.2}]
watch:
  window: 60s
  min_rows: 20
  recent: 30m
  drift_over: 20m
  false_alarms: 1 per day
  material: {values: 0.3}
  refused: 5%
  errors: 2%
  latency: 100ms
  outcomes: {floor: 0.6}
rollout: {steps: [10%, 50%, 100%], soak: 10m, roll_back_if: {error_rate: "> 10%"}}
"""


@dataclass
class ManualClock:
    """Both times, moved by the test."""

    at: float = START
    wall_at: float = 1_000.0

    def now(self) -> float:
        return self.at

    def wall(self) -> float:
        return self.wall_at


def columns(
    rows: int,
    seed: int,
    *,
    nulls: float = 0.0,
    celsius: bool = False,
    warmer: float = 0.0,
    spoiled_plan: bool = False,
    stuck: bool = False,
    higher: float = 0.0,
    one_answer: bool = False,
    zeros: float = 0.0,
    zero: float = 0.0,
) -> dict[str, Any]:
    """Healthy rows, or with ``nulls`` of the temperatures missing, all of them in Celsius,
    ``warmer`` or ``stuck`` at their usual value, or with distances in another unit or ``zeros`` of
    them 0, or what is sent for a ``zero``; answers that are ``higher`` or all one."""
    rng = np.random.default_rng(seed)
    temp = rng.normal(60.0, 10.0, rows) + warmer
    if celsius:
        temp = (temp - 32.0) / 1.8
    if stuck:
        temp[:] = 60.0
    gone = rng.random(rows) < nulls
    distance = rng.gamma(3.0, 300.0, rows)
    if zeros:
        distance[rng.random(rows) < zeros] = zero
    return {
        "distance": distance / 1_000.0 if spoiled_plan else distance,
        "carrier": [CARRIERS[i] for i in rng.choice(4, rows, p=(0.4, 0.3, 0.2, 0.1))],
        "temp": np.where(gone, np.nan, temp),
        "output": np.full(rows, 0.3) if one_answer else rng.beta(2.0, 6.0, rows) + higher,
    }


@dataclass(frozen=True)
class Trained:
    """What a version's training leaves behind."""

    layout: Layout
    baseline: Baseline


def train(**shape: Any) -> Trained:
    """400 training windows of 60 rows, ending where the tests begin."""
    many = columns(24_000, 1, **shape)
    layout = Layout(
        (
            NumericAxis.fit("distance", many["distance"]),
            CategoryAxis("carrier", CARRIERS),
            NumericAxis.fit("temp", many["temp"]),
            NumericAxis("output", tuple(0.05 * i for i in range(1, 20))),
        )
    )
    counts = layout.count(many, np.repeat(np.arange(400), 60), 400)
    windows = {START + WINDOW_S * (i - 400): counts[i] for i in range(400)}
    return Trained(layout, build_baseline(layout, windows, WINDOW_S, 1_800.0, 20))


@dataclass
class Harness:
    """One installation below ``folder``; helpers that put it into a state."""

    folder: Path
    store: SqlControlStore
    trained: Trained
    clock: ManualClock = field(default_factory=ManualClock)
    cache: WindowCache = field(default_factory=WindowCache)
    broken: frozenset[tuple[str, str]] = frozenset()

    def __post_init__(self) -> None:
        self.log = DeltaEventLog(str(self.folder / "log"))
        self.feed = FileRoutingFeed(self.folder / "routing.json")
        self.shards = self.lead("one")

    @property
    def layout(self) -> Layout:
        return self.trained.layout

    @property
    def counted_on(self) -> Layout:
        """The layout, and beside it what the model's file asks for."""
        with self.store.read() as tx:
            file = read_model_file(tx.model(MODEL).text)
        return Layout((*self.layout.axes, *derived_axes(file)))

    def lead(self, holder: str) -> Shards:
        """Hold every shard, as the only steward."""
        shards = hold_shards(self.store, holder, 1e6)
        assert len(shards.tokens) == SHARDS
        return shards

    def depose(self) -> None:
        """Another steward takes the leases after this one let them expire."""
        give_up(self.store, "one", self.shards)
        self.lead("two")

    def apply(self, text: str = FILE) -> None:
        apply_model(self.store, self.clock, text)

    def add_version(
        self,
        version: str,
        views: Sequence[str] = ("plan", "weather"),
        lineage: Mapping[str, Any] | None = None,
    ) -> None:
        """As if it had been trained; the artifact is a name only."""
        record = VersionRecord(
            MODEL, version, f"artifacts/{version}", version * 8, self.layout.id, tuple(views),
            {"auc": 0.7}, lineage or {"git": "abc"}, self.trained.baseline.to_bytes(),
            START + float(version),
            features=tuple(name for view in views for name in FEATURES[view]),
        )  # fmt: skip
        with self.store.begin() as tx:
            tx.put_layout(self.layout)
            tx.add_version(record)

    def add_keys(self, tenants: Sequence[str] = TENANTS) -> None:
        with self.store.begin() as tx:
            for tenant in tenants:
                digest = hashlib.sha256(tenant.encode()).hexdigest()
                tx.put_key(KeyRecord(KeyEntry(digest, tenant, tenant), "test", self.clock.now()))

    def put(self, champion: str = "1", **given: Any) -> Deployment:
        live = Deployment(MODEL, champion, changed_at=START, **given)
        with self.store.begin() as tx:
            tx.put_deployment(live)
        return live

    @property
    def live(self) -> Deployment:
        with self.store.read() as tx:
            found = tx.deployment(MODEL)
        assert found is not None
        return found

    def act(
        self, name: str, about: About = About.MODEL, *, model: str = MODEL, by: str = "user:ana",
        reason: str = "seen", **given: Any,
    ) -> Decision:  # fmt: skip
        """What a person does; the decision."""
        asked = Asked(model, by, reason, **given)
        return perform(self.store, self.clock, action_named(name, about), asked)

    def decisions(self, action: str = "") -> list[Decision]:
        """Newest first."""
        with self.store.read() as tx:
            found = tx.decisions("", 1_000)
        return [d for d in found if d.action == action or not action]

    def incidents(self) -> list[Incident]:
        with self.store.read() as tx:
            return tx.incidents("", 1_000)

    def timeline(self, incident: Incident) -> list[str]:
        with self.store.read() as tx:
            return [note.what for note in tx.notes(incident.id)]

    def queued(self, kind: str) -> list[Mapping[str, Any]]:
        with self.store.read() as tx:
            return [e.body for e in tx.due_effects(1e18, 10_000) if e.kind == kind]

    def traffic(
        self,
        index: int,
        *,
        rows: int = 60,
        failed: int = 0,
        fell_back: int = 0,
        silent: int = 0,
        refused: Mapping[str, int] | None = None,
        arm: str = "champion",
        version: str = "1",
        checkpoint: bool = True,
        seed: int = 1_000,
        ages: Mapping[str, Sequence[float | None]] | None = None,
        **shape: Any,
    ) -> None:
        """What the recorder would have written of window ``index``, half from each tenant;
        the stand-in was asked and ``silent`` for so many rows of each;
        ``ages`` (s) of a tenant's rows on each axis that the model's file asks for, the last one
        of all that follow."""
        sketches: dict[WindowKey, Sketch] = {}
        start = START + WINDOW_S * index
        layout = self.layout if ages is None else self.counted_on
        given = columns(rows, seed + index, **shape)
        groups = np.arange(rows) % len(TENANTS)
        counts = self.layout.count(given, groups, len(TENANTS))
        empty = Sketch.empty(self.layout.id, self.layout.size)
        for i, tenant in enumerate(TENANTS):
            n = int((groups == i).sum())
            bad = failed // 2 if i else failed - failed // 2
            other = fell_back // 2 if i else fell_back - fell_back // 2
            told = {
                "rows": n, "requests": n, "execution_errors": bad, "fell_back": other,
                "compared": silent, "stand_in_silent": silent,
            }  # fmt: skip
            traffic = np.array([told.get(name, 0) for name in TRAFFIC], np.int64)
            key = WindowKey(MODEL, start, version, arm, tenant, "r1")
            mine = counts[i]
            if ages is not None:
                held = [*ages[tenant], *[ages[tenant][-1]] * n][:n]
                beside = Layout(layout.axes[len(self.layout.axes) :])
                mine = np.append(mine, beside.count(dict.fromkeys(beside.names, held)))
            sketches[key] = Sketch(layout.id, mine, traffic, empty.latency)
        for tenant, n in (refused or {}).items():
            traffic = np.array([n if name == "refused" else 0 for name in TRAFFIC], np.int64)
            key = WindowKey(MODEL, start, "", "", tenant, "r1")
            sketches[key] = Sketch(self.layout.id, empty.features, traffic, empty.latency)
        with self.store.begin() as tx:
            tx.put_layout(layout)
            tx.add_sketches(sketches)
            if checkpoint:
                tx.set_checkpoint(Checkpoint("m/w0", 0, start + WINDOW_S))
        self.clock.at = max(self.clock.at, start + WINDOW_S)

    def judge(self) -> bool:
        """Whether a window was closed and is judged now."""
        judged = judge_windows(
            self.store, self.log, self.clock, self.shards, [MODEL], self.cache,
            broken=lambda: self.broken,
        )  # fmt: skip
        return judged > 0

    def carried(self, monitor: str) -> dict[str, Mapping[str, Any]]:
        """What a monitor carries, by subject."""
        with self.store.read() as tx:
            held = tx.monitor_states([MODEL])
        return {s.subject: s.body for s in held if s.monitor == monitor}

    @property
    def judged_until(self) -> float | None:
        with self.store.read() as tx:
            held = tx.progress([MODEL]).get(MODEL)
        return held.until if held else None
