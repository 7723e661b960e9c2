"""Make a home of a backup: the same answers, keys and history, at another place."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from windvane.core.journal import Decision, Effect
from windvane.core.routing import RoutingTable
from windvane.core.verdict import Outcome, Verdict
from windvane.ports.artifacts import Artifacts, ManifestMismatch
from windvane.ports.backups import (
    Archives,
    BackupManifest,
    BackupTooNew,
    ControlCopies,
    HomeNotEmpty,
    NoPlaceForStore,
    RegistryMove,
    RestoreFailed,
    RestoreUnfinished,
)
from windvane.ports.clock import Clock
from windvane.ports.control_store import ControlStore, VersionRecord
from windvane.ports.routing_feed import RoutingFeed
from windvane.usecases.back_up_home import CONTROL, REGISTRY
from windvane.usecases.publish_routing import PUBLISH
from windvane.usecases.read_settings import FILE, read_settings

UNFINISHED = ".restoring"
"""What is in a home only while a restore into it is under way, or was cut off."""
SQLITE = "sqlite"
_ROUTING = "routing.json"
_NOT_OURS = frozenset({"lost+found"})  # of a file system that was just made
# The original may have published more tables since; gateways only go on to larger numbers.
_ABOVE = 1_000_000


@dataclass(frozen=True, slots=True)
class OpenedStore:
    """A control store by both of its ports."""

    store: ControlStore
    copies: ControlCopies


@dataclass(frozen=True, slots=True)
class RestoreTargets:
    """What a home is made with. ``open_store`` takes an address as settings have it."""

    archives: Archives
    open_store: Callable[[str], OpenedStore]
    open_feed: Callable[[Path], RoutingFeed]
    artifacts: Artifacts
    move_registry: RegistryMove
    clock: Clock


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """What the home came to. ``schema`` is the store's now, ``routing`` the number of its table;
    ``problems`` are sentences on what is not as it should be."""

    home: Path
    made_at: float
    release: str
    schema: str
    files: int
    models: int
    versions: int
    routing: int | None
    problems: Sequence[str]


OnStep = Callable[[str, int, int], None]


def check_unfinished(home: Path) -> None:
    """Raises RestoreUnfinished where a restore was cut off."""
    if (home / UNFINISHED).exists():
        raise RestoreUnfinished(f"a restore into {home} was cut off, or is under way")


def restore_home(
    targets: RestoreTargets,
    file: Path,
    home: Path,
    store: str,
    environ: Mapping[str, str],
    on_step: OnStep,
) -> RestoreReport:
    """Restore ``file`` into the empty folder ``home``. ``store``: where the control state goes if
    it lay in PostgreSQL, an address, ``env:NAME`` or ``sqlite``; "" where it lay in a file.

    Raises BackupDamaged, BackupTooNew, HomeNotEmpty, NoPlaceForStore, RestoreFailed,
    HomeOfEarlierRelease; nothing is left in ``home`` then.
    """
    home = home.absolute()
    _check_empty(home)
    reader = targets.archives.open(file)
    manifest = reader.verify(_counting("verify", reader.size, on_step))
    embedded = targets.open_store(f"sqlite:///{home / UNFINISHED / CONTROL}")
    if not embedded.copies.knows(manifest.schema):
        raise BackupTooNew(
            f"the backup of release {manifest.release} has schema {manifest.schema}; this release "
            f"knows those up to {embedded.copies.revision()}"
        )
    _check_store(manifest, store)
    with _staging(home) as staging:
        wanted = sum(one.size for one in manifest.files)
        reader.extract(manifest, staging, _counting("restore", wanted, on_step))
        address = _settings(staging, manifest, home, store, environ)
        with closing(embedded.store):
            embedded.store.migrate()
        opened = targets.open_store(address) if address else embedded
        with closing(opened.store):
            if address:
                opened.store.migrate()
                opened.copies.fill_from(staging / CONTROL)
            versions, models, seq = _put_right(targets, opened.store, manifest, staging, home)
        if address:
            (staging / CONTROL).unlink()
        if manifest.registry_inside:
            targets.move_registry(staging / REGISTRY, manifest.home, str(home))
        problems = list(manifest.problems)
        for named, why in _bad_versions(targets.artifacts, versions, home, staging):
            if not any(known.startswith(named) for known in problems):
                problems.append(f"{named} {why}")
    return RestoreReport(
        home, manifest.made_at, manifest.release, embedded.copies.revision(),
        len(manifest.files), models, len(versions), seq, problems,
    )  # fmt: skip


def _check_empty(home: Path) -> None:
    check_unfinished(home)
    try:
        held = sorted(set(os.listdir(home)) - _NOT_OURS)
    except FileNotFoundError:
        return
    except OSError as error:
        raise HomeNotEmpty(f"{home}: {error.strerror}") from error
    if held:
        raise HomeNotEmpty(f"{home} holds {held[0]!r}, and {len(held) - 1} more")


def _check_store(manifest: BackupManifest, store: str) -> None:
    if manifest.store != SQLITE and not store:
        raise NoPlaceForStore("the control state of this backup lay in PostgreSQL")
    if store not in ("", SQLITE) and not store.startswith(("postgresql:", "postgresql+", "env:")):
        raise NoPlaceForStore("--store is neither `sqlite` nor `postgresql://…` nor `env:NAME`")


@contextmanager
def _staging(home: Path) -> Iterator[Path]:
    """A folder in the home, whose content becomes the home's at the end: until it is gone no
    command takes the home for one."""
    made = not home.exists()
    staging = home / UNFINISHED
    try:
        staging.mkdir(mode=0o700, parents=True)
        yield staging
        for path in sorted(staging.iterdir()):
            path.rename(home / path.name)
        staging.rmdir()
    except BaseException as error:
        for name in set(os.listdir(home)) - _NOT_OURS if home.is_dir() else ():
            path = home / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if made:
            with suppress(OSError):
                home.rmdir()
        if isinstance(error, OSError):
            message = f"cannot write {home}: {error.strerror or error}"
            raise RestoreFailed(message) from error
        raise


def _put_right(
    targets: RestoreTargets,
    store: ControlStore,
    manifest: BackupManifest,
    staging: Path,
    home: Path,
) -> tuple[list[VersionRecord], int, int | None]:
    """Versions lie in the new home now, and the newest routing table says so under a number above
    all that any gateway may have."""
    folders = {old: str(home / new) for old, new in manifest.artifacts.items()}
    feed = targets.open_feed(staging / _ROUTING)
    published = _number(staging / _ROUTING)
    with store.begin() as tx:
        models = [model.name for model in tx.models()]
        versions = [
            replace(version, artifact=folders.get(version.artifact, version.artifact))
            for name in models
            for version in tx.versions(name)
        ]
        for version in versions:
            tx.add_version(version)
        newest = tx.routing()
        if newest is None:
            return versions, len(models), None
        table = _moved(newest, folders)
        seq = tx.add_routing(table, above=max(newest.seq, published) + _ABOVE)
        made_at = f"{manifest.made_at:.0f}"
        tx.decide(
            Decision(
                id=f"restored/{made_at}/{seq}",
                model="",
                judge="",
                subject="home",
                action="restore",
                at=targets.clock.now(),
                policy={},
                facts={"made_at": manifest.made_at, "release": manifest.release, "routing": seq},
                verdict=Verdict(Outcome.PASS, "BKP-100", "the home was restored from a backup"),
                effects=(Effect(PUBLISH, {"seq": seq}),),
            )
        )
    feed.publish(replace(table, seq=seq))
    return versions, len(models), seq


def _moved(table: RoutingTable, folders: Mapping[str, str]) -> RoutingTable:
    models = {
        name: replace(
            route,
            versions=tuple(
                replace(entry, artifact=folders.get(entry.artifact, entry.artifact))
                for entry in route.versions
            ),
        )
        for name, route in table.models.items()
    }
    return replace(table, models=models)


def _number(file: Path) -> int:
    """Of the routing table in it, 0 for none: of another release no more than that is read."""
    try:
        return int(json.loads(file.read_bytes())["seq"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def _bad_versions(
    artifacts: Artifacts, versions: Sequence[VersionRecord], home: Path, staging: Path
) -> Iterator[tuple[str, str]]:
    for version in versions:
        named, folder = f"{version.model} version {version.version}:", Path(version.artifact)
        if not folder.is_relative_to(home):  # they were gone before the backup was made
            yield named, "its files are not in the backup"
            continue
        try:
            artifacts.open(str(staging / folder.relative_to(home)), version.manifest)
        except ManifestMismatch as error:
            yield named, error.message


def _settings(
    staging: Path, manifest: BackupManifest, home: Path, store: str, environ: Mapping[str, str]
) -> str:
    """Put the settings right; the control store's address where that is no file of the home."""
    file = staging / FILE
    text = file.read_text() if file.is_file() else ""
    wanted: dict[str, str] = {}
    if manifest.log is not None:
        wanted["log"] = ""
    if manifest.registry_inside:
        wanted["registry"] = ""
    wanted["store"] = "" if store == SQLITE else store
    moved = move_settings(text, manifest.home, str(home), wanted)
    if moved != text:
        file.write_text(moved)
        file.chmod(0o600)
    if not wanted["store"]:
        return ""
    return read_settings(f"store: {json.dumps(store)}\n", home, environ).store


