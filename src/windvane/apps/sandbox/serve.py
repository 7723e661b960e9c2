"""Take orders over a socket until it is closed."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from windvane.apps.sandbox import wiring
from windvane.apps.sandbox.frames import make_frame
from windvane.core.execution import ServedBy
from windvane.inference.failures import describe, frames_of, sentence_of
from windvane.ports.message_line import LENGTH_BYTES, framed
from windvane.ports.sandbox import (
    Answer,
    Ask,
    Convert,
    Failed,
    Load,
    ModelPlugin,
    Order,
    Predict,
    Reply,
    Tensor,
)

# The modes and times of copied files: a model's files have none that matter, and the calls that
# set them are not allowed, so shutil.copy would fail without a reason that a user could see.
shutil.copymode = shutil.copystat = lambda *_args, **_kwargs: None
_FILES = "files"
_log = logging.getLogger(__name__)
_orders = msgspec.msgpack.Decoder(Order)


class _Held:
    """What was loaded."""

    def __init__(self, order: Load, protections: list[str]) -> None:
        self.served: ServedBy = order.served
        self.plugin: ModelPlugin = wiring.plugin(order, Path.cwd() / _FILES)
        self.names = order.names or list(self.plugin.features)
        self.kinds = order.kinds or ["number"] * len(self.names)
        self.about = Answer(
            features=list(self.plugin.features),
            classes=list(self.plugin.classes),
            protections=protections,
            kind=self.plugin.kind,
            packages=_installed(self.plugin.packages),
            categories={name: list(held) for name, held in self.plugin.categories.items()},
        )

    def answer(self, order: Order) -> Answer:
        if isinstance(order, Predict):
            return Answer(outputs=tensors(self.plugin.predict(self._rows(order))))
        if isinstance(order, Ask):
            frame = make_frame(order.names, order.kinds, order.columns)
            return Answer(outputs=tensors(self.plugin.answer(frame)))
        if isinstance(order, Convert):
            graph, probes = self.plugin.convert(_matrix(order), order.probes)
            return Answer(graph=graph, probes=np.ascontiguousarray(probes, np.float64).tobytes())
        return self.about

    def _rows(self, order: Predict) -> Any:
        if order.columns:
            return make_frame(self.names, self.kinds, order.columns)
        matrix = _matrix(order)
        return make_frame(self.names, self.kinds, list(matrix.T)) if self.served.table else matrix


def _installed(packages: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in packages:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def tensors(found: Any) -> list[Tensor]:
    """A plugin's outputs as they are sent. Raises ValueError for what are no numbers."""
    named = found if isinstance(found, Mapping) else {"": found}
    out: list[Tensor] = []
    for name, values in named.items():
        array = np.asarray(values)
        if array.dtype.kind not in "fiub":
            raise ValueError(f"the model gives {array.dtype.name} values, numbers are needed")
        plain = np.ascontiguousarray(array, np.float64)
        out.append(Tensor(str(name), plain.shape, plain.tobytes()))
    return out


def serve(fd: int, protections: list[str], missing: list[str]) -> None:
    """Load on the first order, then answer one after the other. Nothing is loaded while a
    required protection is ``missing``."""
    held: _Held | None = None
    while (body := _receive(fd)) is not None:
        reply: Reply
        try:
            order = _orders.decode(body)
            if missing:
                raise PermissionError(
                    f"`sandbox_require` asks for {', '.join(missing)}, which this machine's kernel "
                    f"or container does not give; it gives {', '.join(protections) or 'nothing'}"
                )
            if isinstance(order, Load):
                held = _Held(order, protections)
            if held is None:
                raise RuntimeError("nothing is loaded")
            reply = held.answer(order)
        except MemoryError:
            reply = Failed("out of memory", at_load=held is None)
        except Exception as error:
            _send_error(error, at_load=held is None)
            reply = Failed(sentence_of(error), at_load=held is None)
        answered = msgspec.msgpack.encode(reply)
        _send(fd, framed(answered))


def _send_error(error: Exception, *, at_load: bool) -> None:
    """At a load with its words; later these may hold a feature's value, and its place must do."""
    if at_load:
        _log.error("the version does not load", exc_info=error)
    else:
        _log.error("the version failed: %s\n%s", describe(error), frames_of(error))


def _matrix(order: Predict | Convert) -> Any:
    return np.frombuffer(order.matrix, np.float64).reshape(order.rows, -1)


# The socket is read and written as a file: the calls that are for sockets only are not allowed.


def _send(fd: int, body: bytes) -> None:
    left = memoryview(body)
    while left:
        left = left[os.write(fd, left) :]


def _receive(fd: int) -> bytes | None:
    head = _exactly(fd, LENGTH_BYTES)
    return None if head is None else _exactly(fd, int.from_bytes(head, "big"))


def _exactly(fd: int, size: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < size:
        part = os.read(fd, min(size - len(parts), 1 << 20))
        if not part:
            return None
        parts += part
    return bytes(parts)
