"""The steward's adapters."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable

from windvane.adapters import logs
from windvane.adapters.clock import open_clock
from windvane.adapters.delta import DeltaEventLog
from windvane.adapters.files import FileArtifacts, FilePendingRollbacks, FileRoutingFeed
from windvane.adapters.notify import AppriseNotifier
from windvane.adapters.sql import SqlControlStore
from windvane.apps.steward.lanes import Lanes
from windvane.apps.steward.loop import Steward
from windvane.usecases.deliver_effects import make_lanes
from windvane.usecases.read_settings import Settings, find_settings


class LazyMirror:
    """MLflow takes a second to import and is wanted a few times a week."""

    def __init__(self, given: Settings) -> None:
        self._given = given

    def mirror_alias(self, model: str, alias: str, version: str) -> None:
        from windvane.adapters.mlflow import MlflowRegistry

        registry = MlflowRegistry(self._given.registry_uri, self._given.artifacts)
        registry.mirror_alias(model, alias, version)


def settings() -> Settings:
    return find_settings(os.environ)


def start_logging(given: Settings) -> None:
    logs.start_logging("steward", given.log_format, given.secrets)


def store(given: Settings) -> SqlControlStore:
    return SqlControlStore(given.store_url)


def lanes(given: Settings, held: SqlControlStore) -> Lanes:
    notifier = AppriseNotifier(given.folder / "notifications.jsonl", given.notify)
    clock, feed = open_clock(given.clock), FileRoutingFeed(given.routing_file)
    made = make_lanes(held, clock, feed, notifier, LazyMirror(given), FileArtifacts())
    return Lanes(held, clock, made, given.steward_every_s)


def steward(
    given: Settings,
    held: SqlControlStore,
    wake: Callable[[], None],
    background: Callable[[Callable[[], None]], None],
) -> Steward:
    return Steward(
        f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}",
        held,
        DeltaEventLog(given.log_root, given.log_storage),
        open_clock(given.clock),
        FileRoutingFeed(given.routing_file),
        lease_s=given.lease_s,
        retention=given.retention,
        wake=wake,
        expire_after_s=given.spool_expire_after_s,
        pending=FilePendingRollbacks(given.pending_folder),
        upkeep_log=DeltaEventLog(given.log_root, given.log_storage),
        background=background,
    )
