"""The trainer's adapters."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from windvane.adapters.clock import open_clock
from windvane.adapters.duckdb import read_training_table
from windvane.adapters.mlflow import MlflowRegistry
from windvane.adapters.onnx.artifact import write_manifest
from windvane.adapters.onnx.learner import BoostedLearner
from windvane.adapters.sql import SqlControlStore
from windvane.ports.clock import Clock
from windvane.usecases.read_settings import Settings, find_settings

learner = BoostedLearner
read_table = read_training_table
seal = write_manifest


def settings() -> Settings:
    return find_settings(os.environ)


def store(given: Settings) -> SqlControlStore:
    return SqlControlStore(given.store_url)


def clock(given: Settings) -> Clock:
    return open_clock(given.clock)


def registry(given: Settings) -> MlflowRegistry:
    return MlflowRegistry(given.registry_uri, given.artifacts)


def git_sha(folder: Path) -> str:
    """The commit that ``folder`` is at, "-dirty" if it has changes, "" outside git."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=folder, capture_output=True, text=True, timeout=5, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()
