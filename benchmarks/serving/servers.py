"""What is measured: how each server is started, and what it is asked."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .model import Model
from .shapes import Shape


class Kind(enum.StrEnum):
    """``WINDVANE``: as users run it. ``VARIANT``: Windvane with something changed. ``FLOOR``:
    what the language and the HTTP server cost by themselves. ``PEER``: others' servers, as
    their documentation says. ``MIXED``: a peer's server with our runtime."""

    WINDVANE = "windvane"
    VARIANT = "variant"
    FLOOR = "floor"
    PEER = "peer"
    MIXED = "mixed"


@dataclass(frozen=True, slots=True)
class Site:
    """Where one server runs: a folder of its own and a port (those after it are free too)."""

    model: Model
    folder: Path
    port: int


@dataclass(frozen=True, slots=True)
class Launch:
    """A command, the folder that it runs in, and what its environment has besides."""

    command: Sequence[str]
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Server:
    """``launch`` prepares the site's folder and says what to start.

    ``missing`` says why it cannot run, "" if it can. ``exact`` is False for the one floor that
    has no model; all others must give the model's own probabilities. ``worker`` names, of a
    running site, the process whose memory is held to a bound. ``model`` is the one that it has,
    None for the run's.
    """

    name: str
    kind: Kind
    shape: Callable[[Site], Shape]
    launch: Callable[[Site], Launch]
    missing: str = ""
    exact: bool = True
    worker: Callable[[Site], int] | None = None
    model: Model | None = None
