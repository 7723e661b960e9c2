"""LightGBM's C interface: public and stable, faster for one row than the Python
package, and without the pandas and scikit-learn that the package imports."""

from __future__ import annotations

import ctypes
import importlib.util
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from windvane.ports.runtime import CannotLoad, RuntimeFailed

_FLOAT64 = 1
_ROW_MAJOR = 1
_NORMAL = 0
_CONTRIBUTIONS = 3
_ALL_ROUNDS = -1
# Its messages go to the standard output otherwise.
_QUIET = ctypes.CFUNCTYPE(None, ctypes.c_char_p)(lambda _: None)


@cache
def library() -> ctypes.CDLL:
    """The shared library of the installed package; raises CannotLoad if there is none."""
    found = importlib.util.find_spec("lightgbm")
    root = Path(found.origin).parent if found and found.origin else None
    path = root / "lib" / "lib_lightgbm.so" if root else None
    if path is None or not path.is_file():
        raise CannotLoad("LightGBM is not installed here", hint="pip install 'windvane[lightgbm]'")
    lib = ctypes.CDLL(str(path))
    lib.LGBM_GetLastError.restype = ctypes.c_char_p
    lib.LGBM_RegisterLogCallback(_QUIET)
    return lib


class Booster:
    """One model. ``rounds``: the trees of how many are used, 0 for all. ``threads`` share the rows
    of one execution."""

    def __init__(self, body: bytes, rounds: int = 0, threads: int = 1) -> None:
        if not body.startswith(b"tree\n") or b"\0" in body:
            raise CannotLoad(
                "the file is not LightGBM's text", hint="save it with save_model('model.txt')"
            )
        lib = self._lib = library()
        self._rounds = rounds or _ALL_ROUNDS
        self._averages = b"\naverage_output\n" in body
        self._parameters = f"num_threads={threads}".encode()
        self._handle = ctypes.c_void_p()
        held, width, classes = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
        try:
            self._call(
                lib.LGBM_BoosterLoadModelFromString(
                    body, ctypes.byref(held), ctypes.byref(self._handle)
                )
            )
            self._call(lib.LGBM_BoosterGetNumFeature(self._handle, ctypes.byref(width)))
            self._call(lib.LGBM_BoosterGetNumClasses(self._handle, ctypes.byref(classes)))
        except RuntimeFailed as error:
            self.close()
            raise CannotLoad(f"not a LightGBM model: {error.message}") from error
        self.width, self.classes = width.value, classes.value
        self._length = ctypes.c_int64()
        self._length_at = ctypes.byref(self._length)

    def predict(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Outputs (rows,) or (rows, classes) of a C-contiguous matrix, NaN for missing."""
        rows, width = x.shape
        found = np.empty(rows * self.classes)
        self._call(
            self._lib.LGBM_BoosterPredictForMat(
                self._handle, ctypes.c_void_p(x.ctypes.data), _FLOAT64,
                ctypes.c_int32(rows), ctypes.c_int32(width), _ROW_MAJOR, _NORMAL, 0, self._rounds,
                self._parameters, self._length_at, ctypes.c_void_p(found.ctypes.data),
            )
        )  # fmt: skip
        return found if self.classes == 1 else found.reshape(rows, self.classes)

    def contributions(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """(rows, classes, width + 1): what each column added to each class's raw score, and last
        what all rows have. Safe beside other calls: the library locks a booster for readers."""
        rows, width = x.shape
        found = np.empty(rows * self.classes * (width + 1))
        length = ctypes.c_int64()
        self._call(
            self._lib.LGBM_BoosterPredictForMat(
                self._handle, ctypes.c_void_p(x.ctypes.data), _FLOAT64,
                ctypes.c_int32(rows), ctypes.c_int32(width), _ROW_MAJOR, _CONTRIBUTIONS, 0,
                self._rounds, self._parameters, ctypes.byref(length),
                ctypes.c_void_p(found.ctypes.data),
            )
        )  # fmt: skip
        if self._averages:  # a random forest's answer is the mean of its trees, these their sum
            found /= self.rounds if self._rounds == _ALL_ROUNDS else min(self._rounds, self.rounds)
        return found.reshape(rows, self.classes, width + 1)

    @property
    def rounds(self) -> int:
        """How many rounds of trees the file has."""
        found = ctypes.c_int()
        self._call(self._lib.LGBM_BoosterGetCurrentIteration(self._handle, ctypes.byref(found)))
        return found.value

    def close(self) -> None:
        if self._handle:
            self._lib.LGBM_BoosterFree(self._handle)
            self._handle = ctypes.c_void_p()

    def _call(self, status: int) -> None:
        if status != 0:
            message = (self._lib.LGBM_GetLastError() or b"").decode(errors="replace")
            raise RuntimeFailed(f"LightGBM: {message[:300] or status}")
