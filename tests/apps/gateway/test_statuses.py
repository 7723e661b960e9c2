"""Every rejection has a status, and every status that a transport knows a rejection."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from windvane.apps.gateway import http_app, statuses
from windvane.apps.gateway.protocols.native import NativeProtocol
from windvane.apps.gateway.statuses import STATUSES, of_status
from windvane.inference.errors import Rejection


def every(kind: type[Rejection] = Rejection) -> Iterator[type[Rejection]]:
    for found in kind.__subclasses__():
        yield found
        yield from every(found)


KINDS = sorted({k for k in every() if k.__module__.startswith("windvane.")}, key=lambda k: k.code)


def test_every_class_of_rejection_has_a_status() -> None:
    assert http_app.PROTOCOLS  # all that a gateway imports is there
    assert set(STATUSES) == set(KINDS)
    assert all(400 <= status < 600 for status in STATUSES.values())


def test_every_class_of_rejection_has_a_code_of_its_own() -> None:
    codes = [kind.__dict__["code"] for kind in KINDS]
    assert len(set(codes)) == len(codes)


@pytest.mark.parametrize("status", [400, 408, 413, 414, 431, 500, 503])
def test_what_a_transport_tells_by_a_status_keeps_it(status: int) -> None:
    error = of_status(status, "said")
    assert statuses.status_of(error) == (431 if status == 414 else status)
    (_, content_type), body = NativeProtocol().rejection(error, "id")
    assert content_type == b"application/json"
    assert error.code.encode() in body


def test_a_rejection_that_nobody_named_is_a_500() -> None:
    assert statuses.status_of(Rejection("none")) == 500
