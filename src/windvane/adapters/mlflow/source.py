"""What an MLflow model folder offers, by the flavours that its MLmodel lists.

The MLmodel is read as data: no loader that it names is imported here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from windvane.core.execution import RuntimeName
from windvane.ports.bounded_yaml import load_yaml
from windvane.ports.regular_file import read_regular_file
from windvane.ports.runtime import CannotLoad
from windvane.ports.source import Source, SourceCandidate

_MLMODEL = "MLmodel"
_PINNED = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([A-Za-z0-9.+!_-]+)(?:\s*;.*)?")
_MOST_LINES = 1_000
_MOST_BYTES = 4 << 20


def read_mlmodel(
    folder: Path, candidate_of: Callable[[Path], SourceCandidate], name: str = ""
) -> Source:
    """Its candidates, native ones first. ``candidate_of`` knows a file by its name and first bytes;
    ``name`` is what the user calls the folder.

    Raises CannotLoad.
    """
    try:
        metadata: Any = _yaml(folder / _MLMODEL)
        flavours = {str(name): _fields(held) for name, held in dict(metadata["flavors"]).items()}
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise CannotLoad(f"{name or folder.name} is no MLflow model folder: {error}") from error
    candidates: list[SourceCandidate] = []
    for flavour, key in (
        ("onnx", "data"),
        ("xgboost", "data"),
        ("lightgbm", "data"),
        ("catboost", "data"),
        ("sklearn", "pickled_model"),
    ):
        if flavour in flavours:
            path = _inside(folder, str(flavours[flavour].get(key, "")))
            candidates.append(_candidate(path, flavour, candidate_of))
    if "python_function" in flavours:
        candidates.append(SourceCandidate(RuntimeName.PYFUNC, folder))
    if not candidates:
        known = "onnx, xgboost, lightgbm, catboost, sklearn and python_function"
        raise CannotLoad(f"none of the flavours {', '.join(flavours)} is among {known}")
    lines = _requirements(folder)
    return Source(
        candidates, _signature(metadata), _packages(lines), name or folder.name, requirements=lines
    )


def _requirements(folder: Path) -> tuple[str, ...]:
    try:
        lines = _text(folder / "requirements.txt").splitlines()
    except (OSError, ValueError):
        lines = _conda(folder)
    return tuple(lines[:_MOST_LINES])


def _packages(lines: Sequence[str]) -> dict[str, str]:
    """Those that its requirements pin, by name."""
    found = (_PINNED.fullmatch(line.strip()) for line in lines)
    return {one[1].lower(): one[2] for one in found if one}


def _conda(folder: Path) -> list[str]:
    try:
        held: Any = _yaml(folder / "conda.yaml")
        parts = [part for part in held["dependencies"] if isinstance(part, Mapping)]
        return [str(line) for part in parts for line in part.get("pip", ())]
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError):
        return []


def _fields(held: Any) -> Mapping[str, Any]:
    """Raises TypeError, ValueError."""
    return dict(held)


def _yaml(path: Path) -> Any:
    """Raises OSError, yaml.YAMLError, ValueError."""
    return load_yaml(_text(path))


def _text(path: Path) -> str:
    """Raises OSError, ValueError."""
    return read_regular_file(path, _MOST_BYTES).decode()


def _candidate(
    path: Path, flavour: str, candidate_of: Callable[[Path], SourceCandidate]
) -> SourceCandidate:
    """A file of a kind that is not known keeps its flavour back, but not the generic one."""
    try:
        return candidate_of(path)
    except CannotLoad as error:
        return SourceCandidate(RuntimeName(flavour), path, error.message)


def _inside(folder: Path, name: str) -> Path:
    """``name`` below the folder, and nowhere else."""
    path = (folder / name).resolve()
    if not name or not path.is_relative_to(folder.resolve()):
        raise CannotLoad(f"the MLmodel names {name!r}, which does not lie in its folder")
    if path.is_dir():  # the onnx flavour may keep its weights beside the graph
        found = sorted(path.glob("*.onnx"))
        return found[0] if found else path
    return path


def _signature(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    try:
        columns = json.loads(metadata["signature"]["inputs"])
        names = tuple(str(column["name"]) for column in columns)
    except (KeyError, TypeError, ValueError):
        return ()
    return names
