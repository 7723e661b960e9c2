"""Whether a folder holds the files that were installed in it."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

_CHUNK = 1 << 20


class Damaged(Exception):
    """A file is missing, foreign, changed or no plain file."""


def files_of(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Each plain file below ``folder`` by its relative name, in a fixed order. Raises Damaged for
    links and devices, OSError."""
    waiting = [folder]
    while waiting:
        with os.scandir(waiting.pop()) as held:
            entries = sorted(held, key=lambda one: one.name)
        for entry in entries:
            found = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(found.st_mode):
                waiting.append(Path(entry.path))
            elif stat.S_ISREG(found.st_mode):
                yield os.path.relpath(entry.path, folder), found
            else:
                raise Damaged(f"{os.path.relpath(entry.path, folder)} is no plain file")


def size_of(folder: Path) -> int:
    """Bytes of its files; those that go meanwhile count as nothing."""
    found = 0
    for at, _, names in os.walk(folder):
        for name in names:
            try:
                found += Path(at, name).lstat().st_size
            except OSError:
                continue
    return found


def hash_files(folder: Path) -> dict[str, str]:
    """SHA-256 of each file, by its relative name. Raises Damaged, OSError."""
    return {name: hash_file(folder / name) for name, _ in files_of(folder)}


def hash_file(path: Path) -> str:
    """SHA-256 in hex."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while part := file.read(_CHUNK):
            digest.update(part)
    return digest.hexdigest()


def stamp(folder: Path) -> str:
    """Changes with every file that is added, taken away or written, as far as the file system
    tells; reads no contents. Raises Damaged, OSError."""
    digest = hashlib.sha256()
    for name, found in files_of(folder):
        identity = (name, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
        digest.update(repr(identity).encode())
    return digest.hexdigest()


def check_files(folder: Path, recorded: dict[str, str]) -> None:
    """Raises Damaged unless the folder holds exactly the recorded files."""
    for name, _ in files_of(folder):
        if name not in recorded:
            raise Damaged(f"{name} was not installed")
    for name, wanted in recorded.items():
        try:
            found = hash_file(folder / name)
        except FileNotFoundError:
            raise Damaged(f"{name} is missing") from None
        if found != wanted:
            raise Damaged(f"{name} hashes to {found[:12]}, {wanted[:12]} was installed")
