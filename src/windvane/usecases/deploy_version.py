"""Put a version live: the first at once, every later one as a canary."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from windvane.core.errors import WindvaneError
from windvane.core.journal import Decision
from windvane.core.verdict import Outcome, Verdict
from windvane.ports.clock import Clock
from windvane.ports.control_store import ControlStore, Deployment
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
            fresh = replace(
                held,
                challenger=version,
                share=share,
                step=0,
                rollout=f"{model}/{version}/{now:.0f}",
                rollout_started=now,
                stage_started=now,
                changed_at=now,
            )
            said = f"version {version} begins at {share:.0%} beside version {held.champion}"
        tx.put_deployment(fresh)
        tx.decide(
            Decision(
                id=f"{model}/deploy/{version}/{now:.3f}",
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
