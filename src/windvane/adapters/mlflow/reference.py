"""Models by their reference in a tracking server or folder, downloaded once and within bounds.

Nothing of a model is loaded or imported here.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")

from windvane.ports.runtime import CannotLoad

_PATTERN = re.compile(r"(models|runs):/.+")
_MOST_BYTES = 4 << 30
_MOST_FILES = 10_000
_DEEPEST = 16
_DATABASE = "mlflow.db"


def is_reference(source: str) -> bool:
    """Whether ``source`` is models:/NAME/VERSION, models:/NAME@ALIAS or runs:/RUN/PATH."""
    return _PATTERN.fullmatch(source) is not None


def fetch_reference(
    reference: str, tracking: str, folder: Path, *, most_bytes: int = _MOST_BYTES,
    most_files: int = _MOST_FILES,
) -> Path:  # fmt: skip
    """The folder or file that it names, below ``folder``. Raises CannotLoad: it is not there, or
    larger than ``most_bytes`` and ``most_files``."""
    import mlflow
    from mlflow import artifacts

    uri = _address(tracking or mlflow.get_tracking_uri())
    before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    try:
        _measure(reference, most_bytes, most_files)
        found = artifacts.download_artifacts(
            artifact_uri=reference, dst_path=str(folder), tracking_uri=uri
        )
    except CannotLoad:
        raise
    except Exception as error:  # a client of many stores fails in as many ways
        message = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
        raise CannotLoad(
            f"{reference} cannot be fetched from {_plain(uri)}: {message}",
            hint="name the server or folder that has it: --tracking URI",
        ) from error
    finally:
        mlflow.set_tracking_uri(before[0])
        mlflow.set_registry_uri(before[1])
    return Path(found)


def _address(tracking: str) -> str:
    """Of a folder: its database, else its files, which MLflow no longer reads unasked."""
    folder = Path(tracking)
    if not folder.is_dir():
        return tracking
    if (folder / _DATABASE).is_file():
        return f"sqlite:///{(folder / _DATABASE).resolve()}"
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    return folder.resolve().as_uri()


def _measure(reference: str, most_bytes: int, most_files: int) -> None:
    """Raises CannotLoad before anything is downloaded."""
    from mlflow import artifacts

    size, files = 0, 0
    waiting: list[tuple[str, int]] = [(reference, 0)]
    while waiting:
        place, depth = waiting.pop()
        held: Any = artifacts.list_artifacts(artifact_uri=place)
        for one in held:
            name = str(one.path).rstrip("/").rpartition("/")[2]
            if one.is_dir and depth < _DEEPEST:
                waiting.append((f"{place}/{name}", depth + 1))
            size += int(one.file_size or 0)
            files += 1
            if size > most_bytes or files > most_files:
                raise CannotLoad(
                    f"{reference} has more than {most_bytes:,} bytes or {most_files:,} files",
                    hint="download what is needed of it, and register the folder",
                )


def _plain(uri: str) -> str:
    """Without a password."""
    return re.sub(r"//[^/@]*@", "//", uri)
