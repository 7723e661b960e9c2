"""What an engine answers from: a routing table with its versions' handles."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from windvane.core.execution import BreakerPolicy
from windvane.core.routing import CircuitSpec, KeyEntry, ModelRoute, RoutingTable, TenantLimit
from windvane.core.task import Contract, Task, make_task
from windvane.inference.model_cache import ModelCache, ModelHandle

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One model, ready: its route, its versions' handles and its task.

    ``compiled`` holds what codecs made of the contract, by codec; it is kept as long as the
    contract stays the same.
    """

    route: ModelRoute
    handles: Mapping[str, ModelHandle]
    task: Task
    compiled: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def contract(self) -> Contract:
        return self.route.contract

    def compile(self, name: str, make: Callable[[Contract], T]) -> T:
        """What ``make`` gives for the contract; made once."""
        found = self.compiled.get(name)
        if found is None:
            found = self.compiled[name] = make(self.contract)
        return found


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An immutable routing table in use; replaced whole."""

    seq: int
    models: Mapping[str, ServedModel]
    keys: Mapping[str, KeyEntry]
    limits: tuple[TenantLimit, ...]

    @property
    def handles(self) -> list[ModelHandle]:
        """Champions first, for they answer most."""
        first = [m.handles[m.route.champion] for m in self.models.values()]
        rest = [h for m in self.models.values() for h in m.handles.values()]
        return list(dict.fromkeys([*first, *rest]))


def take_snapshot(table: RoutingTable, cache: ModelCache, held: Snapshot | None) -> Snapshot:
    """The snapshot of ``table``; a version that is in the cache keeps its handle, its circuit
    and what was learnt about its speed, and a contract what was compiled of it."""
    before = {m.contract.id: m for m in held.models.values()} if held else {}
    models: dict[str, ServedModel] = {}
    for name, route in table.models.items():
        same = held.models.get(name) if held else None
        if same is not None and same.route == route:
            models[name] = same
            continue
        kept = before.get(route.contract.id)
        task = kept.task if kept else make_task(route.contract.task)
        handles = {
            entry.version: cache.handle(name, entry, route.contract, task, _policy(route.circuit))
            for entry in route.versions
        }
        models[name] = ServedModel(route, handles, task, kept.compiled if kept else {})
    return Snapshot(table.seq, models, {key.digest: key for key in table.keys}, table.limits)


def _policy(circuit: CircuitSpec) -> BreakerPolicy:
    return BreakerPolicy(
        window=max(20, 4 * circuit.failures),
        failures=circuit.failures,
        pause_s=circuit.pause_s,
        longest_s=max(60.0, 4.0 * circuit.pause_s),
        probes=circuit.probes,
    )
