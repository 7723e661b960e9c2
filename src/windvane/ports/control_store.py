"""The control state: what is deployed, what was seen, decided and told.

Everything happens in a transaction. Records are frozen; the store hands out copies.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from windvane.core.authorization import Grant
from windvane.core.errors import WindvaneError
from windvane.core.journal import Decision
from windvane.core.routing import KeyEntry, ModelRoute, RoutingTable, TenantLimit
from windvane.core.sketch import Layout, Sketch
from windvane.core.task import Contract
from windvane.ports.incidents import IncidentHistory
from windvane.ports.judging import Judging
from windvane.ports.leases import Leases
from windvane.ports.quarantine import Quarantine
from windvane.ports.retention import Retention
from windvane.ports.rollouts import Rollouts
from windvane.ports.segments import Segments
from windvane.ports.users import Users


class StoreUnavailable(WindvaneError):
    """The control database cannot be reached or is not initialised. ``public`` is the sentence for
    whoever is not known: without addresses, files and what a driver says."""

    code: ClassVar[str] = "STO-101"
    hint = (
        "`windvane doctor` says what is wrong with the database that `store` names; `windvane up` "
        "migrates it, and makes none in place of one that is gone"
    )

    def __init__(self, message: str, *, hint: str | None = None, public: str = "") -> None:
        super().__init__(message, hint=hint)
        self.public = public or "the control database cannot be used"


class HomeOfEarlierRelease(WindvaneError):
    """The control database was made by a release whose events and versions this one cannot read:
    it knew one kind of model only."""

    code: ClassVar[str] = "STO-104"
    hint = (
        "begin a new home (`windvane up --home NEW`), apply the model files there and register "
        "the versions again from the old home's artifacts folder; its log stays readable there"
    )


class UnknownName(WindvaneError):
    """No such model, version, incident or decision."""

    code: ClassVar[str] = "STO-103"


class RowRejected(WindvaneError):
    """The control database is there, but cannot hold a value: writing it again would not help."""

    code: ClassVar[str] = "STO-105"
    hint = "what held the value is set aside: `windvane quarantine list`"


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """A model's applied file: its text and the time it was applied."""

    name: str
    text: str
    applied_at: float


@dataclass(frozen=True, slots=True)
class VersionRecord:
    """A registered version of a ``task``. ``features`` are those of the contract that it takes,
    ``views`` the sources that they come from; ``baseline`` is the packed history of its training
    data, by the layout ``layout_id``; ``lineage`` says how to make it again. ``calibration`` is
    what its holdout says of each bin of its answers, packed, "" for nothing;
    ``partial_dependence`` what it answers as a feature moves, packed, "" of a version from before
    that was computed."""

    model: str
    version: str
    artifact: str
    manifest: str
    layout_id: str
    views: tuple[str, ...]
    metrics: Mapping[str, float]
    lineage: Mapping[str, Any]
    baseline: bytes
    created_at: float
    features: tuple[str, ...] = ()
    task: str = "binary"
    calibration: str = ""
    partial_dependence: str = ""


@dataclass(frozen=True, slots=True)
class Deployment:
    """A model's live state; the truth that routing tables are made from. While ``off`` it answers
    nobody, for a person turned it off. ``tenant_broken``: sources that are broken for one tenant,
    and ``stand_ins`` the versions that answer its rows for the champion, by tenant. ``failed``:
    versions that were taken off because they failed as they stood in, and when (s). ``paused`` is
    who paused the rollout, "" for nobody."""

    model: str
    champion: str
    previous: str | None = None
    challenger: str | None = None
    share: float = 0.0
    step: int = 0
    rollout: str = ""
    rollout_started: float = 0.0
    stage_started: float = 0.0
    standing_in: str | None = None
    broken_views: tuple[str, ...] = ()
    changed_at: float = 0.0
    rolled_back: tuple[str, ...] = ()
    off: bool = False
    tenant_broken: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    stand_ins: Mapping[str, str] = field(default_factory=dict[str, str])
    failed: Mapping[str, float] = field(default_factory=dict[str, float])
    paused: str = ""


ROLLED_UP_SPANS_S = (3_600.0, 86_400.0)
"""What old windows are summed up to, the shorter span first."""


def rolled_up_to(span_s: float) -> str:
    """Who recorded a sum of that span."""
    return f"@{span_s:.0f}"


@dataclass(frozen=True, slots=True)
class WindowKey:
    """What a sketch is about. ``version`` and ``arm`` are "" for refused requests. ``recorder`` is
    `rolled_up_to` a span for what is the sum of all windows that began in it."""

    model: str
    start: float
    version: str
    arm: str
    tenant: str
    recorder: str

    @property
    def span_s(self) -> float | None:
        """Of which span it is the sum; None for one window."""
        return next((s for s in ROLLED_UP_SPANS_S if self.recorder == rolled_up_to(s)), None)


