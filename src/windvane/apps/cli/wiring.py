"""The command line's adapters. Each is imported by whoever asks for it: a command that needs one
does not wait for the others."""

from __future__ import annotations

import importlib.util
import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from windvane.adapters.terminal import Column, Output, ends_quietly, report_error

if TYPE_CHECKING:
    from windvane.adapters.sql import SqlControlStore
    from windvane.adapters.sql.inspection import Inspection
    from windvane.apps.cli.changes import Worker
    from windvane.apps.cli.child import Inherited
    from windvane.ports.artifacts import Artifacts
    from windvane.ports.clock import Clock
    from windvane.ports.environments import EnvironmentStore
    from windvane.ports.event_log import EventLog
    from windvane.ports.frames import Frame
    from windvane.ports.metrics import MetricsBoard
    from windvane.ports.passwords import PasswordHasher
    from windvane.ports.pending_rollbacks import PendingRollbacks
    from windvane.ports.routing_feed import RoutingFeed
    from windvane.usecases.actions import ServingChecks
    from windvane.usecases.back_up_home import BackupSources
    from windvane.usecases.read_settings import Settings
    from windvane.usecases.restore_home import RestoreTargets

_FRESH_S = 5.0  # a worker posts every second


class RecorderLag(NamedTuple):
    """How many spools there are, the bytes of them that are not recorded, and the business time
    up to which all of them are (0.0 for none)."""

    spools: int
    waiting: int
    watermark: float


__all__ = ["Column", "Output", "ends_quietly", "report_error"]


def settings(home: Path | None) -> Settings:
    """Of ``home``, else of $WINDVANE_HOME, else of the nearest home here or above."""
    from windvane.apps.cli.home import find_home
    from windvane.usecases.read_settings import find_settings

    return find_settings(os.environ, home or find_home(os.environ, Path.cwd(), os.getuid()))


def start_logging(config: Settings) -> None:
    """Of the supervisor, which says what goes wrong only."""
    import logging

    from windvane.adapters import logs

    logs.start_logging("up", config.log_format, config.secrets, level=logging.WARNING)


def store(config: Settings, *, begin: bool = False) -> SqlControlStore:
    """The control store, migrated. Where there is no installation yet, ``begin`` makes one.

    Raises NoHome, and StoreUnavailable where the home was in use but its database file is gone:
    an empty one in its place would forget every version, and no gateway would follow it.
    """
    from windvane.adapters.sql import SqlControlStore
    from windvane.apps.cli.home import check_home, close_home
    from windvane.ports.control_store import StoreUnavailable
    from windvane.usecases.restore_home import check_unfinished

    check_unfinished(config.folder)
    if begin:
        close_home(config.folder)
    else:
        check_home(config)
    file = Path(config.store_url.removeprefix("sqlite:///"))
    embedded = config.store_url.startswith("sqlite:///")
    left = after_the_database(config)
    if embedded and left and not file.exists():
        raise StoreUnavailable(
            f"{file.name} is gone, while {left} says that it was there",
            hint="`windvane restore BACKUP --home NEW`; to begin anew, take another home",
        )
    opened = SqlControlStore(config.store_url)
    opened.migrate()
    return opened


def after_the_database(config: Settings) -> str:
    """A file of the home that is made only once there is a control database; "" where none is
    there."""
    found = [one for one in (config.folder / "pids", config.routing_file) if one.exists()]
    return found[0].name if found else ""


def check(config: Settings) -> None:
    """Whether what the processes are told to use is there, before they start. Raises
    BadCertificate, OldLogLayout, MissingExtra."""
    from windvane.adapters.files import FileCertificate
    from windvane.usecases.read_settings import MissingExtra

    FileCertificate.of(config.certificate)
    if "://" not in config.log_root:  # whoever appends asks a store that may be far away
        from windvane.adapters.delta import DeltaEventLog

        DeltaEventLog(config.log_root).check_layout()
    if config.grpc_port is not None and importlib.util.find_spec("grpc") is None:
        raise MissingExtra("grpc_port is set, and grpcio is not installed")


def inherited(config: Settings) -> Inherited:
    """What the gateway's workers share. Raises CannotStart where the port is taken."""
    from windvane.adapters.shared_memory import shared_fd
    from windvane.apps.cli.child import Inherited, listen
    from windvane.apps.cli.running import CannotStart

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
    from windvane.adapters.clock import open_clock

    return open_clock(config.clock)


