"""A version's folder: the graph, how rows become inputs, and a manifest of both."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import msgspec

from windvane.ports.runtime import ManifestMismatch

GRAPH = "model.onnx"
INPUTS = "inputs.json"
MANIFEST = "manifest.json"


class InputSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One column of the graph's input matrix.

    A category becomes its place in ``vocabulary``; another value becomes missing, or
    refuses the row where ``unknown`` is "error".
    """

    feature: str
    vocabulary: list[str] | None = None
    unknown: str = "null"


def write_manifest(folder: Path) -> str:
    """Hash every file of ``folder`` into its manifest; the manifest's own hash."""
    files = {name: _digest(folder / name) for name in _files(folder)}
    body = json.dumps(files, sort_keys=True, separators=(",", ":")).encode()
    (folder / MANIFEST).write_bytes(body)
    return hashlib.sha256(body).hexdigest()


def check_manifest(folder: Path, manifest: str) -> None:
    """Raise ManifestMismatch unless every file is the one that was registered."""
    try:
        body = (folder / MANIFEST).read_bytes()
    except OSError as error:
        raise ManifestMismatch(f"{folder.name}: no manifest ({error.strerror})") from error
    found = hashlib.sha256(body).hexdigest()
    if found != manifest:
        sides = f"manifest hashes to {found[:12]}, {manifest[:12]} was registered"
        raise ManifestMismatch(f"{folder.name}: {sides}")
    pinned = json.loads(body)
    for name in _files(folder):
        if name not in pinned:
            raise ManifestMismatch(f"{folder.name}: {name} is not in the manifest")
    for name, digest in pinned.items():
        path = folder / name
        got = _digest(path) if path.is_file() else "nothing"
        if got != digest:
            raise ManifestMismatch(f"{name} hashes to {got[:12]}, {digest[:12]} was registered")


def _files(folder: Path) -> list[str]:
    """Every file below the folder but the manifest, as relative names."""
    found = (p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    return sorted(name for name in found if name != MANIFEST)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
