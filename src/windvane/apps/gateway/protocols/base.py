"""What a protocol over HTTP is to the gateway."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from windvane.apps.gateway.answers import Header
from windvane.inference.access import Principal
from windvane.inference.errors import Rejection
from windvane.inference.request import Codec

Headers = Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True)
class PredictCall:
    """A path that asks for predictions: of which model, and of which version if it says."""

    model: str
    version: str = ""


class HttpProtocol(Protocol):
    """Stateless."""

    name: str

    def predict_call(self, path: str) -> PredictCall | None:
        """What ``path`` (decoded, without its query) asks this protocol for."""
        ...

    def codec(self, headers: Headers, principal: Principal | None) -> Codec:
        """By the content type and what else a head says; with ``principal`` once it is known.
        Raises Rejection."""
        ...

    def rejection(self, error: Rejection, request_id: str) -> tuple[Header, bytes]:
        """The content type and body of an error."""
        ...
