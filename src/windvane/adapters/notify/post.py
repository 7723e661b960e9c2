"""Post JSON to a service: within a deadline, a few times, and never more than an answer's head."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from typing import Any

import httpx

from windvane.adapters.notify.journal import NotificationFailed

_DEADLINE_S = 10.0
_EACH_S = 5.0
_MOST_TRIES = 3
_PAUSE_S = 0.5
_TOO_MANY = 429
_SERVER_ERROR = 500


def post_json(service: str, url: str, body: Any, headers: Mapping[str, str] | None = None) -> None:
    """Raises NotificationFailed, which names the ``service`` and neither its address nor what was
    sent: both may be secret. A redirection is a failure: the message is for nobody else."""
    ends = time.monotonic() + _DEADLINE_S
    why = ""
    for attempt in range(_MOST_TRIES):
        left = ends - time.monotonic()
        if left <= 0.0:
            break
        try:
            status = _post(url, body, headers or {}, min(_EACH_S, left))
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            why = type(error).__name__
        else:
            if httpx.codes.is_success(status):
                return
            why = f"status {status}"
            if status != _TOO_MANY and status < _SERVER_ERROR:
                break  # the same again would be refused again
        if attempt + 1 < _MOST_TRIES:
            pause = _PAUSE_S * 2.0**attempt * random.uniform(0.5, 1.5)
            time.sleep(min(pause, max(0.0, ends - time.monotonic())))
    raise NotificationFailed(f"{service} did not take it: {why or 'no answer in time'}")


def _post(url: str, body: Any, headers: Mapping[str, str], timeout_s: float) -> int:
    with (
        httpx.Client(timeout=timeout_s, follow_redirects=False, trust_env=True) as client,
        client.stream("POST", url, json=body, headers=dict(headers)) as answer,
    ):
        return answer.status_code
