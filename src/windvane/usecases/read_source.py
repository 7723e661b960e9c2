"""Which runtime a bare file is for, by its name and its first bytes."""

from __future__ import annotations

import zipfile
from pathlib import Path

from windvane.core.execution import RuntimeName
from windvane.ports.runtime import CannotLoad
from windvane.ports.source import SourceCandidate

_BY_SUFFIX = {
    ".onnx": RuntimeName.ONNX,
    ".ubj": RuntimeName.XGBOOST,
    ".xgb": RuntimeName.XGBOOST,
    ".json": RuntimeName.XGBOOST,
    ".txt": RuntimeName.LIGHTGBM,
    ".lgb": RuntimeName.LIGHTGBM,
    ".cbm": RuntimeName.CATBOOST,
    ".cb": RuntimeName.CATBOOST,
    ".skops": RuntimeName.SKLEARN,
    ".pkl": RuntimeName.SKLEARN,
    ".pickle": RuntimeName.SKLEARN,
    ".joblib": RuntimeName.SKLEARN,
    ".pt": RuntimeName.TORCHSCRIPT,
    ".pt2": RuntimeName.TORCH_EXPORT,
}


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