@dataclass(frozen=True, slots=True)
class Incident:
    """The one thing a person is told about one cause. ``members`` name the monitors' findings that
    still sound in it, ``sources`` those that it concerns; ``acknowledged_by`` is who is on it.

    ``first_acknowledged_at`` is when anybody first was. ``monitors`` are all that ever sounded in
    it; ``acted``: something was done against it by itself. ``grade`` is what ``graded_by`` found
    it to be (an `IncidentGrade`), "" where nobody said yet; ``runbook_change`` is what its runbook
    lacks by their word, ``none`` for nothing. ``updates`` were posted, the last at ``updated_at``
    with ``update_impact``; ``update_since`` (wall, s) is when people were last told, first by the
    notification: None where nobody was told yet. ``maintenance`` says in which planned
    maintenance it began, "" for none. ``told_by`` are channels that a notification was
    sent to, whether they took it or not; None where an earlier release opened it, which did not
    keep them.
    """

    id: str
    model: str
    cause: str
    kind: str
    severity: str
    title: str
    opened_at: float
    since: float
    closed_at: float | None
    owner: str
    runbook: str
    evidence: Mapping[str, Any] = field(default_factory=dict[str, Any])
    members: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    acknowledged_by: str = ""
    acknowledged_at: float | None = None
    first_acknowledged_at: float | None = None
    monitors: tuple[str, ...] = ()
    acted: bool = False
    grade: str = ""
    graded_by: str = ""
    graded_at: float | None = None
    runbook_change: str = ""
    updates: int = 0
    updated_at: float | None = None
    update_since: float | None = None
    update_impact: Mapping[str, Any] = field(default_factory=dict[str, Any])
    maintenance: str = ""
    told_by: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Silence:
    """Nobody is told of a model's ``cause``, or ("") of any, from ``begins`` to ``until`` (wall,
    s): somebody, ``by``, wanted that.

    ``planned``: it is maintenance that was declared ahead, of one ``model`` or ("") of all, and of
    one ``tenant`` or ("") of all.
    """

    id: str
    model: str
    cause: str
    until: float
    by: str
    reason: str
    begins: float = 0.0
    tenant: str = ""
    planned: bool = False


@dataclass(frozen=True, slots=True)
class IncidentNote:
    """A line of an incident's timeline; ``decision`` links to the record behind it."""

    at: float
    what: str
    decision: str = ""


@dataclass(frozen=True, slots=True)
class OutboxItem:
    """An effect waiting to be carried out; ``key`` is its idempotency key."""

    key: str
    kind: str
    body: Mapping[str, Any]
    attempts: int


@dataclass(frozen=True, slots=True)
class WindowVerdict:
    """What a monitor said of a window and a subject, for tables and plots; ``detail`` is small
    JSON. ``subject`` is "" where the monitor has one only."""

    model: str
    start: float
    monitor: str
    subject: str
    outcome: str
    code: str
    sentence: str
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a spool was recorded, and up to which business time.

    ``seen_at``: the wall's time at which a recorder last found the spool there, None where nobody
    told. ``lost_bytes``: how much of it was damaged or gone before it could be read. ``dropped``:
    somebody said that it will not come back; its position stays, should it do so nevertheless.
    ``position`` is how far it is counted, ``logged`` how far the log has it, too: never further.
    ``passed``: what of the records between the two the log is not to have, as spans of positions
    (first, end) in order: set aside, lost, or repetitions. ``unlogged_lost``: how many of
    ``lost_bytes`` are counted, and were given up for the log when the spool was gone.
    """

    spool: str
    position: int
    watermark: float
    seen_at: float | None = None
    lost_bytes: int = 0
    dropped: bool = False
    logged: int = 0
    passed: tuple[tuple[int, int], ...] = ()
    unlogged_lost: int = 0


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """An API key as it is managed: what gateways know of it, what it is for and when it ended.
    ``successor`` is the id of the key that it was rotated to, ``grants`` what it may do by the
    control API."""

    entry: KeyEntry
    name: str
    created_at: float
    revoked_at: float | None = None
    successor: str = ""
    grants: tuple[Grant, ...] = ()


@dataclass(frozen=True, slots=True)
class Trust:
    """Somebody vouched for the files behind a manifest's hash."""

    manifest: str
    model: str
    version: str
    by: str
    at: float


