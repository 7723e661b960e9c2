"""One archive a backup.

Its first member says which format and release it is of, the last two are the manifest with each
file's SHA-256, and the manifest's own: an archive that is cut off anywhere lacks them. It is
written in a hidden folder beside its place, under a lock that the kernel frees: what a kill left
there is known by that, and the next backup removes it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import io
import os
import shutil
import stat
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import msgspec

from windvane.ports.backups import (
    FORMAT,
    BackupDamaged,
    BackupFailed,
    BackupFile,
    BackupManifest,
    BackupTooNew,
    OnBytes,
    RestoreFailed,
)

_PARTIAL = ".windvane-backup-"
_HEAD, _MANIFEST, _DIGEST, _HOME = "backup.json", "manifest.json", "manifest.sha256", "home/"
_CHUNK = 1 << 20
_MOST_HEAD, _MOST_MANIFEST, _MOST_FILES = 4_096, 1 << 29, 2_000_000
_SLACK = 64 << 20  # headers, and what is written meanwhile
_FILE_OVERHEAD = 2_048


class _Head(msgspec.Struct, frozen=True):
    format: int
    release: str


class TarArchives:
    """The archives port."""

    @contextmanager
    def create(self, file: Path, needed_bytes: int) -> Iterator[_Writer]:
        place = file.parent
        with _failing(BackupFailed, f"cannot write {file}"):
            if file.exists():
                raise BackupFailed(
                    f"{file} is there already", hint="name another file, or a folder"
                )
            place.mkdir(parents=True, exist_ok=True)
            _remove_leftovers(place)
            free = shutil.disk_usage(place).free
            if free < needed_bytes + _SLACK:
                raise BackupFailed(
                    f"the backup takes about {needed_bytes / 1e6:,.0f} MB, and {place} has "
                    f"{free / 1e6:,.0f} MB free"
                )
            folder = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=place))
        lock = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with _failing(BackupFailed, f"cannot write {file}"):
                writer = _Writer(folder, file)
            with contextlib.closing(writer):
                yield writer
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)

    def open(self, file: Path) -> _Reader:
        try:
            found = file.stat()
        except OSError as error:
            raise BackupDamaged(f"{file}: {error.strerror}", hint="name a backup's file") from error
        if not stat.S_ISREG(found.st_mode):
            raise BackupDamaged(f"{file} is no file", hint="name a backup's file")
        return _Reader(file, found.st_size)


class _Writer:
    def __init__(self, folder: Path, file: Path) -> None:
        self.staging = folder / "copies"
        self.staging.mkdir(mode=0o700)
        self._file = file
        self._partial = folder / "archive.tar"
        opened = os.open(self._partial, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        self._raw = os.fdopen(opened, "wb", buffering=_CHUNK)
        self._tar = tarfile.TarFile(fileobj=self._raw, mode="w", format=tarfile.PAX_FORMAT)
        self._begun = False

    def add(self, path: str, file: BinaryIO, size: int, on_bytes: OnBytes) -> BackupFile:
        with _failing(BackupFailed, f"cannot write {self._file}"):
            if not self._begun:
                self._begin()
            source = _Hashed(file, on_bytes)
            try:
                self._tar.addfile(_member(_HOME + path, size), source)
            except OSError as error:
                if error.errno is None:  # the source ended early: tarfile says so in words
                    message = f"{path} became shorter while it was read"
                    raise BackupFailed(message, hint="call `windvane backup` again") from error
                raise
        return BackupFile(path, size, source.digest())

    def finish(self, manifest: BackupManifest) -> None:
        with _failing(BackupFailed, f"cannot write {self._file}"):
            if not self._begun:
                self._begin()
            body = msgspec.json.encode(manifest)
            self._put(_MANIFEST, body)
            self._put(_DIGEST, hashlib.sha256(body).hexdigest().encode())
            self._tar.close()
            self._raw.flush()
            os.fsync(self._raw.fileno())
            self._raw.close()
            if self._file.exists():
                raise BackupFailed(f"{self._file} came to be meanwhile", hint="name another file")
            self._partial.rename(self._file)
            _sync_folder(self._file.parent)

    def close(self) -> None:
        """What was not finished is not forced out: there may be no room for it."""
        with contextlib.suppress(OSError):
            self._raw.close()

    def _begin(self) -> None:
        import windvane

        self._begun = True
        self._put(_HEAD, msgspec.json.encode(_Head(FORMAT, windvane.__version__)))

    def _put(self, name: str, body: bytes) -> None:
        self._tar.addfile(_member(name, len(body)), io.BytesIO(body))


class _Reader:
    def __init__(self, file: Path, size: int) -> None:
        self._file = file
        self.size = size

    def verify(self, on_bytes: OnBytes) -> BackupManifest:
        found: dict[str, BackupFile] = {}
        body = digest = b""
        try:
            with self._reading():
                for name, size, content in self._members():
                    if name == _MANIFEST:
                        body = self._small(content, size, _MOST_MANIFEST)
                    elif name == _DIGEST:
                        digest = self._small(content, size, _MOST_HEAD)
                    else:
                        path = self._path(name)
                        if path in found or len(found) >= _MOST_FILES:
                            raise self._damaged(f"{path} is in it twice, or too many files are")
                        found[path] = BackupFile(path, size, _hash(content, on_bytes))
        except OSError as error:
            raise self._damaged(f"it cannot be read ({error.strerror or error})") from error
        if not digest:
            raise self._damaged("it ends before its manifest, so it was cut off")
        if hashlib.sha256(body).hexdigest().encode() != digest:
            raise self._damaged("its manifest is not the one that was written")
        try:
            manifest = msgspec.json.decode(body, type=BackupManifest)
        except msgspec.MsgspecError as error:
            raise self._damaged(f"its manifest cannot be read ({error})") from error
        for file in manifest.files:
            held = found.pop(file.path, None)
            if held is None:
                raise self._damaged(f"{file.path} is not in it")
            if held != file:
                raise self._damaged(
                    f"{file.path} has {held.size:,} bytes that hash to {held.sha256[:12]}, "
                    f"{file.size:,} bytes and {file.sha256[:12]} were written"
                )
        if found:
            raise self._damaged(f"{next(iter(found))} is not in its manifest")
        return manifest

    def extract(self, manifest: BackupManifest, folder: Path, on_bytes: OnBytes) -> None:
        wanted = {file.path: file for file in manifest.files}
        with _failing(RestoreFailed, f"cannot write {folder}"), self._reading():
            free = shutil.disk_usage(folder).free
            needed = sum(file.size + _FILE_OVERHEAD for file in manifest.files) + _SLACK
            if free < needed:
                raise RestoreFailed(
                    f"the home takes about {needed / 1e6:,.0f} MB, and {folder} has "
                    f"{free / 1e6:,.0f} MB free"
                )
            for name, _, content in self._members():
                if name in (_MANIFEST, _DIGEST):
                    continue
                path = self._path(name)
                hashed = _Hashed(content, on_bytes)
                target = folder / path
                target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                opened = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with open(opened, "wb") as out:
                    shutil.copyfileobj(hashed, out, _CHUNK)
                    out.flush()
                    os.fsync(out.fileno())
                if path not in wanted or hashed.digest() != wanted[path].sha256:
                    raise self._damaged(f"{path} changed since it was verified")

    def _members(self) -> Iterator[tuple[str, int, BinaryIO]]:
        """Every member behind the first, in order. Raises BackupDamaged, BackupTooNew, and what
        `_reading` translates."""
        with tarfile.open(self._file, "r|", bufsize=_CHUNK) as tar:
            first = True
            for member in tar:
                content: Any = tar.extractfile(member) if member.isreg() else None
                if content is None:
                    raise self._damaged(f"{member.name} is no file")
                if first:
                    first = False
                    self._check_head(member.name, member.size, content)
                    continue
                yield member.name, member.size, content
            if first:
                raise self._damaged("it is empty")

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Whatever is wrong with the archive, as one of ours."""
        try:
            yield
        except (tarfile.TarError, EOFError, UnicodeError) as error:
            raise self._damaged(f"it is cut off or changed ({error})") from error

    def _check_head(self, name: str, size: int, content: BinaryIO) -> None:
        if name != _HEAD:
            raise self._damaged("it is no backup of Windvane")
        try:
            head = msgspec.json.decode(self._small(content, size, _MOST_HEAD), type=_Head)
        except msgspec.MsgspecError as error:
            raise self._damaged(f"its head cannot be read ({error})") from error
        if head.format > FORMAT:
            raise BackupTooNew(
                f"{self._file.name} has format {head.format} of release {head.release}; this "
                f"release reads formats up to {FORMAT}"
            )

    def _path(self, name: str) -> str:
        path = name.removeprefix(_HOME)
        parts = PurePosixPath(path).parts
        if not name.startswith(_HOME) or not parts or path.startswith("/") or ".." in parts:
            raise self._damaged(f"{name!r} would lie outside of the home")
        return path

    def _small(self, content: BinaryIO, size: int, most: int) -> bytes:
        if size > most:
            raise self._damaged(f"{size:,} bytes where {most:,} are the most")
        return content.read()

    def _damaged(self, why: str) -> BackupDamaged:
        return BackupDamaged(f"{self._file.name} is no whole backup: {why}")


