"""Put a version live: the first at once, every later one as a canary."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from windvane.core.alerting import Cause, CauseKind
from windvane.core.errors import WindvaneError
from windvane.core.journal import Decision
from windvane.core.verdict import Outcome, Verdict
from windvane.ports.clock import Clock
from windvane.ports.control_store import ControlStore, Deployment
from windvane.usecases.open_incident import close_incident
from windvane.usecases.publish_routing import routing_effects
from windvane.usecases.read_model_file import parse_share, read_model_file


class CannotDeploy(WindvaneError):
    """The version is live already, or another rollout is under way."""

    code: ClassVar[str] = "ROL-101"
    hint = "`windvane status MODEL` shows what is live"


def deploy_version(store: ControlStore, clock: Clock, model: str, version: str) -> Deployment:
    """Start serving ``version``; the deployment as it is then."""
    now = clock.now()
    with store.begin() as tx:
        file = read_model_file(tx.model(model).text)
        tx.version(model, version)
        held = tx.deployment(model)
        latest = tx.routing()
        number = latest.seq + 1 if latest else 1
        if held is None:
            fresh = Deployment(model, champion=version, changed_at=now)
            said = f"version {version} is the first: it answers everyone"
        else:
            if version in (held.champion, held.challenger):
                raise CannotDeploy(f"version {version} of {model} is already live")
            if held.challenger:
                raise CannotDeploy(
                    f"version {held.challenger} is at {held.share:.0%} of {model}",
                    hint="wait for its verdict; one rollout at a time keeps the evidence clean",
                )
            share = parse_share(file.rollout.steps[0])
            again = tuple(v for v in held.rolled_back if v != version)
            fresh = replace(held, changed_at=now, rolled_back=again)
            if share >= 1.0:
                fresh = replace(fresh, champion=version, previous=held.champion)
                said = f"version {version} answers everyone at once, as the file's steps say"
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
                said = f"version {version} begins at {share:.0%} beside version {held.champion}"
        cause = Cause(CauseKind.CANARY, f"version {version}")
        close_incident(
            tx, model, cause, now=now, decision=f"{model}/deploy/{version}/{number}",
            lines=[f"version {version} was deployed again"],
        )  # fmt: skip
        tx.put_deployment(fresh)
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
                verdict=Verdict(Outcome.PASS, "ROL-100", said),
                effects=routing_effects(tx),
            )
        )
    return fresh
