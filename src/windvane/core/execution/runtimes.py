"""What is known of each runtime: the one table that all others ask."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass


class RuntimeName(enum.StrEnum):
    """In the order of preference."""

    ONNX = "onnx"
    XGBOOST = "xgboost"
    LIGHTGBM = "lightgbm"
    OPEN_INFERENCE = "open_inference"
    ELSEWHERE = "elsewhere"
    CATBOOST = "catboost"
    SKLEARN = "sklearn"
    TORCHSCRIPT = "torchscript"
    TORCH_EXPORT = "torch_export"
    PYFUNC = "pyfunc"


class Place(enum.StrEnum):
    """Where a version runs: in the gateway's process, in a sandbox of its own, on another
    server, or nowhere that the gateway reaches."""

    GATEWAY = "gateway"
    SANDBOX = "sandbox"
    SERVER = "server"
    ELSEWHERE = "elsewhere"


@dataclass(frozen=True, slots=True)
class RuntimeKind:
    """``suffixes`` are those of bare files that it takes, ``file`` what such a file is called in
    a version's folder ("" keeps its name). ``runs_code``: loading its files can run code of
    theirs. ``module`` is what has to be installed where it runs ("" for nothing), by ``package``.
    ``takes_table``: rows are handed over as a table with named columns, always; ``may_take_table``:
    where its model has named columns or words. ``vector_columns``: a vector is one column of that
    table. ``category_codes``: a category without a vocabulary goes in as its number, whatever file.
    ``converts``: a graph is made of its model, and taken where it answers alike. ``flavor``: the
    MLflow flavor of such a file, and its parameters beside the file's name. ``no_library``
    says why no Python library of the model's own can be asked ("" if one can).
    ``not_measured`` names other ways to serve such a version that its files do not allow, with
    the reason, for people who look for a faster one.
    """

    place: Place
    suffixes: tuple[str, ...] = ()
    file: str = ""
    runs_code: bool = False
    module: str = ""
    package: str = ""
    takes_table: bool = False
    may_take_table: bool = False
    vector_columns: bool = False
    category_codes: bool = False
    converts: bool = False
    flavor: tuple[str, Mapping[str, str]] | None = None
    no_library: str = ""
    not_measured: tuple[str, str] = (
        "onnx", "no graph was registered; `windvane explain-runtime` says why"
    )  # fmt: skip


_ONE_GRAPH = (
    "the version holds its graph only; register its file with --no-convert and give that version "
    "to --with"
)
_ROUNDED = "it serves its own file: a graph would round its thresholds"

RUNTIMES: Mapping[RuntimeName, RuntimeKind] = {
    RuntimeName.ONNX: RuntimeKind(
        Place.GATEWAY, (".onnx",), "model.onnx", module="onnxruntime", package="windvane[gateway]",
        flavor=("onnx", {}),
        no_library="an ONNX graph has no Python library of its own",
        not_measured=("native", _ONE_GRAPH),
    ),
    RuntimeName.XGBOOST: RuntimeKind(
        Place.GATEWAY, (".ubj", ".xgb", ".json"), "model.ubj", module="xgboost",
        package="windvane[xgboost]", flavor=("xgboost", {"model_format": "ubj"}),
        not_measured=("onnx", _ROUNDED),
    ),
    RuntimeName.LIGHTGBM: RuntimeKind(
        Place.GATEWAY, (".txt", ".lgb"), "model.txt", module="lightgbm",
        package="windvane[lightgbm]", category_codes=True, flavor=("lightgbm", {}),
        not_measured=("onnx", _ROUNDED),
    ),
    RuntimeName.OPEN_INFERENCE: RuntimeKind(
        Place.SERVER, file="remote.json",
        no_library="another server runs it, and was asked as it will be",
    ),
    RuntimeName.ELSEWHERE: RuntimeKind(Place.ELSEWHERE),
    # It has no library but its Python package, which has no place in a gateway's process.
    RuntimeName.CATBOOST: RuntimeKind(
        Place.SANDBOX, (".cbm", ".cb"), "model.cbm", module="catboost",
        package="windvane[catboost]", takes_table=True,
    ),
    RuntimeName.SKLEARN: RuntimeKind(
        Place.SANDBOX, (".skops", ".pkl", ".pickle", ".joblib"), runs_code=True,
        module="sklearn", package="windvane[sklearn]", may_take_table=True, converts=True,
    ),
    RuntimeName.TORCHSCRIPT: RuntimeKind(
        Place.SANDBOX, (".pt",), runs_code=True, module="torch", package="torch"
    ),
    RuntimeName.TORCH_EXPORT: RuntimeKind(
        Place.SANDBOX, (".pt2",), runs_code=True, module="torch", package="torch"
    ),
    RuntimeName.PYFUNC: RuntimeKind(
        Place.SANDBOX, runs_code=True, module="mlflow", package="windvane[control]",
        takes_table=True, vector_columns=True,
    ),
}  # fmt: skip

DATA_ONLY = frozenset(name for name, kind in RUNTIMES.items() if not kind.runs_code)
"""Their files are data to their loaders."""
SANDBOXED = frozenset(name for name, kind in RUNTIMES.items() if kind.place is Place.SANDBOX)
