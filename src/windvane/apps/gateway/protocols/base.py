"""What a protocol over HTTP is to the gateway."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

from windvane.apps.gateway.answers import Header
from windvane.inference.access import Principal
from windvane.inference.errors import BadBody, Rejection
from windvane.inference.request import Codec, InferenceResponse
from windvane.inference.snapshot import ServedModel

Headers = Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True)
class PredictCall:
    """A path that asks for predictions: of which model, and of which version if it says.
    ``route`` is the path with names in the place of both."""

    model: str
    version: str = ""
    route: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """A path that is read. With a ``model`` it needs a key that may predict or read, and
    ``render`` gets that model; else it needs none. ``when_ready``: 503 as long as this worker
    answers no predictions."""

    render: Callable[[ServedModel | None], bytes]
    model: str = ""
    when_ready: bool = False
    content_type: bytes = b"application/json"


class Hinting:
    """``with Hinting(...)``: a BadBody of what is checked in one way for every format, and so has
    no hint of its own, tells how a body of this format is sent."""

    __slots__ = ("_hint",)

    def __init__(self, hint: str) -> None:
        self._hint = hint

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        if isinstance(error, BadBody) and error.advice == BadBody.hint:
            error.advice = self._hint


class HttpProtocol(Protocol):
    """Stateless."""

    name: str

    def predict_call(self, path: str) -> PredictCall | None:
        """What ``path`` (decoded, without its query) asks this protocol for."""
        ...

    def page(self, path: str) -> Page | None:
        """What is read at ``path``."""
        ...

    def codec(self, call: PredictCall, headers: Headers, principal: Principal | None) -> Codec:
        """For one request: by the content type and what else a head says; with ``principal``
        once it is known. Raises Rejection."""
        ...

    def answer_headers(self, codec: Codec, response: InferenceResponse) -> list[Header]:
        """The content type of an answer, and what else its client needs to read it."""
        ...

    def rejection(self, error: Rejection, request_id: str) -> tuple[Header, bytes]:
        """The content type and body of an error."""
        ...


def split_path(path: str, prefix: str) -> Sequence[str]:
    """The parts of ``path`` behind ``prefix``; nothing where it does not begin so."""
    return path[len(prefix) :].split("/") if path.startswith(prefix) else ()