def environments(config: Settings) -> EnvironmentStore:
    from windvane.adapters.pip import PipEnvironments

    return PipEnvironments(config.environments)


def serving_checks(config: Settings) -> ServingChecks:
    """What is asked of this machine before a version goes live."""
    from windvane.adapters.trial import TrialProcess
    from windvane.usecases.actions.serving_checks import checks_here
    from windvane.usecases.read_settings import HOME_VARIABLE

    return checks_here(environments(config), TrialProcess((HOME_VARIABLE, config.folder)))


def event_log(config: Settings) -> EventLog:
    from windvane.adapters.delta import DeltaEventLog

    return DeltaEventLog(config.log_root, config.log_storage)


def metrics_board(config: Settings) -> MetricsBoard:
    from windvane.adapters.files import FileMetricsBoard

    return FileMetricsBoard(config.metrics_folder)


def free_bytes(config: Settings) -> int:
    """On the fullest of the disks that this machine writes to."""
    from windvane.adapters.files import free_bytes

    return free_bytes(config.disks)


def gateway_workers(config: Settings) -> list[Worker]:
    """Those of this home that posted their metrics lately, with the routing table they have."""
    from windvane.apps.cli.changes import Worker

    return [
        Worker(name, int(one.values[0][1][0]))
        for name, series in metrics_board(config).posted(_FRESH_S).items()
        for one in series
        if one.name == "routing_seq" and one.values
    ]


def inspect_database(config: Settings) -> Inspection | None:
    """The control database as it is; None before there is one. Raises StoreUnavailable."""
    from windvane.adapters.sql.inspection import inspect_database as look

    return look(config.store_url)


def recorder_lag(config: Settings) -> RecorderLag:
    """What waits in the spools of this home. Raises StoreUnavailable."""
    from windvane.adapters.spool import FileSpoolReader
    from windvane.adapters.sql import SqlControlStore

    reader = FileSpoolReader(config.spool_root)
    names = reader.spools()
    if not names:
        return RecorderLag(0, 0, 0.0)
    positions = {}
    if inspect_database(config) is not None:
        with closing(SqlControlStore(config.store_url)) as opened, opened.read() as tx:
            positions = {one.spool: one for one in tx.checkpoints()}
    known = [positions[name] for name in names if name in positions]
    waiting = sum(
        reader.waiting(name, positions[name].position if name in positions else 0) for name in names
    )
    return RecorderLag(len(names), waiting, min((one.watermark for one in known), default=0.0))


def routing_feed(config: Settings) -> RoutingFeed:
    from windvane.adapters.files import FileRoutingFeed

    return FileRoutingFeed(config.routing_file)


def pending_rollbacks(config: Settings) -> PendingRollbacks:
    from windvane.adapters.files import FilePendingRollbacks

    return FilePendingRollbacks(config.pending_folder)


def artifacts() -> Artifacts:
    from windvane.adapters.files import FileArtifacts

    return FileArtifacts()


def backup_sources(config: Settings) -> BackupSources:
    from windvane.adapters.delta import DeltaLogCopies
    from windvane.adapters.spool import FileSpoolCopies
    from windvane.adapters.sql import SqlControlCopies
    from windvane.adapters.sqlite import SqliteCopies
    from windvane.adapters.tar import TarArchives
    from windvane.usecases.back_up_home import BackupSources

    return BackupSources(
        SqlControlCopies(store(config)),
        SqliteCopies(),
        None if "://" in config.log_root else DeltaLogCopies(config.log_root),
        FileSpoolCopies(config.spool_root),
        TarArchives(),
        clock(config),
    )


def restore_targets() -> RestoreTargets:
    from windvane.adapters.clock import open_clock
    from windvane.adapters.files import FileArtifacts, FileRoutingFeed
    from windvane.adapters.mlflow.moving import move_registry
    from windvane.adapters.sql import SqlControlCopies, SqlControlStore
    from windvane.adapters.tar import TarArchives
    from windvane.usecases.restore_home import OpenedStore, RestoreTargets

    def opened(url: str) -> OpenedStore:
        made = SqlControlStore(url)
        return OpenedStore(made, SqlControlCopies(made))

    return RestoreTargets(
        TarArchives(), opened, FileRoutingFeed, FileArtifacts(), move_registry, open_clock("")
    )


def frame(path: Path) -> Frame:
    """A table whose types nobody declared. Raises BadFrame."""
    from windvane.adapters.arrow import open_frame
    from windvane.adapters.delta.data_set import delta_data_set

    return open_frame(path, delta_data_set)
