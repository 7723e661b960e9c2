"""The command line's adapters."""

from __future__ import annotations

import importlib.util
import logging
import os
from pathlib import Path

from windvane.adapters import logs
from windvane.adapters.clock import open_clock
from windvane.adapters.delta import DeltaEventLog, DeltaLogCopies
from windvane.adapters.files import FileArtifacts, FileCertificate, FileRoutingFeed
from windvane.adapters.mlflow.moving import move_registry
from windvane.adapters.pip import PipEnvironments
from windvane.adapters.shared_memory import shared_fd
from windvane.adapters.spool import FileSpoolCopies
from windvane.adapters.sql import SqlControlCopies, SqlControlStore
from windvane.adapters.sqlite import SqliteCopies
from windvane.adapters.tar import TarArchives
from windvane.adapters.terminal import Column, Output, ends_quietly, report_error
from windvane.apps.cli.child import Inherited, listen
from windvane.apps.cli.home import check_home, close_home, find_home
from windvane.apps.cli.running import CannotStart
from windvane.core.execution import RUNTIMES, RuntimeName
from windvane.ports.clock import Clock
from windvane.ports.control_store import StoreUnavailable
from windvane.ports.environments import EnvironmentStore
from windvane.ports.event_log import EventLog
from windvane.ports.passwords import PasswordHasher
from windvane.ports.routing_feed import RoutingFeed
from windvane.usecases.back_up_home import BackupSources
from windvane.usecases.read_settings import MissingExtra, Settings, find_settings
from windvane.usecases.restore_home import OpenedStore, RestoreTargets, check_unfinished

__all__ = ["Column", "Output", "ends_quietly", "report_error"]


def settings(home: Path | None) -> Settings:
    """Of ``home``, else of $WINDVANE_HOME, else of the nearest home here or above."""
    return find_settings(os.environ, home or find_home(os.environ, Path.cwd(), os.getuid()))


def missing_package(runtime: RuntimeName) -> str:
    """What to install so that this machine can serve by ``runtime``; "" if it can."""
    kind = RUNTIMES[runtime]
    there = not kind.module or importlib.util.find_spec(kind.module) is not None
    return "" if there else kind.package


def start_logging(config: Settings) -> None:
    """Of the supervisor, which says what goes wrong only."""
    logs.start_logging("up", config.log_format, config.secrets, level=logging.WARNING)


def store(config: Settings, *, begin: bool = False) -> SqlControlStore:
    """The control store, migrated. Where there is no installation yet, ``begin`` makes one.

    Raises NoHome, and StoreUnavailable where the home was in use but its database file is gone:
    an empty one in its place would forget every version, and no gateway would follow it.
    """
    check_unfinished(config.folder)
    if begin:
        close_home(config.folder)
    else:
        check_home(config)
    file = Path(config.store_url.removeprefix("sqlite:///"))
    embedded = config.store_url.startswith("sqlite:///")
    if embedded and not file.exists() and config.routing_file.exists():
        raise StoreUnavailable(
            f"{file.name} is gone, while {config.routing_file.name} says that it was there",
            hint="`windvane restore BACKUP --home NEW`; to begin anew, take another home",
        )
    opened = SqlControlStore(config.store_url)
    opened.migrate()
    return opened


def check(config: Settings) -> None:
    """Whether what the processes are told to use is there, before they start. Raises
    BadCertificate, OldLogLayout, MissingExtra."""
    FileCertificate.of(config.certificate)
    if "://" not in config.log_root:  # whoever appends asks a store that may be far away
        DeltaEventLog(config.log_root).check_layout()
    if config.grpc_port is not None and importlib.util.find_spec("grpc") is None:
        raise MissingExtra("grpc_port is set, and grpcio is not installed")


def inherited(config: Settings) -> Inherited:
    """What the gateway's workers share. Raises CannotStart where the port is taken."""
    try:
        listener = listen(config.host, config.port)
    except OSError as error:
        where = f"{config.host}:{config.port}"
        raise CannotStart(
            f"cannot listen on {where}: {error.strerror}",
            hint="stop what listens there, or set `port`",
        ) from error
    return Inherited(listener, shared_fd())


def hasher() -> PasswordHasher:
    from windvane.adapters.argon2 import Argon2Hasher  # most commands need none

    return Argon2Hasher()


def clock(config: Settings) -> Clock:
    return open_clock(config.clock)


def environments(config: Settings) -> EnvironmentStore:
    return PipEnvironments(config.environments)


def event_log(config: Settings) -> EventLog:
    return DeltaEventLog(config.log_root, config.log_storage)


def routing_feed(config: Settings) -> RoutingFeed:
    return FileRoutingFeed(config.routing_file)


def backup_sources(config: Settings) -> BackupSources:
    return BackupSources(
        SqlControlCopies(store(config)),
        SqliteCopies(),
        None if "://" in config.log_root else DeltaLogCopies(config.log_root),
        FileSpoolCopies(config.spool_root),
        TarArchives(),
        clock(config),
    )


def restore_targets() -> RestoreTargets:
    def opened(url: str) -> OpenedStore:
        made = SqlControlStore(url)
        return OpenedStore(made, SqlControlCopies(made))

    return RestoreTargets(
        TarArchives(), opened, FileRoutingFeed, FileArtifacts(), move_registry, open_clock("")
    )
