"""Which model of which server a version is, and what the server says of it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import msgspec

from windvane.core.signature import DATATYPES
from windvane.ports.runtime import CannotLoad

FILE = "remote.json"
DTYPES = {**{name: kind.name for name, kind in DATATYPES.items()}, "BYTES": "string"}
"""NumPy's names of the protocol's element types."""
BINARY = "binary_tensor_data"
_PATH = re.compile(r"^(?P<base>.*)/v2/models/(?P<model>[^/]+)(?:/versions/(?P<version>[^/]+))?/?$")
_HINT = "write it as http://HOST:PORT/v2/models/NAME/versions/VERSION"


@dataclass(frozen=True, slots=True)
class RemoteTensor:
    """``shape`` begins with the rows (-1); other -1 are any size."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    @property
    def width(self) -> int:
        """Numbers a row; 0 for any."""
        width = 1
        for size in self.shape[1:]:
            width *= max(size, 0)
        return width


@dataclass(frozen=True, slots=True)
class RemoteModel:
    """A model as its server described it when it was registered. ``authorization`` says where
    the value of that header lies (``env:NAME``, ``file:PATH``), "" for none. ``max_rows``: so many
    go in one request. ``only_version`` is the one that the server listed, "" where the address
    names one, or it listed none or several."""

    server: str
    model: str
    version: str = ""
    inputs: tuple[RemoteTensor, ...] = ()
    outputs: tuple[RemoteTensor, ...] = ()
    binary: bool = False
    authorization: str = ""
    max_rows: int = 1_000
    only_version: str = ""
    platform: str = field(default="", compare=False)

    @property
    def answers_as(self) -> str:
        """The version that its answers have to name, if they name one; "" for any."""
        return self.version or self.only_version

    @property
    def path(self) -> str:
        version = f"/versions/{quote(self.version, safe='')}" if self.version else ""
        return f"{self.server}/v2/models/{quote(self.model, safe='')}{version}"


def parse_address(given: str) -> RemoteModel:
    """Raises CannotLoad for what is no address of a model."""
    parts = urlsplit(given)
    found = _PATH.match(parts.path)
    if parts.scheme not in ("http", "https") or not parts.hostname or found is None:
        raise CannotLoad(f"{given[:200]} is no address of a model", hint=_HINT)
    if parts.username or parts.password or parts.query or parts.fragment:
        raise CannotLoad(
            f"the address of {parts.hostname} holds more than a model",
            hint="a secret goes by reference: --authorization env:NAME",
        )
    server = f"{parts.scheme}://{parts.netloc}{found['base']}"
    return RemoteModel(server, unquote(found["model"]), unquote(found["version"] or ""))


def decode(body: bytes) -> RemoteModel:
    """Raises CannotLoad."""
    try:
        return msgspec.json.decode(body, type=RemoteModel)
    except msgspec.MsgspecError as error:
        raise CannotLoad(f"{FILE} describes no remote model: {error}") from error


def tensors_of(given: Any, what: str) -> tuple[RemoteTensor, ...]:
    """From a server's metadata. Raises CannotLoad."""
    try:
        found = msgspec.convert(given or [], list[RemoteTensor])
    except msgspec.ValidationError as error:
        raise CannotLoad(f"the server's metadata of {what} cannot be read: {error}") from error
    for tensor in found:
        if tensor.datatype not in DTYPES:
            raise CannotLoad(f"{what} {tensor.name!r} is of the unknown type {tensor.datatype!r}")
    return tuple(found)
