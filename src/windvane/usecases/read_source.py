"""Which runtime a bare file is for, by its name and its first bytes, and what it says that it was
made with."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, cast

from windvane.core.execution import RUNTIMES, RuntimeName
from windvane.ports.runtime import CannotLoad
from windvane.ports.source import SourceCandidate

_BY_SUFFIX = {suffix: name for name, kind in RUNTIMES.items() for suffix in kind.suffixes}
_PACKED = {".gz", ".bz2", ".xz"}


def candidate_of(path: Path) -> SourceCandidate:
    """Raises CannotLoad for a file that is not there or of no kind that is known."""
    if not path.is_file():
        raise CannotLoad(f"no file {path}", hint="give a model's file, or an MLflow model folder")
    suffix = path.suffixes[-2] if path.suffix in _PACKED and path.suffixes[1:] else path.suffix
    runtime = _BY_SUFFIX.get(suffix)
    if suffix != path.suffix and runtime is not RuntimeName.SKLEARN:
        runtime = None  # only a pickle's loader unpacks it
    if runtime is None:
        raise CannotLoad(
            f"{path.name} is of no kind that is known",
            hint=f"known: {', '.join(_BY_SUFFIX)}, and packed pickles such as .pkl.gz",
        )
    missing = ""
    if runtime is RuntimeName.TORCHSCRIPT and not _is_torchscript(path):
        missing = "it holds weights but no module: save it with torch.jit or torch.export"
    return SourceCandidate(runtime, path, missing)


def _is_torchscript(path: Path) -> bool:
    """Both kinds of file are archives; only a script has code in it."""
    try:
        with zipfile.ZipFile(path) as held:
            return any("/code/" in name for name in held.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


_SAYS = "_sklearn_version"
_SKLEARN = "scikit-learn"
_VERSION = re.compile(rb"_sklearn_version(?:\x94|q.|r.{4})?(?:\x8c(.)|X(.)\x00\x00\x00)", re.DOTALL)
_BAD_ARCHIVE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError)
_READ_BYTES = 64 << 20
_OPENERS: Mapping[str, Callable[[Path], Any]] = {
    ".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open,
}  # fmt: skip


def packages_of(path: Path) -> dict[str, str]:
    """What an estimator's file says that it was made with, by package; empty where it says
    nothing. Of a pickle bytes are read, and nothing is carried out."""
    try:
        if path.suffix == ".skops":
            with zipfile.ZipFile(path) as held:
                if held.getinfo("schema.json").file_size > _READ_BYTES:
                    return {}
                version = _in_schema(json.loads(held.read("schema.json")))
        elif _BY_SUFFIX.get(path.suffix) is RuntimeName.SKLEARN or path.suffix in _OPENERS:
            with cast("IO[bytes]", _OPENERS.get(path.suffix, _open)(path)) as file:
                version = _in_pickle(file.read(_READ_BYTES))
        else:
            return {}
    except (
        OSError,
        EOFError,
        KeyError,
        ValueError,
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
    ):
        return {}
    return {_SKLEARN: version} if version else {}


def _open(path: Path) -> IO[bytes]:
    return path.open("rb")


def _in_pickle(body: bytes) -> str:
    """The text that follows the name of scikit-learn's version, past what memoises the name."""
    found = _VERSION.search(body)
    if found is None:
        return ""
    size = (found[1] or found[2])[0]
    return body[found.end() : found.end() + size].decode("ascii", errors="replace")


def _in_schema(schema: Any) -> str:
    waiting: list[Any] = [schema]
    while waiting:
        node: Any = waiting.pop()
        if isinstance(node, dict):
            held = cast("dict[str, Any]", node)
            entry = held.get(_SAYS)
            if isinstance(entry, dict):
                text = cast("dict[str, Any]", entry).get("content")
                return str(text).strip('"') if text else ""
            waiting.extend(held.values())
        elif isinstance(node, list):
            waiting.extend(cast("list[Any]", node))
    return ""
