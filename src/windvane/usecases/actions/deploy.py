"""Put a version live: the first at once, every later one as a canary."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import ClassVar

from windvane.core.alerting import CANARY, Cause
from windvane.core.authorization import Action
from windvane.core.execution import RUNTIMES, Place
from windvane.core.verdict import span_in_words
from windvane.ports.clock import Clock
from windvane.ports.control_store import ControlStore, Deployment, Tx, VersionRecord
from windvane.ports.trial import TrialOrder
from windvane.usecases.actions.base import (
    About,
    ActionRefused,
    Asked,
    Done,
    ModelAction,
    Occurrence,
    ServingChecks,
)
from windvane.usecases.change_deployment import change_deployment
from windvane.usecases.explain_runtime import environment_of, recorded_choice
from windvane.usecases.find_version import find_version
from windvane.usecases.open_incident import close_incident
from windvane.usecases.read_model_file import parse_share, read_model_file
from windvane.usecases.record_rollout import least_span_s

_SOON_S = 86_400.0


class CannotDeploy(ActionRefused):
    """The version is live already, or another rollout is under way."""

    code: ClassVar[str] = "ROL-101"
    hint = "`windvane status MODEL` shows what is live"


class CannotServe(ActionRefused):
    """No gateway could load the version, so that its model would answer nobody."""

    code: ClassVar[str] = "ROL-102"
    hint = "`windvane explain-runtime MODEL VERSION` says what serves it"


class FilesNotTrusted(CannotServe):
    """The version can run code as it is loaded, and nobody vouches for its files: to trust them
    comes before."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """The deployment before and after, and what is said of it."""

    before: Deployment | None
    after: Deployment
    message: str


class Deploy(ModelAction):
    """A canary's gate moves it on, promotes it, or rolls it back by itself. A version that no
    gateway could load is refused."""

    name = "deploy"
    verb = "Deploy"
    permission = Action.DEPLOY
    about = About.VERSION
    record = "deploy"

    def fits_version(
        self, version: VersionRecord, live: Deployment | None, *, trusted: bool
    ) -> bool:
        del trusted
        return live is None or version.version not in (live.champion, live.challenger)

    def foresee(self, tx: Tx, asked: Asked) -> str:
        _check_trusted(tx, find_version(tx, asked.model, asked.version))
        plan = _plan(tx, asked, 0.0)
        off = f" {asked.model} stays turned off." if plan.after.off else ""
        return f"{plan.message[0].upper()}{plan.message[1:]}.{off}"

    def check(self, store: ControlStore, asked: Asked, checks: ServingChecks) -> None:
        with store.read() as tx:
            record = find_version(tx, asked.model, asked.version)
            _check_trusted(tx, record)
            _plan(tx, asked, 0.0)
            contract = read_model_file(tx.model(asked.model).text).contract
            trusted = _is_trusted(tx, record)
        _check_installed(record, checks)
        if RUNTIMES[recorded_choice(record).runtime].place is not Place.ELSEWHERE:
            order = TrialOrder(record.artifact, record.manifest, contract, trusted)
            _check_answers(record, checks.trial(order))

    def act(self, tx: Tx, asked: Asked, when: Occurrence) -> Done:
        _check_trusted(tx, tx.version(asked.model, asked.version))
        plan = _plan(tx, asked, when.now)
        cause = Cause(CANARY, f"version {asked.version}")
        over = close_incident(
            tx, asked.model, cause, now=when.now, decision=when.decision,
            lines=[f"version {asked.version} was deployed again"],
        )  # fmt: skip
        effects = change_deployment(tx, plan.before, plan.after) + over
        before = None if plan.before is None else plan.before.champion
        facts = {"version": asked.version, "before": before}
        message = plan.message + _slowness(tx, plan.after, when.now)
        return Done(f"version {asked.version}", "ROL-100", message, facts, effects)


def _slowness(tx: Tx, live: Deployment, now: float) -> str:
    """Words for who begins a rollout that its traffic cannot end soon."""
    if not live.challenger:
        return ""
    span_s = least_span_s(tx, read_model_file(tx.model(live.model).text), live, now)
    if span_s <= _SOON_S:
        return ""
    if span_s == inf:
        return "; nobody asked anything in the last day, and without traffic nothing moves it on"
    return (
        f"; by the traffic of the last day its first stage takes {span_in_words(span_s)} at least: "
        f"`windvane rollout share {live.model} 50%` would be quicker"
    )


def deploy_version(
    store: ControlStore,
    clock: Clock,
    model: str,
    version: str,
    *,
    checks: ServingChecks | None = None,
    by: str = "",
    reason: str = "",
) -> Deployment:
    """Start serving ``version``; the deployment as it is then. Without ``checks`` nothing is
    asked of this machine. Raises UnknownName, CannotDeploy and, where it could not be loaded,
    CannotServe."""
    asked = Asked(model, by, reason, version)
    Deploy().perform(store, clock, asked, checks or ServingChecks())
    with store.read() as tx:
        live = tx.deployment(model)
    assert live is not None
    return live


def _plan(tx: Tx, asked: Asked, now: float) -> _Plan:
    model, version = asked.model, asked.version
    file = read_model_file(tx.model(model).text)
    record = find_version(tx, model, version)
    watched = RUNTIMES[recorded_choice(record).runtime].place is Place.ELSEWHERE
    held = tx.deployment(model)
    if held is None:
        message = f"version {version} is the first: it answers everyone"
        if watched:
            message = f"version {version} is the first that is watched"
        return _Plan(None, Deployment(model, champion=version, changed_at=now), message)
    if version in (held.champion, held.challenger):
        raise CannotDeploy(f"version {version} of {model} is already live")
    if held.challenger:
        raise CannotDeploy(
            f"version {held.challenger} is at {held.share:.0%} of {model}",
            hint="wait for its verdict; one rollout at a time keeps the evidence clean",
        )
    share = parse_share(file.rollout.steps[0])
    if watched:  # nothing is routed, so there is nothing to compare
        share = 1.0
    again = tuple(v for v in held.rolled_back if v != version)
    known = "; it was rolled back before" if again != held.rolled_back else ""
    fresh = replace(held, changed_at=now, rolled_back=again)
    if share >= 1.0:
        message = f"version {version} answers everyone at once, as the file's steps say"
        if watched:
            message = f"version {version} is the one that is watched from now on"
        message += known
        return _Plan(held, replace(fresh, champion=version, previous=held.champion), message)
    latest = tx.routing()
    fresh = replace(
        fresh,
        challenger=version,
        share=share,
        step=0,
        rollout=f"{model}/{version}/{latest.seq + 1 if latest else 1}",
        rollout_started=now,
        stage_started=now,
    )
    message = f"version {version} begins at {share:.0%} beside version {held.champion}{known}"
    return _Plan(held, fresh, message)


def _is_trusted(tx: Tx, record: VersionRecord) -> bool:
    return any(trust.manifest == record.manifest for trust in tx.trusted())


def _check_trusted(tx: Tx, record: VersionRecord) -> None:
    choice = recorded_choice(record)
    if choice.needs_trust and not _is_trusted(tx, record):
        raise FilesNotTrusted(
            f"version {record.version} of {record.model} can run code as it is loaded by "
            f"{choice.runtime}, and nobody trusts its files",
            hint=f"`windvane trust {record.model} {record.version}`, then deploy it again",
        )


def _check_answers(record: VersionRecord, wrong: str) -> None:
    if wrong:
        raise CannotServe(
            f"version {record.version} of {record.model} was tried on this machine, and would "
            f"answer nobody: {wrong}",
            hint="logs/trial.log in the home may say more; register it again, or --force where "
            "the gateways run elsewhere",
        )


def _check_installed(record: VersionRecord, checks: ServingChecks) -> None:
    """Raises CannotServe, before anything is changed."""
    name = f"version {record.version} of {record.model}"
    own = environment_of(record)
    wrong = checks.damage(own) if own is not None else ""
    if wrong:
        raise CannotServe(
            f"{name} has packages of its own, whose environment is {wrong}",
            hint=f"`windvane environments --rebuild {record.model}:{record.version}`, then deploy "
            "it again; --force where the gateways run elsewhere and have it",
        )
    choice = recorded_choice(record)
    package = checks.missing_package(choice.runtime) if own is None else ""
    if package:
        raise CannotServe(
            f"{name} is served by {choice.runtime}, which is not installed here",
            hint=f"pip install '{package}'; --force where the gateways run elsewhere and have it",
        )
