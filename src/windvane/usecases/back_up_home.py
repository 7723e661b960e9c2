"""Take a backup of an installation while it runs.

Nothing is stopped, so the order is what makes the parts fit together. The spool's files are held
first, then the control store, then the log, then the spool's end: the log knows all that the store
has counted, and the spool has all that the log knows and the store has not counted yet. A recorder
that starts on the copy finishes that as after a crash, each event once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from windvane import __version__
from windvane.ports.backups import (
    FORMAT,
    Archives,
    BackupFailed,
    BackupFile,
    BackupManifest,
    BackupWriter,
    ControlCopies,
    DatabaseCopies,
    HeldDatabase,
    HeldSpools,
    LogCopies,
    PinnedTable,
    SpoolCopies,
    SpoolPiece,
)
from windvane.ports.clock import Clock
from windvane.ports.control_store import Tx, VersionRecord
from windvane.usecases.list_home_files import (
    BACKUP_NAME,
    HomeFile,
    HomeFiles,
    folder_files,
    list_home_files,
)
from windvane.usecases.read_settings import Settings

CONTROL, REGISTRY = "control.db", "mlflow.db"
_TRIES = 5
_SQLITE = "sqlite:///"


@dataclass(frozen=True, slots=True)
class BackupSources:
    """What an installation consists of. ``log`` is None where it lies in no folder."""

    control: ControlCopies
    databases: DatabaseCopies
    log: LogCopies | None
    spool: SpoolCopies
    archives: Archives
    clock: Clock


@dataclass(frozen=True, slots=True)
class BackupReport:
    """``spool_bytes`` are those of the spool that is in it; ``problems`` what is wrong with
    something in it, or not in it, a sentence each."""

    file: Path
    bytes: int
    files: int
    problems: Sequence[str]
    models: int
    versions: int
    spool_bytes: int


OnStep = Callable[[str, int, int], None]
"""Hears what is copied, and of how many bytes how many are done."""


def name_backup(target: Path, clock: Clock) -> Path:
    """``target`` where its name ends in `.tar`; else it is a folder, which need not be there yet:
    a file in it, named by the time, in UTC."""
    if target.suffix == ".tar" and not target.is_dir():
        return target
    stamp = _utc(clock.wall())
    return target / f"{BACKUP_NAME}{stamp}.tar"


def back_up_home(
    sources: BackupSources, settings: Settings, file: Path, on_step: OnStep
) -> BackupReport:
    """Write ``file``. Raises BackupFailed, and then nothing is left of it."""
    control_file = _sqlite_file(settings.store_url)
    found = list_home_files(settings, sources.databases.is_database, control_file)
    registry = _registry_file(settings)
    if registry is not None:
        found.databases[:] = [one for one in found.databases if one.path != registry]
        if registry.is_file():
            found.databases.append(HomeFile(REGISTRY, registry, registry.stat().st_size))
    control_bytes = control_file.stat().st_size if control_file else 0
    needed = _bytes(found, control_bytes)
    with sources.archives.create(file, needed) as writer, ExitStack() as held:
        copied = _Progress(on_step, needed)
        state = _hold(sources, found, held)
        total = (
            needed
            + sum(piece.size for piece in state.pieces)
            + sum(one.size for table in state.tables for one in table.files)
        )
        copied.total = total
        made = _write(writer, sources, settings, found, state, copied)
        writer.finish(made)
    return BackupReport(
        file, file.stat().st_size, len(made.files), made.problems, state.models,
        len(state.versions), sum(piece.size for piece in state.pieces),
    )  # fmt: skip


@dataclass(slots=True)
class _State:
    """Everything that changes by the second, held as it was at one moment. ``databases`` ends
    what holds them: until then their own writers' files grow."""

    databases: ExitStack
    control: HeldDatabase
    others: list[tuple[HomeFile, HeldDatabase]]
    tables: Sequence[PinnedTable]
    pieces: Sequence[SpoolPiece]
    missing: Sequence[str]
    models: int
    versions: list[VersionRecord]


def _hold(sources: BackupSources, found: HomeFiles, outer: ExitStack) -> _State:
    """A segment that comes to be and is released between two looks would leave a gap, and is so
    rare that all is simply held again. A gap that stays was there before."""
    before: Sequence[str] = ()
    for attempt in range(_TRIES):
        with ExitStack() as held, ExitStack() as databases:
            spool = held.enter_context(sources.spool.hold())
            # Before the spool's end: an answer that is kept there has its event.
            others = [
                (one, databases.enter_context(sources.databases.hold(one.path)))
                for one in found.databases
                if one.name != REGISTRY
            ]
            control = databases.enter_context(sources.control.hold())
            # What is counted and not yet in the log is in the spool only.
            positions = {mark.spool: mark.logged for mark in control.tx.checkpoints()}
            spool.look_again()
            tables, pieces, missing = _log_and_spool(sources.log, spool, positions)
            # After the store: of what that names, the registry has the records.
            others += [
                (one, databases.enter_context(sources.databases.hold(one.path)))
                for one in found.databases
                if one.name == REGISTRY
            ]
            if missing and missing != before and attempt + 1 < _TRIES:
                before = missing
                continue
            versions = _versions(control.tx)
            models = len(control.tx.models())
            outer.enter_context(held.pop_all())
            kept = outer.enter_context(databases.pop_all())
            return _State(kept, control, others, tables, pieces, missing, models, versions)
    raise AssertionError("the last attempt returns")


def _log_and_spool(
    log: LogCopies | None, spool: HeldSpools, positions: Mapping[str, int]
) -> tuple[Sequence[PinnedTable], Sequence[SpoolPiece], Sequence[str]]:
    tables = log.pin() if log is not None else ()
    spool.look_again()
    pieces, missing = spool.cut(positions)
    return tables, pieces, missing


