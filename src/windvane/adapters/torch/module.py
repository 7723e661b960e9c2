"""A saved module as a plugin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class ModulePlugin:
    """A module that takes one matrix in its own precision, NaN where a value is missing."""

    features: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    packages: tuple[str, ...] = ("torch",)

    def __init__(self, torch: Any, module: Any) -> None:
        self._torch = torch
        self._module = module
        held = [*module.parameters(), *module.buffers()]
        kinds = [t.dtype for t in held if t.is_floating_point()]
        self._dtype = kinds[0] if kinds else torch.float32
        self.kind = type(module).__name__
        self.categories: Mapping[str, Sequence[str]] = {}

    def predict(self, rows: Any) -> Any:
        with self._torch.inference_mode():
            found = self._module(self._torch.tensor(np.asarray(rows), dtype=self._dtype))
        if isinstance(found, dict):
            return {name: one.detach().cpu().numpy() for name, one in found.items()}
        if isinstance(found, (tuple, list)):
            if len(found) > 1:
                return {str(i): one.detach().cpu().numpy() for i, one in enumerate(found)}
            found = next(iter(found))
        return found.detach().cpu().numpy()

    def answer(self, frame: Any) -> Any:
        return self.predict(frame.to_numpy(np.float64))

    def convert(self, rows: NDArray[np.float64], probes: int) -> tuple[bytes, NDArray[np.float64]]:
        del rows, probes
        raise ValueError("a saved module is not converted: export it to ONNX where it was made")


def load_module(path: Path, *, exported: bool) -> ModulePlugin:
    """TorchScript, or what torch.export saved (``exported``)."""
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ImportError("PyTorch is not installed here: install `torch` beside it") from error
    torch.set_num_threads(1)
    if exported:
        return ModulePlugin(torch, torch.export.load(path).module())
    module = torch.jit.load(path, map_location="cpu")
    module.eval()
    return ModulePlugin(torch, module)