@dataclass(frozen=True, slots=True)
class Access:
    """Calls of one key (or token's subject) in one hour: how many, the first and the last.

    ``action`` is predict, outcomes, ``refused CODE`` or ``denied CODE``; times in seconds since
    the epoch.
    """

    tenant: str
    key: str
    model: str
    action: str
    hour: float
    calls: int
    first: float
    last: float


class Models(Protocol):
    def put_model(self, model: ModelRecord) -> None: ...
    def model(self, name: str) -> ModelRecord:
        """Raises UnknownName, with the closest known name."""
        ...

    def models(self) -> list[ModelRecord]: ...
    def model_records(self, names: Sequence[str]) -> list[ModelRecord]:
        """Those of ``names`` that there are."""
        ...

    def applied_at(self) -> Mapping[str, float]:
        """When each model's file was applied, without reading the files."""
        ...

    def put_layout(self, layout: Layout) -> None: ...
    def layout(self, layout_id: str) -> Layout: ...
    def put_contract(self, model: str, contract: Contract) -> None: ...
    def contract(self, contract_id: str) -> Contract:
        """Raises UnknownName."""
        ...

    def add_version(self, version: VersionRecord) -> None: ...
    def version(self, model: str, version: str) -> VersionRecord: ...
    def versions(self, model: str) -> list[VersionRecord]:
        """Oldest first."""
        ...

    def version_summaries(self, model: str) -> list[VersionRecord]:
        """Oldest first, with ``baseline`` empty: it is large, and few need it."""
        ...

    def version_summaries_of(self, models: Sequence[str]) -> Mapping[str, list[VersionRecord]]:
        """The same of several models; a model without a version is left out."""
        ...

    def drop_version(self, model: str, version: str) -> None: ...
    def drop_model(self, model: str) -> None:
        """Everything of the model but its decisions and what waits in the outbox."""
        ...

    def version_layouts(self, model: str) -> Mapping[str, str]:
        """The layout's id of each version, without reading baselines."""
        ...

    def deployment(self, model: str) -> Deployment | None: ...
    def deployments(self, models: Sequence[str] = ()) -> list[Deployment]:
        """Those of ``models``, or all."""
        ...

    def put_deployment(self, deployment: Deployment) -> None: ...
    def drop_deployment(self, model: str) -> None: ...
    def route(self, model: str) -> ModelRoute | None:
        """As it is stored."""
        ...

    def put_routes(self, routes: Sequence[ModelRoute]) -> None:
        """Replace the models' parts of the routing table to come."""
        ...

    def drop_route(self, model: str) -> None: ...
    def versions_of(self, manifest: str) -> list[str]:
        """Models with a version of these very files."""
        ...

    def has_artifact(self, artifact: str) -> bool:
        """Whether a version has its files there."""
        ...

    def add_routes(self, keys: Sequence[KeyEntry], limits: Sequence[TenantLimit]) -> int:
        """Store the table of every model's route under the next ``seq``, which is returned. What
        publishes comes one at a time, so that a table with a larger number knows more."""
        ...

    def add_routing(self, table: RoutingTable, above: int = 0) -> int:
        """Store ``table`` under the next ``seq``, larger than ``above`` too; which is returned."""
        ...

    def routing(self, seq: int | None = None) -> RoutingTable | None:
        """The table with ``seq``, or the latest."""
        ...

    def routing_seq(self) -> int | None:
        """The number of the latest table, without reading it; None where there is none."""
        ...


class Tenants(Protocol):
    """Keys, limits, trust, and the record of who called what."""

    def put_key(self, key: KeyRecord) -> None: ...
    def key_records(self) -> list[KeyRecord]:
        """Every key that ever was, oldest first."""
        ...

    def find_key(self, digest: str) -> KeyRecord | None:
        """The key with this SHA-256, whether it is good or not."""
        ...

    def put_limit(self, limit: TenantLimit) -> None:
        """Replace the line of this tenant and model; one without bounds removes it."""
        ...

    def limits(self) -> list[TenantLimit]: ...
    def put_trust(self, trust: Trust) -> None: ...
    def drop_trust(self, manifest: str) -> None: ...
    def trusted(self) -> list[Trust]: ...
    def add_access(self, seen: Sequence[Access]) -> None:
        """Add each line's calls to what its tenant, key, model, action and hour hold."""
        ...

    def access(self, tenant: str, since: float, limit: int) -> list[Access]:
        """Newest first; ``tenant`` "" for all."""
        ...


