"""A home with many tenants and many models: the same version under other names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from windvane.adapters.clock import open_clock
from windvane.adapters.files import FileRoutingFeed
from windvane.adapters.sql import SqlControlStore
from windvane.ports.control_store import Deployment, ModelRecord
from windvane.usecases.actions.deploy import deploy_version
from windvane.usecases.issue_key import issue_keys
from windvane.usecases.publish_routing import publish_latest
from windvane.usecases.read_settings import find_settings

TENANTS = 1_000
MODELS = 200


def crowd(home: Path, model: str) -> tuple[list[str], list[str]]:
    """Fill up the home of one model with one version; all models' names, and the new keys."""
    settings = find_settings({}, home)
    store = SqlControlStore(settings.store_url)
    clock = open_clock(settings.clock)
    names = [f"{model}-{i}" for i in range(1, MODELS)]
    with store.begin() as tx:
        record, version = tx.model(model), tx.versions(model)[0]
        for name in names:
            text = record.text.replace(f"model: {model}\n", f"model: {name}\n", 1)
            tx.put_model(ModelRecord(name, text, clock.now()))
            tx.add_version(replace(version, model=name))
        # One by one each would publish a table of its own; the last one's has them all.
        for name in names[:-1]:
            tx.put_deployment(Deployment(name, version.version, changed_at=clock.now()))
    deploy_version(store, clock, names[-1], version.version)
    keys = issue_keys(store, clock, [f"tenant-{i}" for i in range(1, TENANTS)], "bench")
    publish_latest(store, FileRoutingFeed(settings.routing_file))
    store.close()
    return [model, *names], list(keys.values())
