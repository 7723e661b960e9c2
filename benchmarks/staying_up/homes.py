"""The installation under load: a fast and a slow model, two tenants, one of them limited."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from pyarrow import parquet
from serving.model import MODEL, Model, make_model, model_file, run_windvane
from serving.rows import FEATURES, Rows

from windvane.adapters.clock import open_clock
from windvane.adapters.files import FileRoutingFeed
from windvane.adapters.sql import SqlControlStore
from windvane.ports.clock import Clock
from windvane.ports.control_store import ControlStore, Deployment, ModelRecord
from windvane.usecases.actions.deploy import deploy_version
from windvane.usecases.apply_model import apply_model
from windvane.usecases.issue_key import issue_keys
from windvane.usecases.publish_routing import publish_latest
from windvane.usecases.read_settings import find_settings

from .slow_model import slow_graph

FAST, SLOW = MODEL, f"{MODEL}-slow"
QUIET, NOISY = "quiet", "noisy"
NOISY_RATE = 100  # requests a second that the noisy tenant may send
DEADLINE_MS = 500.0  # of the fast model: the default
SLOW_DEADLINE_MS = 250.0
_EVERY = 5  # every fifth flight is enough for rows that do not repeat while an answer is cached
_SLOW_ROWS = 600  # to register the slow model with: at milliseconds a row


@dataclass(frozen=True, slots=True)
class Home:
    """``folder`` is a Windvane home; ``keys`` an API key for each tenant. ``rows`` are what its
    models are asked."""

    folder: Path
    keys: Mapping[str, str]
    rows: Rows


def thin(rows: Rows) -> Rows:
    return Rows(
        rows.times[::_EVERY], rows.late[::_EVERY], rows.values[::_EVERY], rows.delay[::_EVERY]
    )


def make_home(folder: Path, rows: Rows, on_step: Callable[[str], None]) -> Home:
    """``rows`` train the models."""
    made = make_model(folder, rows, on_step)
    with control(made.home) as (store, clock):
        # A later version of the fast model answers everyone at once.
        apply_model(store, clock, changed(model_file(FAST, rows), rollout={"steps": ["100%"]}))
        slow = changed(
            model_file(SLOW, rows),
            serve={"deadline": f"{SLOW_DEADLINE_MS:.0f}ms", "cache": False},
            train={"min_rows": 500, "auc_floor": 0.5},
        )
        apply_model(store, clock, slow)
        keys = issue_keys(store, clock, [QUIET, NOISY], "bench")
    on_step("register the slow model")
    _register_slow(folder, made)
    with control(made.home) as (store, clock):
        deploy_version(store, clock, SLOW, "1")
        publish_latest(store, FileRoutingFeed(find_settings({}, made.home).routing_file))
    on_step(f"limit {NOISY} to {NOISY_RATE} requests a second")
    run_windvane(made.home, "limit", NOISY, "--rate", f"{NOISY_RATE} per second")
    return Home(made.home, keys, rows)


def changed(text: str, **parts: Any) -> str:
    """A model's file with other top-level parts."""
    return yaml.safe_dump({**yaml.safe_load(text), **parts}, sort_keys=False)


@contextmanager
def control(home: Path) -> Iterator[tuple[ControlStore, Clock]]:
    """The control store of a home, running or not."""
    settings = find_settings({}, home)
    store = SqlControlStore(settings.store_url)
    try:
        yield store, open_clock(settings.clock)
    finally:
        store.close()


def add_version(home: Path, model: str) -> str:
    """The first version under the next number, to be loaded anew like any other."""
    with control(home) as (store, _), store.begin() as tx:
        held = tx.versions(model)
        fresh = str(max(int(version.version) for version in held) + 1)
        tx.add_version(replace(held[0], version=fresh))
    return fresh


def deploy(home: Path, model: str, version: str) -> None:
    """As `windvane deploy`, without a new Python beside the load; the steward publishes it."""
    with control(home) as (store, clock):
        deploy_version(store, clock, model, version)


def add_models(home: Path, model: str, count: int) -> list[str]:
    """Other models of the same features with the same version, uncached, ``count`` in all."""
    names = [f"{model}-{i}" for i in range(count)]
    with control(home) as (store, clock):
        with store.begin() as tx:
            record, version = tx.model(model), tx.versions(model)[0]
            for name in names:
                text = changed(record.text, model=name, serve={"cache": False})
                tx.put_model(ModelRecord(name, text, clock.now()))
                tx.add_version(replace(version, model=name))
            for name in names[:-1]:
                tx.put_deployment(Deployment(name, version.version, changed_at=clock.now()))
        deploy_version(store, clock, names[-1], version.version)
        publish_latest(store, FileRoutingFeed(find_settings({}, home).routing_file))
    return names


def _register_slow(folder: Path, made: Model) -> None:
    graph, table = folder / "slow.onnx", folder / "slow.parquet"
    graph.write_bytes(slow_graph(made.graph.read_bytes()))
    flights = parquet.read_table(folder / "flights.parquet")
    every = max(1, flights.num_rows // _SLOW_ROWS)
    parquet.write_table(flights.take(list(range(0, flights.num_rows, every))), table)
    run_windvane(
        made.home, "register", SLOW, str(graph), "--data", str(table), "--label", "late",
        "--time", "asked_at", "--inputs", ",".join(FEATURES),
    )  # fmt: skip
