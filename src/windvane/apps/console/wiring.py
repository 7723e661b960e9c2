"""The console's adapters."""

from __future__ import annotations

import os

from fastapi import FastAPI

from windvane.adapters import logs
from windvane.adapters.clock import open_clock
from windvane.adapters.delta import DeltaEventLog
from windvane.adapters.files import FileCertificate, FileMetricsBoard, FileRoutingFeed
from windvane.adapters.sql import SqlControlStore
from windvane.apps.console.app import make_app
from windvane.apps.console.hosts import AllowedHosts
from windvane.ports.certificate import Certificate
from windvane.usecases.read_settings import Settings, find_settings


def settings() -> Settings:
    return find_settings(os.environ)


def start_logging(given: Settings) -> None:
    logs.start_logging("console", given.log_format, given.secrets)


def certificate(given: Settings) -> Certificate | None:
    """Raises BadCertificate."""
    return FileCertificate.of(given.certificate)


def console(given: Settings) -> FastAPI:
    """The application over the installation's control store."""
    store = SqlControlStore(given.store_url)
    return make_app(
        store,
        open_clock(given.clock),
        feed=FileRoutingFeed(given.routing_file),
        board=FileMetricsBoard(given.metrics_folder),
        log=DeltaEventLog(given.log_root, given.log_storage),
        hosts=AllowedHosts(given.host, given.console_hosts),
        expire_after_s=given.spool_expire_after_s,
        close=store.close,
    )
