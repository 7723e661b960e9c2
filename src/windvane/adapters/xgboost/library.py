"""XGBoost's C interface.

Its Python package imports pandas and scikit-learn, which the gateway does without, and spends
longer on one row than the trees do. The C interface is public and stable, and takes a matrix
in place, without a DMatrix.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windvane.ports.runtime import CannotLoad, RuntimeFailed

_Text = ctypes.c_char_p
_Longs = ctypes.POINTER(ctypes.c_uint64)
_Floats = ctypes.POINTER(ctypes.c_float)


_PROBABILITIES = 0
_CONTRIBUTIONS = 2


def _config(rounds: int, kind: int, *, strict_shape: bool = False) -> bytes:
    return json.dumps(
        {
            "type": kind, "training": False, "iteration_begin": 0, "iteration_end": rounds,
            "strict_shape": strict_shape, "missing": math.nan, "cache_id": 0,
        }
    ).encode()  # fmt: skip


@cache
def library() -> ctypes.CDLL:
    """The shared library of the installed package; raises CannotLoad if there is none."""
    found = importlib.util.find_spec("xgboost")
    path = Path(found.origin).parent / "lib" / "libxgboost.so" if found and found.origin else None
    if path is None or not path.is_file():
        raise CannotLoad("XGBoost is not installed here", hint="pip install 'windvane[xgboost]'")
    lib = ctypes.CDLL(str(path))
    lib.XGBGetLastError.restype = _Text
    return lib


def _about(x: NDArray[np.float64]) -> bytes:
    """A C-contiguous matrix by NumPy's array interface protocol, version 3."""
    place = f'"data":[{x.ctypes.data},true],"shape":[{x.shape[0]},{x.shape[1]}]'
    return f'{{{place},"typestr":"<f8","version":3}}'.encode()


class Booster:
    """One model. ``predict`` is not for two threads at once. ``rounds``: the trees of how many are
    used, 0 for all. ``threads`` share the rows of one execution."""

    def __init__(self, body: bytes, rounds: int = 0, threads: int = 1) -> None:
        if not body.startswith(b"{"):
            raise CannotLoad(
                "the file is neither XGBoost's UBJSON nor its JSON",
                hint="save it with save_model('model.ubj')",
            )
        lib = self._lib = library()
        self._config = _config(rounds, _PROBABILITIES)
        self._explain = _config(rounds, _CONTRIBUTIONS, strict_shape=True)
        self._threads = threads
        self._handle = ctypes.c_void_p()
        self._call(lib.XGBoosterCreate(None, 0, ctypes.byref(self._handle)))
        try:
            size = ctypes.c_uint64(len(body))
            self._call(lib.XGBoosterLoadModelFromBuffer(self._handle, body, size))
            self._call(lib.XGBoosterSetParam(self._handle, b"nthread", b"%d" % threads))
            width = ctypes.c_uint64()
            self._call(lib.XGBoosterGetNumFeature(self._handle, ctypes.byref(width)))
        except RuntimeFailed as error:
            self.close()
            raise CannotLoad(f"not an XGBoost model: {error.message}") from error
        self.width = int(width.value)
        self._shape, self._dims, self._out = _Longs(), ctypes.c_uint64(), _Floats()
        self._places = tuple(map(ctypes.byref, (self._shape, self._dims, self._out)))

    @property
    def names(self) -> list[str]:
        """The features' names, as trained; empty if the model has none."""
        return self._texts(b"feature_name")

    @property
    def types(self) -> list[str]:
        """The features' types ("float", "int", "i", "q", "c" for a category); empty if the model
        does not say."""
        return self._texts(b"feature_type")

    def _texts(self, field: bytes) -> list[str]:
        count, texts = ctypes.c_uint64(), ctypes.POINTER(_Text)()
        self._call(
            self._lib.XGBoosterGetStrFeatureInfo(
                self._handle, field, ctypes.byref(count), ctypes.byref(texts)
            )
        )
        return [(texts[i] or b"").decode() for i in range(count.value)]

    @property
    def rounds(self) -> int:
        """How many rounds of trees the file has."""
        found = ctypes.c_int()
        self._call(self._lib.XGBoosterBoostedRounds(self._handle, ctypes.byref(found)))
        return found.value

    @property
    def document(self) -> Any:
        """The whole model as JSON has it, whichever of its forms the file was in."""
        length, text = ctypes.c_uint64(), ctypes.POINTER(ctypes.c_char)()
        self._call(
            self._lib.XGBoosterSaveModelToBuffer(
                self._handle, b'{"format": "json"}', ctypes.byref(length), ctypes.byref(text)
            )
        )
        return json.loads(ctypes.string_at(text, length.value))

    @property
    def config(self) -> Any:
        """The parameters that it was trained with, as the library tells them."""
        length, text = ctypes.c_uint64(), _Text()
        self._call(
            self._lib.XGBoosterSaveJsonConfig(
                self._handle, ctypes.byref(length), ctypes.byref(text)
            )
        )
        return json.loads(text.value or b"{}")

    def attribute(self, name: str) -> str:
        """One of its attributes; "" where it has none of that name."""
        text, found = _Text(), ctypes.c_int()
        self._call(
            self._lib.XGBoosterGetAttr(
                self._handle, name.encode(), ctypes.byref(text), ctypes.byref(found)
            )
        )
        return (text.value or b"").decode() if found.value else ""

    def predict(self, x: NDArray[np.float64]) -> NDArray[np.float32]:
        """Outputs (rows,) or (rows, classes) of a C-contiguous matrix, NaN for missing."""
        self._call(
            self._lib.XGBoosterPredictFromDense(
                self._handle, _about(x), self._config, None, *self._places
            )
        )
        shape = tuple(self._shape[i] for i in range(self._dims.value))
        # The library owns what it points to until the next call: copied.
        return np.ctypeslib.as_array(self._out, shape).copy()

    def contributions(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """(rows, groups, width + 1): what each column added to each group's raw score, and last
        what all rows have. On any thread, beside ``predict``: for trees the library allows that,
        and keeps each thread's results apart."""
        matrix = ctypes.c_void_p()
        config = json.dumps({"missing": math.nan, "nthread": self._threads}).encode()
        self._call(self._lib.XGDMatrixCreateFromDense(_about(x), config, ctypes.byref(matrix)))
        shape, dims, out = _Longs(), ctypes.c_uint64(), _Floats()
        try:
            self._call(
                self._lib.XGBoosterPredictFromDMatrix(
                    self._handle, matrix, self._explain,
                    ctypes.byref(shape), ctypes.byref(dims), ctypes.byref(out),
                )
            )  # fmt: skip
            held = tuple(shape[i] for i in range(dims.value))
            return np.ctypeslib.as_array(out, held).astype(np.float64)
        finally:
            self._lib.XGDMatrixFree(matrix)

    def close(self) -> None:
        if self._handle:
            self._lib.XGBoosterFree(self._handle)
            self._handle = ctypes.c_void_p()

    def _call(self, status: int) -> None:
        if status != 0:
            message = (self._lib.XGBGetLastError() or b"").decode(errors="replace")
            lines = [line for line in message.splitlines() if line.strip()]
            raise RuntimeFailed(f"XGBoost: {lines[0][:300] if lines else status}")