def move_settings(text: str, old: str, new: str, wanted: Mapping[str, str]) -> str:
    """Settings for another home: its folder's path in them is the new one, and each of ``wanted``
    is what is said there ("" for its default). Comments stay where that is possible."""
    moved = re.sub(rf"(?<![\w.-]){re.escape(old)}(?=[/\s\"',\]}}]|$)", lambda _: new, text)
    held = _parsed(moved)
    for name, value in wanted.items():
        if held.get(name, "") == value:
            continue
        line = f"{name}: {json.dumps(value)}\n" if value else ""
        block = rf"(?m)^{name}[ \t]*:.*\n?(?:(?:[ \t]+\S|-[ \t]).*\n?)*"
        found = re.search(block, moved)
        if found:
            moved = moved[: found.start()] + line + moved[found.end() :]
        else:
            moved = moved + ("" if moved.endswith("\n") or not moved else "\n") + line
    target = {k: v for k, v in held.items() if k not in wanted}
    target |= {k: v for k, v in wanted.items() if v}
    if _without_empty(_parsed(moved)) != _without_empty(target):
        return yaml.safe_dump(target, sort_keys=False) if target else ""
    return moved


def _parsed(text: str) -> dict[str, Any]:
    try:
        found: Any = yaml.safe_load(text)
    except yaml.YAMLError:
        found = text
    return {} if found is None else found if isinstance(found, dict) else {"": found}


def _without_empty(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value != ""}


def _counting(what: str, total: int, on_step: OnStep) -> Callable[[int], None]:
    done = 0

    def on_bytes(more: int) -> None:
        nonlocal done
        done += more
        on_step(what, done, max(total, done))

    return on_bytes
