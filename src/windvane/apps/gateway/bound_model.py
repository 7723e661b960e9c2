"""A port of its own for one model: what MLflow's and SageMaker's clients take for a server."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from windvane.apps.gateway.answers import Header
from windvane.apps.gateway.http_app import HttpApp
from windvane.apps.gateway.http_head import RequestHead
from windvane.apps.gateway.http_protocol import BodySink, Reply
from windvane.apps.gateway.protocols.mlflow import MlflowProtocol
from windvane.apps.gateway.statuses import NoSuchPath

_PROTOCOL = MlflowProtocol()
_OPEN = frozenset(("/ping", "/health", "/version"))


class BoundModel:
    """Rewrites `/invocations` to the model's own path and brings the key of its tenant, so that
    whoever reaches the port may ask this model, and nothing else."""

    def __init__(self, app: HttpApp, model: str, key: str) -> None:
        self._app = app
        self._path = f"/models/{model}/invocations"
        self._credential = b"Bearer " + key.encode()

    @property
    def draining(self) -> bool:
        return self._app.draining

    @draining.setter
    def draining(self, value: bool) -> None:
        self._app.draining = value

    def on_head(self, head: RequestHead, reply: Reply) -> BodySink | None:
        if head.path == "/invocations":
            headers = {**head.headers, b"authorization": self._credential}
            head = msgspec.structs.replace(head, path=self._path, headers=headers)
        elif head.path not in _OPEN:
            message = f"{head.method[:16]} {head.path[:200]} is not served on this port"
            error = NoSuchPath(message, hint="POST /invocations, GET /ping, /health, /version are")
            request_id = self._app.engine.services.new_id()
            self._app.reject(_PROTOCOL, error, request_id, head.headers, reply)
            return None
        return self._app.on_head(head, reply)

    def on_error(self, status: int, detail: str) -> tuple[Sequence[Header], bytes]:
        return self._app.on_error(status, detail)

    def defer(self, work: Callable[[], None]) -> None:
        self._app.defer(work)
