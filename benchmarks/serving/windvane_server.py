"""Windvane's own servers: as users run it, with things changed, and the floors beneath it."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from .crowd import crowd
from .model import MODEL, Model, python_path
from .servers import Kind, Launch, Server, Site
from .shapes import Shape, spread_windvane, windvane

ALL_IN = "Windvane"
ECHO = "floor 1: uvicorn, raw ASGI"
BATCH = "floor 2: and decode, batch, ONNX"
BARE = "Windvane, events, sketches, conformance off"
REGISTERED = "Windvane, 1,000 tenants, 200 models"
CROWDED = "Windvane, of these 50 and 10 asked"
FOLLOWS = {REGISTERED: ALL_IN, CROWDED: ALL_IN}
"""Who is asked at the rate of another, whom it is held against."""

# The crowded one's load goes to this many: each pair has sketches of its own.
_TENANTS_ASKED, _MODELS_ASKED = 50, 10


def all_windvane() -> list[Server]:
    """Those that are held against each other come one after another."""
    return [
        Server(ECHO, Kind.FLOOR, _shape, _floor("echo"), exact=False),
        Server(BATCH, Kind.FLOOR, _shape, _floor("batch")),
        Server(BARE, Kind.VARIANT, _shape, _bare),
        Server(ALL_IN, Kind.WINDVANE, _shape, _all_in, worker=gateway_pid),
        Server(REGISTERED, Kind.VARIANT, _shape, _crowded, worker=gateway_pid),
        Server(CROWDED, Kind.VARIANT, _crowded_shape, _crowded, worker=gateway_pid),
    ]


def windvane_with(
    name: str, settings: Callable[[Site], Mapping[str, Any]], model: Model | None = None
) -> Server:
    """As users run it, with ``settings`` besides, and perhaps with another home."""

    def launch(site: Site) -> Launch:
        copy_home(site, settings(site))
        return _all_in(site)

    return Server(name, Kind.VARIANT, _shape, launch, model=model)


def gateway_pid(site: Site) -> int:
    """The gateway's process, as the supervisor noted it."""
    lines = (copy_home(site) / "pids").read_text().splitlines()
    return next(int(line.split()[1]) for line in reversed(lines) if line.startswith("gateway "))


def copy_home(site: Site, more: Mapping[str, Any] | None = None) -> Path:
    """A copy of the model's home, for this site alone; ``more`` settings than the ports."""
    home = site.folder / "home"
    if not home.exists():
        shutil.copytree(site.model.home, home)
        settings = {"port": site.port, "console_port": site.port + 1, **(more or {})}
        (home / "windvane.yaml").write_text(yaml.safe_dump(settings))
    return home


def _shape(site: Site) -> Shape:
    return windvane(MODEL, site.model.key)


def _all_in(site: Site) -> Launch:
    """`windvane up`: gateway, recorder, steward and console."""
    command = [sys.executable, "-m", "windvane.apps.cli.main", "up", "--home", str(copy_home(site))]
    return Launch(command, site.folder)


def _crowded(site: Site) -> Launch:
    models, keys = crowd(copy_home(site), MODEL)
    asked = {
        "models": models[:: len(models) // _MODELS_ASKED],
        "keys": keys[:: len(keys) // _TENANTS_ASKED],
    }
    (site.folder / "asked.json").write_text(json.dumps(asked))
    return _all_in(site)


def _crowded_shape(site: Site) -> Shape:
    asked = json.loads((site.folder / "asked.json").read_text())
    return spread_windvane(asked["models"], asked["keys"])


def _bare(site: Site) -> Launch:
    environment = {"WINDVANE_HOME": str(copy_home(site)), "PYTHONPATH": python_path()}
    return Launch([sys.executable, "-m", "serving.bare_gateway"], site.folder, environment)


def _floor(which: str) -> Callable[[Site], Launch]:
    def launch(site: Site) -> Launch:
        artifact = str(site.model.graph.parent)
        command = [sys.executable, "-m", "serving.floors", which, str(site.port), artifact]
        return Launch(command, site.folder, {"PYTHONPATH": python_path()})

    return launch
