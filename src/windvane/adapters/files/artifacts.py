"""Versions' files in folders, pinned by a manifest of SHA-256 digests."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from windvane.ports.artifacts import ManifestMismatch

MANIFEST = "manifest.json"


class FileArtifact:
    """The artifact port on one folder."""

    def __init__(self, folder: Path, manifest: str, pinned: Mapping[str, str]) -> None:
        self._folder = folder
        self._pinned = pinned
        self.manifest = manifest
        self.names: Sequence[str] = sorted(pinned)

    def read(self, name: str) -> bytes:
        wanted = self._pinned.get(name, "")
        try:
            body = _read_plain(self._folder / name)
        except OSError as error:
            raise ManifestMismatch(f"{name}: {error.strerror}") from error
        got = hashlib.sha256(body).hexdigest()
        if got != wanted:
            raise ManifestMismatch(f"{name} hashes to {got[:12]}, {wanted[:12]} was registered")
        return body

    def copy_to(self, folder: Path) -> None:
        for name in self.names:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.read(name))


class FileArtifacts:
    """The artifacts port: an artifact is named by its folder's path."""

    def open(self, artifact: str, manifest: str) -> FileArtifact:
        folder = Path(artifact)
        try:
            body = (folder / MANIFEST).read_bytes()
        except OSError as error:
            raise ManifestMismatch(f"{folder.name}: no manifest ({error.strerror})") from error
        found = hashlib.sha256(body).hexdigest()
        if found != manifest:
            sides = f"manifest hashes to {found[:12]}, {manifest[:12]} was registered"
            raise ManifestMismatch(f"{folder.name}: {sides}")
        opened = FileArtifact(folder, manifest, json.loads(body))
        for name in set(_files(folder)) - set(opened.names):
            raise ManifestMismatch(f"{folder.name}: {name} is not in the manifest")
        for name in opened.names:
            if name.startswith("/") or ".." in name.split("/"):
                raise ManifestMismatch(f"{folder.name}: {name} lies outside of the folder")
            opened.read(name)
        return opened

    def remove(self, artifact: str, manifest: str) -> None:
        folder = Path(artifact)
        away = folder.with_name(f".{folder.name}-{manifest[:12]}.deleted")
        if away.exists():
            shutil.rmtree(away)
        try:
            body = (folder / MANIFEST).read_bytes()
        except FileNotFoundError:
            return
        found = hashlib.sha256(body).hexdigest()
        if found != manifest:
            sides = f"manifest hashes to {found[:12]}, {manifest[:12]} was to be deleted"
            raise ManifestMismatch(f"{folder.name}: {sides}")
        # What is half deleted must not be taken for the version.
        folder.rename(away)
        shutil.rmtree(away)

    def seal(self, folder: Path) -> str:
        files = {
            name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
            for name in _files(folder)
        }
        body = json.dumps(files, sort_keys=True, separators=(",", ":")).encode()
        (folder / MANIFEST).write_bytes(body)
        return hashlib.sha256(body).hexdigest()


def _read_plain(path: Path) -> bytes:
    """A file's bytes; neither a link is followed nor a pipe waited for. Raises OSError."""
    opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise OSError(errno.EINVAL, "no plain file")
    with open(opened, "rb") as file:
        return file.read()


def _files(folder: Path) -> list[str]:
    """Every file below the folder but the manifest, as relative names."""
    names: list[str] = []
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            raise ManifestMismatch(f"{folder.name}: {name} is a link, and may lead elsewhere")
        if path.is_file() and name != MANIFEST:
            names.append(name)
    return sorted(names)