def log_place(settings: Settings) -> str:
    """For people: without a password that its address may have."""
    place = settings.log_root
    for secret in settings.secrets:
        place = place.replace(secret, "…")
    return place


def _versions(tx: Tx) -> list[VersionRecord]:
    return [version for model in tx.models() for version in tx.versions(model.name)]


def _write(
    writer: BackupWriter,
    sources: BackupSources,
    settings: Settings,
    found: HomeFiles,
    state: _State,
    copied: _Progress,
) -> BackupManifest:
    files: list[BackupFile] = []
    problems = [*found.left_out, *state.missing]

    def add(name: str, path: Path, size: int | None = None) -> None:
        try:
            name.encode()
        except UnicodeEncodeError:  # the name is bytes that neither archive nor manifest can hold
            problems.append(f"{name!r} is left out: its name is not UTF-8")
            return
        copied.name = name
        try:
            with path.open("rb") as source:
                length = path.stat().st_size if size is None else size
                files.append(writer.add(name, source, length, copied.add))
        except FileNotFoundError as error:
            if size is not None:
                message = f"{name} is gone while it was copied"
                raise BackupFailed(message, hint="call `windvane backup` again") from error
            problems.append(f"{name} is left out: it is gone")

    def add_database(name: str, held: HeldDatabase) -> None:
        copied.name = name
        place = writer.staging / name.replace("/", "_")
        held.copy_to(place, copied.add)
        add(name, place)
        place.unlink()

    add_database(CONTROL, state.control)
    for one, held in state.others:
        add_database(one.name, held)
    state.databases.close()
    for piece in state.pieces:
        copied.name = f"spool/{piece.name}"
        files.append(writer.add(f"spool/{piece.name}", piece.file, piece.size, copied.add))
    for table in state.tables:
        for entry in table.files:
            add(f"log/{entry.name}", entry.path, entry.size)
    for one in found.plain:
        add(one.name, one.path)
    artifacts = _artifacts(settings, state.versions)
    for folder, name in artifacts.items():
        if not Path(folder).is_relative_to(settings.artifacts.resolve()):
            for one in folder_files(Path(folder), name):
                add(one.name, one.path)
    problems += _changed_versions(state.versions, artifacts, files)
    inside = sources.log is not None
    return BackupManifest(
        format=FORMAT,
        release=__version__,
        schema=sources.control.revision(),
        store=sources.control.kind,
        made_at=sources.clock.wall(),
        home=str(settings.folder),
        artifacts=artifacts,
        log={table.name: table.version for table in state.tables} if inside else None,
        log_elsewhere="" if inside else log_place(settings),
        registry_inside=any(one.name == REGISTRY for one, _ in state.others),
        # Names in them may be bytes that are not UTF-8.
        problems=[one.encode("utf-8", "backslashreplace").decode() for one in problems],
        files=files,
    )


def _artifacts(settings: Settings, versions: Sequence[VersionRecord]) -> dict[str, str]:
    """Folders of versions by where they lie, and what each is called in the backup."""
    root = settings.artifacts.resolve()
    out: dict[str, str] = {}
    for version in versions:
        folder = Path(version.artifact)
        if not (folder.is_absolute() and (folder / "manifest.json").is_file()):
            continue  # no version's files lie there: what does is not to be copied
        if folder.is_relative_to(root):
            out[version.artifact] = f"artifacts/{folder.relative_to(root).as_posix()}"
        else:
            place = f"artifacts/{version.model}/outside-{version.manifest[:16]}/model"
            out[version.artifact] = place
    return out


def _changed_versions(
    versions: Sequence[VersionRecord], artifacts: Mapping[str, str], files: Sequence[BackupFile]
) -> list[str]:
    """Versions whose files are not those registered. They are taken as they are: a gateway
    refuses them here as there, and one of them is no reason to have no backup of the others."""
    hashes = {file.path: file.sha256 for file in files}
    out: list[str] = []
    for version in versions:
        named = f"{version.model} version {version.version}"
        folder = artifacts.get(version.artifact)
        if folder is None:
            out.append(f"{named}: its files are not where they were registered, and are left out")
            continue
        if hashes.get(f"{folder}/manifest.json") != version.manifest:
            out.append(f"{named}: its manifest is not the one that was registered")
            continue
        body = (Path(version.artifact) / "manifest.json").read_bytes()
        if hashlib.sha256(body).hexdigest() != version.manifest:
            continue  # replaced a moment ago; what was copied is right
        wanted: dict[str, str] = json.loads(body)
        bad = [name for name, digest in wanted.items() if hashes.get(f"{folder}/{name}") != digest]
        if bad:
            out.append(f"{named}: {bad[0]} is not the file that was registered")
    return out


class _Progress:
    def __init__(self, on_step: OnStep, total: int) -> None:
        self.total = total
        self.name = ""
        self._on_step = on_step
        self._done = 0

    def add(self, more: int) -> None:
        self._done += more
        self._on_step(self.name, self._done, max(self.total, self._done))


def _bytes(found: HomeFiles, control_bytes: int) -> int:
    """About what is written: databases twice, once as a copy on its way."""
    databases = control_bytes + sum(one.size for one in found.databases)
    return 2 * databases + sum(one.size for one in found.plain)


def _registry_file(settings: Settings) -> Path | None:
    return _sqlite_file(settings.registry_uri)


def _sqlite_file(url: str) -> Path | None:
    return Path(url.removeprefix(_SQLITE)) if url.startswith(_SQLITE) else None


def _utc(seconds: float) -> str:
    import datetime as dt

    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y%m%dT%H%M%SZ")
