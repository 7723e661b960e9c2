"""The steward's adapters."""

from __future__ import annotations

import os
import secrets
import socket

from windvane.adapters import logs
from windvane.adapters.clock import open_clock
from windvane.adapters.delta import DeltaEventLog
from windvane.adapters.files import FileRoutingFeed
from windvane.adapters.notify import AppriseNotifier
from windvane.adapters.sql import SqlControlStore
from windvane.apps.steward.loop import Steward
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


def steward(given: Settings) -> Steward:
    return Steward(
        f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}",
        SqlControlStore(given.store_url),
        DeltaEventLog(given.log_root, given.log_storage),
        open_clock(given.clock),
        FileRoutingFeed(given.routing_file),
        AppriseNotifier(given.folder / "notifications.jsonl", given.notify),
        LazyMirror(given),
        lease_s=given.lease_s,
        expire_after_s=given.spool_expire_after_s,
    )