class Windows(Protocol):
    def checkpoints(self) -> list[Checkpoint]: ...
    def set_checkpoint(self, checkpoint: Checkpoint) -> None: ...
    def add_sketches(self, sketches: Mapping[WindowKey, Sketch]) -> None:
        """Merge each sketch into what its key holds."""
        ...

    def sketches(self, model: str, start: float, end: float) -> list[tuple[WindowKey, Sketch]]: ...
    def sketches_of(
        self, models: Sequence[str], start: float, end: float
    ) -> list[tuple[WindowKey, Sketch]]:
        """Those of several models, ordered by model."""
        ...

    def sketches_since(self, since: Mapping[str, float]) -> Iterator[tuple[WindowKey, Sketch]]:
        """Those of each model at or after its time, in no order. They are read as they are taken,
        within the transaction: all at once can be many."""
        ...

    def add_verdicts(self, verdicts: Sequence[WindowVerdict]) -> None: ...
    def verdicts(
        self,
        model: str,
        monitor: str,
        since: float,
        limit: int,
        until: float = math.inf,
        *,
        subject: str | None = None,
    ) -> list[WindowVerdict]:
        """Newest first, of windows that start in [since, until); ``monitor`` "" and ``subject``
        None for all."""
        ...

    def newest_verdicts(
        self, models: Sequence[str], monitors: Sequence[str], limit: int
    ) -> list[WindowVerdict]:
        """The ``limit`` newest of each of the monitors on each model, newest first."""
        ...

    def verdict_heads(self, models: Sequence[str], limit: int) -> list[WindowVerdict]:
        """The ``limit`` newest of each model without their details; of one window those on the
        model itself first."""
        ...


class Decisions(Protocol):
    def decide(self, decision: Decision) -> bool:
        """Record and count the decision and queue its effects; False if it was taken before."""
        ...

    def decision(self, decision_id: str) -> Decision: ...
    def decisions(self, model: str, limit: int) -> list[Decision]:
        """Newest first; ``model`` "" for all."""
        ...

    def due_effects(self, wall: float, limit: int) -> list[OutboxItem]: ...
    def claim_effects(
        self, kinds: Sequence[str], wall: float, limit: int, for_s: float
    ) -> list[OutboxItem]:
        """Due effects of these kinds, oldest first; nobody else gets them for ``for_s``
        seconds."""
        ...

    def effect_done(self, key: str, wall: float) -> None: ...
    def effect_failed(self, key: str, error: str, retry_at: float) -> None: ...
    def postpone_effect(self, key: str, body: Mapping[str, Any], due: float) -> None:
        """It is no failure that it waits, and those before are forgotten; ``body`` takes the place
        of what it had."""
        ...

    def put_silence(self, silence: Silence) -> None: ...
    def drop_silence(self, silence_id: str) -> None: ...
    def silences(self, wall: float, model: str = "") -> list[Silence]:
        """Those that last at ``wall`` or are to come, the one that ends last first; ``model`` ""
        for all, else those of it and those that are of all models."""
        ...

    def prune_silences(self, wall: float) -> None:
        """Forget those that have ended."""
        ...

    def put_incident(self, incident: Incident) -> None: ...
    def open_incident(self, model: str, cause: str) -> Incident | None: ...
    def count_incidents(self, model: str, cause: str) -> int:
        """Of one cause, open or closed."""
        ...

    def open_incidents(self, model: str = "") -> list[Incident]:
        """Oldest first; ``model`` "" for all."""
        ...

    def incident(self, incident_id: str) -> Incident: ...
    def incidents(self, model: str, limit: int) -> list[Incident]:
        """Newest first; ``model`` "" for all."""
        ...

    def add_note(self, incident_id: str, note: IncidentNote) -> None: ...
    def notes(self, incident_id: str) -> list[IncidentNote]: ...


class Tx(
    Models, Tenants, Users, Windows, Segments, Judging, Retention, Quarantine, Decisions,
    IncidentHistory, Leases, Rollouts, Protocol,
):  # fmt: skip
    """All of it, inside one transaction."""


class ControlStore(Protocol):
    def begin(self, models: Sequence[str] | None = None) -> AbstractContextManager[Tx]:
        """A transaction: commits at the end of the block, rolls back on any error.

        What it reads of ``models`` (of anything, for None) stays true until it ends; nobody else
        writes to them meanwhile. With no model at all it waits for nobody who names one.
        """
        ...

    def read(self) -> AbstractContextManager[Tx]:
        """A snapshot to read from: never waits for a writer, and cannot write."""
        ...

    def sync(self) -> None:
        """What is committed by now survives a power cut; without it, what was committed last may
        not. Raises StoreUnavailable."""
        ...

    def migrate(self) -> None:
        """Bring the schema to this release; safe to race."""
        ...

    def close(self) -> None: ...
