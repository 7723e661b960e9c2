"""Vouch for a version whose files can run code, or take that back."""

from __future__ import annotations

from collections.abc import Sequence

from windvane.core.authorization import Action
from windvane.ports.control_store import Deployment, Trust, Tx, VersionRecord
from windvane.usecases.actions.base import About, Asked, Done, ModelAction, Occurrence
from windvane.usecases.explain_runtime import recorded_choice
from windvane.usecases.publish_routing import routing_effects


class TrustVersion(ModelAction):
    """It is these very files that are trusted, not the version's name: a file that changes is
    another manifest, which nobody trusts."""

    name = "trust"
    verb = "Trust"
    permission = Action.TRUST_VERSION
    about = About.VERSION
    record = "trust"

    def fits_version(
        self, version: VersionRecord, live: Deployment | None, *, trusted: bool
    ) -> bool:
        del live
        return recorded_choice(version).needs_trust and not trusted

    def foresee(self, tx: Tx, asked: Asked) -> str:
        found = tx.version(tx.model(asked.model).name, asked.version)
        return (
            f"The files of version {asked.version} ({found.manifest[:12]}) may run code as they "
            "are loaded, in a process of their own with bounded memory and time."
        )

    def act(self, tx: Tx, asked: Asked, when: Occurrence) -> Done:
        found = tx.version(asked.model, asked.version)
        tx.put_trust(Trust(found.manifest, asked.model, asked.version, asked.by, when.wall))
        message = f"version {asked.version} is trusted to run code"
        effects = routing_effects(tx, tx.versions_of(found.manifest))
        facts = {"manifest": found.manifest}
        return Done(f"version {asked.version}", "TRU-100", message, facts, effects)

    def locks(self, asked: Asked) -> Sequence[str] | None:
        del asked
        return None  # other models may have a version of the same files


class DistrustVersion(ModelAction):
    """Gateways drop the version at once, wherever it serves."""

    name = "distrust"
    verb = "Take the trust back"
    permission = Action.TRUST_VERSION
    about = About.VERSION
    destructive = True
    record = "distrust"

    def fits_version(
        self, version: VersionRecord, live: Deployment | None, *, trusted: bool
    ) -> bool:
        del live
        return recorded_choice(version).needs_trust and trusted

    def foresee(self, tx: Tx, asked: Asked) -> str:
        found = tx.version(tx.model(asked.model).name, asked.version)
        held = [
            f"{live.model} ({found.version})"
            for live in tx.deployments(tx.versions_of(found.manifest))
            if live.model == asked.model and asked.version in (live.champion, live.challenger)
        ]
        serves = f" It serves {' and '.join(held)}: that fails from now on." if held else ""
        return f"The files of version {asked.version} may not run code any more.{serves}"

    def act(self, tx: Tx, asked: Asked, when: Occurrence) -> Done:
        del when
        found = tx.version(asked.model, asked.version)
        tx.drop_trust(found.manifest)
        message = f"version {asked.version} is no longer trusted to run code"
        effects = routing_effects(tx, tx.versions_of(found.manifest))
        facts = {"manifest": found.manifest}
        return Done(f"version {asked.version}", "TRU-101", message, facts, effects)

    def locks(self, asked: Asked) -> Sequence[str] | None:
        del asked
        return None
