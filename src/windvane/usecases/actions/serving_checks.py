"""What this machine can tell of whether it could serve a version."""

from __future__ import annotations

import importlib.util

from windvane.core.execution import RUNTIMES, Environment, RuntimeName
from windvane.ports.environments import EnvironmentStore
from windvane.ports.trial import VersionTrial
from windvane.usecases.actions.base import ServingChecks


def checks_here(environments: EnvironmentStore, trials: VersionTrial) -> ServingChecks:
    """For gateways that run on this machine; elsewhere other packages may be installed."""

    def damage(environment: Environment) -> str:
        states = {state.id: state.damage for state in environments.states()}
        return states.get(environment.id, "not on this machine")

    return ServingChecks(_missing_package, damage, trials.attempt)


def _missing_package(runtime: RuntimeName) -> str:
    kind = RUNTIMES[runtime]
    there = not kind.module or importlib.util.find_spec(kind.module) is not None
    return "" if there else kind.package