class _Hashed(io.RawIOBase):
    """Reads, and remembers the hash of what was read."""

    def __init__(self, file: BinaryIO, on_bytes: OnBytes) -> None:
        super().__init__()
        self._inner = file
        self._on_bytes = on_bytes
        self._hash = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        body = self._inner.read(size)
        self._hash.update(body)
        self._on_bytes(len(body))
        return body

    def digest(self) -> str:
        return self._hash.hexdigest()


def _hash(content: BinaryIO, on_bytes: OnBytes) -> str:
    hashed = _Hashed(content, on_bytes)
    while hashed.read(_CHUNK):
        pass
    return hashed.digest()


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    return member


def _remove_leftovers(place: Path) -> None:
    """Of backups whose process is gone."""
    for path in place.glob(f"{_PARTIAL}*"):
        try:
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            if os.fstat(lock).st_uid == os.getuid():
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
        except OSError:
            continue
        finally:
            os.close(lock)


def _sync_folder(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


@contextmanager
def _failing(kind: type[BackupFailed] | type[RestoreFailed], what: str) -> Iterator[None]:
    """Errors of the file system as ours."""
    try:
        yield
    except OSError as error:
        message = error.strerror or str(error)
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        raise kind(
            f"{what}: {message}", hint=None if full else "mend that, and try again"
        ) from error
