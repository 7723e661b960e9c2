"""Environments of this machine, and the versions that run with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from windvane.core.errors import did_you_mean
from windvane.core.execution import Environment
from windvane.ports.control_store import ControlStore, UnknownName
from windvane.ports.environments import EnvironmentStore
from windvane.usecases.explain_runtime import environment_of
from windvane.usecases.find_version import find_version
from windvane.usecases.registration_options import NoEnvironment

_ABSENT = "not on this machine"


@dataclass(frozen=True, slots=True)
class EnvironmentUse:
    """``versions``: those that run with it, as MODEL:VERSION. ``environment`` is None where
    nobody knows it by now; its requirements are those of the first of these versions. ``damage``
    says what is wrong ("" for nothing)."""

    id: str
    size: int
    damage: str
    versions: tuple[str, ...]
    environment: Environment | None


@dataclass(frozen=True, slots=True)
class Pruned:
    """Bytes that were freed: by the ids of the ``removed`` environments, and of ``leftovers`` of
    builds that were cut off."""

    removed: Mapping[str, int]
    leftovers: int


def list_environments(store: ControlStore, environments: EnvironmentStore) -> list[EnvironmentUse]:
    """Those that lie here, and those that versions need and that do not."""
    known, users = _used(store)
    here = {one.id: one for one in environments.states()}
    out: list[EnvironmentUse] = []
    for name in sorted(here.keys() | known.keys()):
        state = here.get(name)
        size, damage = (state.size, state.damage) if state else (0, _ABSENT)
        out.append(EnvironmentUse(name, size, damage, users.get(name, ()), known.get(name)))
    return out


def prune_environments(store: ControlStore, environments: EnvironmentStore) -> Pruned:
    """Remove what no version runs with, and what cut-off builds left. What is built, or
    registered with, at this time stays."""
    known, _ = _used(store)
    unused = [one.id for one in environments.states() if one.id not in known]
    freed = {name: environments.remove(name) for name in unused}
    removed = {name: size for name, size in freed.items() if size}
    return Pruned(removed, environments.remove_leftovers())


def rebuild_environment(
    store: ControlStore,
    environments: EnvironmentStore,
    name: str,
    wheels: Path | None,
    on_step: Callable[[str], None],
) -> Environment:
    """Of a version, MODEL:VERSION, or by the first letters of its own id. Raises UnknownName,
    NoEnvironment, EnvironmentNotBuilt."""
    found = _of_version(store, name) if ":" in name else _by_id(store, name)
    environments.rebuild(found, wheels, on_step)
    return found


def _of_version(store: ControlStore, name: str) -> Environment:
    model, _, version = name.partition(":")
    with store.read() as tx:
        record = find_version(tx, model, version or None)
    found = environment_of(record)
    if found is None:
        raise NoEnvironment(
            f"{model}:{record.version} has no packages of its own, it runs with ours",
            hint="`windvane environments` lists those that have",
        )
    return found


def _by_id(store: ControlStore, name: str) -> Environment:
    known, _ = _used(store)
    found = [one for one in known.values() if one.id.startswith(name)]
    if len(found) != 1:
        counted = "no version runs" if not found else f"{len(found)} environments are meant"
        raise UnknownName(
            f"{counted} with the environment {name}",
            hint=did_you_mean(name, [k[:12] for k in known]),
        )
    return found[0]


def _used(store: ControlStore) -> tuple[dict[str, Environment], dict[str, tuple[str, ...]]]:
    """Environments by their ids, and the versions that run with each."""
    known: dict[str, Environment] = {}
    users: dict[str, tuple[str, ...]] = {}
    with store.read() as tx:
        for model in tx.models():
            for record in tx.version_summaries(model.name):
                found = environment_of(record)
                if found is not None:
                    known.setdefault(found.id, found)
                    version = f"{model.name}:{record.version}"
                    users[found.id] = (*users.get(found.id, ()), version)
    return known, users
