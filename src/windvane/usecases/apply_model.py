"""Apply a model's file: what it says becomes the model's policy."""

from __future__ import annotations

from dataclasses import replace

from windvane.core.errors import did_you_mean
from windvane.core.journal import Decision, fact_hash
from windvane.core.verdict import Outcome, Verdict
from windvane.ports.clock import Clock
from windvane.ports.control_store import ControlStore, ModelRecord, Tx
from windvane.usecases.monitors import monitor_named
from windvane.usecases.publish_routing import routing_effects
from windvane.usecases.read_model_file import BadModelFile, ModelFile, read_model_file
from windvane.usecases.set_aside import file_is_read_again


def apply_model(
    store: ControlStore, clock: Clock, text: str, *, by: str = "", reason: str = ""
) -> tuple[ModelFile, bool]:
    """Record the file and publish what follows; (file, whether anything changed).

    ``by`` is who asked and ``reason`` why, for the record.
    """
    file = read_model_file(text)
    with store.begin() as tx:
        held = next((m for m in tx.models() if m.name == file.model), None)
        if held is not None and held.text == text:
            return file, False
        if held is not None and tx.version_summaries(file.model):
            before = _readable(held.text)
            if before is not None:
                _check_growth(tx, before, file)
        _check_cascade(tx, file)
        _check_switched_off(tx, file)
        tx.put_model(ModelRecord(file.model, text, clock.now()))
        file_is_read_again(tx, file.model)
        if (judged := tx.progress([file.model]).get(file.model)) is not None:
            tx.put_progress([replace(judged, due_at=0.0)])  # its windows may be others now
        version = fact_hash(text)
        publish = routing_effects(tx, [file.model])
        sentence = f"file {version} replaces {fact_hash(held.text) if held else 'nothing'}"
        tx.decide(
            Decision(
                id=f"{file.model}/apply/{version}/{publish[0].body['seq']}",
                model=file.model,
                judge="",
                subject="file",
                action="apply",
                at=clock.now(),
                policy={},
                facts={"text": text},
                verdict=Verdict(Outcome.PASS, "MOD-100", sentence),
                effects=publish,
                actor=by,
                reason=reason,
            )
        )
    return file, True


def _readable(text: str) -> ModelFile | None:
    """None for a file that this release cannot read: then another one is the way out."""
    try:
        return read_model_file(text)
    except BadModelFile:
        return None


def _check_switched_off(tx: Tx, file: ModelFile) -> None:
    """What a monitor found would stay open for ever once it no longer looks. Raises
    BadModelFile."""
    for incident in tx.open_incidents(file.model):
        for name in sorted({member.partition("/")[0] for member in incident.members}):
            monitor = monitor_named(name)
            if monitor is None or monitor.is_wanted(file):
                continue
            field = "watch.off" if name in file.watch.off else "watch.outcomes"
            message = f"{field}: {name} would look no more, and {incident.id} of it is open"
            raise BadModelFile(message, hint="close or accept it first, or leave it on until then")


def _check_cascade(tx: Tx, file: ModelFile) -> None:
    """The model that answers in this one's place has to be there, give the same outputs, and
    take nothing that this one's clients do not send. Raises BadModelFile."""
    if file.cascade is None:
        return
    texts = {model.name: model.text for model in tx.models() if model.name != file.model}
    if file.cascade.to not in texts:
        raise BadModelFile(
            f"serve.cascade.to: no model {file.cascade.to!r} is applied",
            hint=did_you_mean(file.cascade.to, texts) or "apply that model's file first",
        )
    other = read_model_file(texts[file.cascade.to])
    if other.contract.task != file.contract.task:
        raise BadModelFile(
            f"serve.cascade.to: {other.model} predicts {_described(other)}, {file.model} predicts "
            f"{_described(file)}",
            hint="both answer the same question: `predicts` must be the same",
        )
    own = {spec.name: spec for spec in file.schema}
    for spec in other.schema:
        mine = own.get(spec.name)
        if mine is None and not (spec.nullable or spec.optional):
            raise BadModelFile(
                f"serve.cascade.to: {other.model} needs {spec.name}, which {file.model} does not "
                "take",
                hint="add the feature here, or make it nullable there",
            )
        if mine is not None and (mine.type, mine.length) != (spec.type, spec.length):
            raise BadModelFile(
                f"serve.cascade.to: {spec.name} has the type {spec.type} in {other.model} and "
                f"{mine.type} here"
            )


def _described(file: ModelFile) -> str:
    classes = ", ".join(file.contract.task.classes)
    return f"{file.predicts.kind} ({classes})" if classes else file.predicts.kind


def _check_growth(tx: Tx, held: ModelFile, fresh: ModelFile) -> None:
    """A contract may grow, and lose what no version takes any more; what versions were trained
    on stays as it is. Raises BadModelFile."""
    if held.contract.task != fresh.contract.task:
        raise BadModelFile(
            f"predicts: {held.predicts.kind} cannot change where versions are registered",
            hint="another task makes another model",
        )
    before = {spec.name: spec for spec in held.schema}
    after = {spec.name: spec for spec in fresh.schema}
    for name, spec in after.items():
        old = before.get(name)
        if old is not None and (old.type, old.length, old.view) != (
            spec.type, spec.length, spec.view,
        ):  # fmt: skip
            raise BadModelFile(
                f"features: {name} is a {old.type} of {old.view}, which versions were trained on",
                hint="bounds and nullability may change; another type needs another name",
            )
    gone = [name for name in before if name not in after]
    live = tx.deployment(fresh.model)
    serving = set[str | None]()
    if live is not None:
        serving = {live.champion, live.challenger, live.standing_in, *live.stand_ins.values()}
    for version in tx.version_summaries(fresh.model):
        missing = [name for name in gone if name in (version.features or before)]
        if missing and version.version in serving:
            raise BadModelFile(
                f"features: {', '.join(missing)} left the file, and version {version.version}, "
                "which is live, takes them",
                hint="deploy a version that does without them first",
            )
