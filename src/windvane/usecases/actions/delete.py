"""Delete a version, or a model with all of its versions and its past."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

from windvane.core.authorization import Action
from windvane.core.journal import Effect
from windvane.ports.control_store import Deployment, Tx, VersionRecord
from windvane.usecases.actions.base import (
    About,
    ActionRefused,
    Asked,
    Done,
    ModelAction,
    ModelState,
    Occurrence,
)
from windvane.usecases.find_version import find_version
from windvane.usecases.publish_routing import DELETE_FILES, chain_names
from windvane.usecases.read_model_file import read_model_file


class CannotDelete(ActionRefused):
    """The version serves, or the model is deployed."""

    code: ClassVar[str] = "ROL-107"


class DeleteVersion(ModelAction):
    """Its files go as well. What it answered stays in the log, and what was decided about it on
    record."""

    name = "delete-version"
    verb = "Delete"
    permission = Action.DELETE
    about = About.VERSION
    destructive = True
    record = "delete_version"

    def fits_version(
        self, version: VersionRecord, live: Deployment | None, *, trusted: bool
    ) -> bool:
        del trusted
        return live is None or version.version not in _used(live)

    def foresee(self, tx: Tx, asked: Asked) -> str:
        self._found(tx, asked)
        return (
            f"Version {asked.version} of {asked.model} is deleted, with its files: it cannot be "
            "deployed any more, and this cannot be taken back. What it answered stays in the log."
        )

    def act(self, tx: Tx, asked: Asked, when: Occurrence) -> Done:
        del when
        found = self._found(tx, asked)
        tx.drop_version(asked.model, asked.version)
        message = f"version {asked.version} was deleted, with its files"
        facts = {"manifest": found.manifest}
        effects = _forget_files(tx, [found])
        return Done(f"version {asked.version}", "ROL-115", message, facts, effects)

    def _found(self, tx: Tx, asked: Asked) -> VersionRecord:
        found = find_version(tx, asked.model, asked.version)
        for version, role in _roles(tx, asked.model).items():
            if version == asked.version:
                hint = "let another version answer first; `windvane status MODEL` shows which do"
                raise CannotDelete(f"version {version} of {asked.model} is {role}", hint=hint)
        return found


class DeleteModel(ModelAction):
    """All of its versions go with their files, and what was counted, judged and told of it. What
    was decided stays on record; what it answered stays in the log for as long as the log keeps
    it."""

    name = "delete"
    verb = "Delete"
    permission = Action.DELETE
    destructive = True
    record = "delete_model"

    def fits(self, state: ModelState) -> bool:
        return state.live is None

    def foresee(self, tx: Tx, asked: Asked) -> str:
        versions = self._versions(tx, asked.model)
        count = f"its {len(versions)} versions" if len(versions) > 1 else "its version"
        files = f"{count} with the files" if versions else "its file"
        return (
            f"{asked.model} is deleted: {files}, everything that was counted and judged, and its "
            "incidents. This cannot be taken back. Decisions stay on record, and what it "
            "answered stays in the log."
        )

    def act(self, tx: Tx, asked: Asked, when: Occurrence) -> Done:
        del when
        versions = self._versions(tx, asked.model)
        tx.drop_model(asked.model)
        count = f"{len(versions)} version{'s' if len(versions) > 1 else ''}"
        message = f"{asked.model} was deleted" + (f", with {count}" if versions else "")
        facts = {v.version: v.manifest for v in versions}
        effects = _forget_files(tx, versions)
        return Done(f"model {asked.model}", "ROL-116", message, facts, effects)

    def _versions(self, tx: Tx, model: str) -> list[VersionRecord]:
        tx.model(model)
        held = tx.deployment(model)
        if held is not None:
            raise CannotDelete(
                f"version {held.champion} of {model} is live", hint=f"`windvane undeploy {model}`"
            )
        return tx.version_summaries(model)


def _roles(tx: Tx, model: str) -> Mapping[str, str]:
    """What each version that is in use does."""
    held = tx.deployment(model)
    if held is None:
        return {}
    chain = chain_names(read_model_file(tx.model(model).text))
    roles = dict.fromkeys(chain, "named by serve.fallback in the model's file")
    return {**roles, **_used(held)}


def _used(held: Deployment) -> Mapping[str, str]:
    """What each version of the deployment does."""
    roles = (
        (held.previous, "what a rollback returns to"),
        *((version, f"standing in for tenant {t}") for t, version in held.stand_ins.items()),
        (held.standing_in, "standing in for the champion"),
        (held.challenger, "being rolled out"),
        (held.champion, "the champion"),
    )
    return {version: role for version, role in roles if version}


def _forget_files(tx: Tx, gone: Iterable[VersionRecord]) -> tuple[Effect, ...]:
    """Trust in files that no version has any more ends; the effects that remove the files."""
    effects: list[Effect] = []
    for version in gone:
        if not tx.versions_of(version.manifest):
            tx.drop_trust(version.manifest)
        body = {"artifact": version.artifact, "manifest": version.manifest}
        effects.append(Effect(DELETE_FILES, body))
    return tuple(effects)
