"""How many connections a worker may have, by the file descriptors that its process may open."""

from __future__ import annotations

import logging
import os
import resource
from dataclasses import dataclass, replace

from windvane.apps.gateway.grpc_front import FrontBounds
from windvane.apps.gateway.http_protocol import Bounds

_log = logging.getLogger(__name__)
_KEPT_BACK = 256  # for versions, their sandboxes and servers, the spool, and what the gateway reads
_LEAST = 8
_OPEN = "/proc/self/fd"
GRPC_FILES = 3
"""Descriptors of a gRPC connection: its client's, and both ends of the one to grpcio."""


@dataclass(frozen=True, slots=True)
class Share:
    """The ``part`` (0 to 1) of the connections that were meant to be which there is room for:
    they would take ``needed`` descriptors, the process has ``limit`` for everything."""

    limit: int
    needed: int
    part: float

    def of(self, connections: int) -> int:
        return max(_LEAST, int(connections * self.part))

    def http(self, bounds: Bounds) -> Bounds:
        return replace(
            bounds,
            connections=self.of(bounds.connections),
            connections_per_address=self.of(bounds.connections_per_address),
        )

    def grpc(self, bounds: FrontBounds) -> FrontBounds:
        return replace(
            bounds,
            connections=self.of(bounds.connections),
            per_address=self.of(bounds.per_address),
        )


def raise_file_limit() -> int:
    """The soft limit becomes the hard one, where that may be. How many may be open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard:
        return soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError) as error:
        _log.info("the limit of open files stays %d of %d: %s", soft, hard, error)
        return soft
    return hard


def share_files(limit: int, opened: int, needed: int) -> Share:
    """``limit`` files may be open, ``opened`` are so for good, connections would take
    ``needed``."""
    left = max(0, limit - opened - _KEPT_BACK) if limit != resource.RLIM_INFINITY else needed
    return Share(limit, needed, min(1.0, left / needed))


def share_of_this_process(needed: int) -> Share:
    """Raise the limit, count what is open, and say so in the log where that is too few."""
    share = share_files(raise_file_limit(), _count_open(), needed)
    if share.part < 1.0:
        _log.warning(
            "at most %d files may be open (ulimit -n), connections alone could take %d: "
            "every bound on connections is %.0f%% of what it would be",
            share.limit, share.needed, 100.0 * share.part,
        )  # fmt: skip
    return share


def _count_open() -> int:
    try:
        return len(os.listdir(_OPEN))
    except OSError:
        return _KEPT_BACK
