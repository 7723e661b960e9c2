"""Put a version live: the first at once, every later one as a canary."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

from windvane.core.alerting import CANARY, Cause
from windvane.core.errors import WindvaneError
from windvane.core.execution import RUNTIMES, Environment, Place, RuntimeName
from windvane.core.journal import Decision
from windvane.core.verdict import Outcome, Verdict
from windvane.ports.clock import Clock
from windvane.ports.control_store import ControlStore, Deployment, Tx, VersionRecord
from windvane.usecases.change_deployment import change_deployment
from windvane.usecases.explain_runtime import environment_of, recorded_choice
from windvane.usecases.open_incident import close_incident
from windvane.usecases.read_model_file import parse_share, read_model_file


class CannotDeploy(WindvaneError):
    """The version is live already, or another rollout is under way."""

    code: ClassVar[str] = "ROL-101"
    hint = "`windvane status MODEL` shows what is live"


class CannotServe(WindvaneError):
    """No gateway could load the version, so that its model would answer nobody."""

    code: ClassVar[str] = "ROL-102"
    hint = "`windvane explain-runtime MODEL VERSION` says what serves it"


def _nothing_missing(_: RuntimeName) -> str:
    return ""


def _whole(_: Environment) -> str:
    return ""


def deploy_version(
    store: ControlStore,
    clock: Clock,
    model: str,
    version: str,
    *,
    missing_package: Callable[[RuntimeName], str] = _nothing_missing,
    damage: Callable[[Environment], str] = _whole,
    by: str = "",
    reason: str = "",
) -> Deployment:
    """Start serving ``version``; the deployment as it is then.

    ``missing_package`` says what has to be installed for a runtime, ``damage`` what is wrong
    with an environment of packages of the version's own ("" for nothing); ``by`` is who asked
    and ``reason`` why, for the record. Raises UnknownName, CannotDeploy and, where it could not
    be loaded, CannotServe.
    """
    now = clock.now()
    with store.begin() as tx:
        file = read_model_file(tx.model(model).text)
        record = tx.version(model, version)
        place = RUNTIMES[recorded_choice(record).runtime].place
        _check_loadable(tx, record, missing_package, damage)
        held = tx.deployment(model)
        latest = tx.routing()
        number = latest.seq + 1 if latest else 1
        if held is None:
            fresh = Deployment(model, champion=version, changed_at=now)
            message = f"version {version} is the first: it answers everyone"
            if place is Place.ELSEWHERE:
                message = f"version {version} is the first that is watched"
        else:
            if version in (held.champion, held.challenger):
                raise CannotDeploy(f"version {version} of {model} is already live")
            if held.challenger:
                raise CannotDeploy(
                    f"version {held.challenger} is at {held.share:.0%} of {model}",
                    hint="wait for its verdict; one rollout at a time keeps the evidence clean",
                )
            share = parse_share(file.rollout.steps[0])
            if place is Place.ELSEWHERE:  # nothing is routed, so there is nothing to compare
                share = 1.0
            again = tuple(v for v in held.rolled_back if v != version)
            fresh = replace(held, changed_at=now, rolled_back=again)
            if share >= 1.0:
                fresh = replace(fresh, champion=version, previous=held.champion)
                message = f"version {version} answers everyone at once, as the file's steps say"
                if place is Place.ELSEWHERE:
                    message = f"version {version} is the one that is watched from now on"
            else:
                fresh = replace(
                    fresh,
                    challenger=version,
                    share=share,
                    step=0,
                    rollout=f"{model}/{version}/{number}",
                    rollout_started=now,
                    stage_started=now,
                )
                message = f"version {version} begins at {share:.0%} beside version {held.champion}"
        cause = Cause(CANARY, f"version {version}")
        close_incident(
            tx, model, cause, now=now, decision=f"{model}/deploy/{version}/{number}",
            lines=[f"version {version} was deployed again"],
        )  # fmt: skip
        effects = change_deployment(tx, held, fresh)
        tx.decide(
            Decision(
                id=f"{model}/deploy/{version}/{number}",
                model=model,
                judge="",
                subject=f"version {version}",
                action="deploy",
                at=now,
                policy={},
                facts={"version": version, "before": None if held is None else held.champion},
                verdict=Verdict(Outcome.PASS, "ROL-100", message),
                effects=effects,
                actor=by,
                reason=reason,
            )
        )
    return fresh


def _check_loadable(
    tx: Tx,
    record: VersionRecord,
    missing_package: Callable[[RuntimeName], str],
    damage: Callable[[Environment], str],
) -> None:
    """Raises CannotServe, before anything is changed."""
    choice = recorded_choice(record)
    name = f"version {record.version} of {record.model}"
    if choice.needs_trust and all(trust.manifest != record.manifest for trust in tx.trusted()):
        raise CannotServe(
            f"{name} can run code as it is loaded by {choice.runtime}, and nobody trusts its files",
            hint=f"`windvane trust {record.model} {record.version}`, then deploy it again",
        )
    own = environment_of(record)
    wrong = damage(own) if own is not None else ""
    if wrong:
        raise CannotServe(
            f"{name} has packages of its own, whose environment is {wrong}",
            hint=f"`windvane environments --rebuild {record.model}:{record.version}`, then deploy "
            "it again; --force where the gateways run elsewhere and have it",
        )
    package = missing_package(choice.runtime) if own is None else ""
    if package:
        raise CannotServe(
            f"{name} is served by {choice.runtime}, which is not installed here",
            hint=f"pip install '{package}'; --force where the gateways run elsewhere and have it",
        )
