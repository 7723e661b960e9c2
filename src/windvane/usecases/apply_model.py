"""Apply a model's file: what it says becomes the model's policy."""

from __future__ import annotations

from windvane.core.journal import Decision, fact_hash
from windvane.core.verdict import Outcome, Verdict
from windvane.ports.clock import Clock
from windvane.ports.control_store import ControlStore, ModelRecord
from windvane.usecases.publish_routing import routing_effects
from windvane.usecases.read_model_file import BadModelFile, ModelFile, read_model_file


def apply_model(store: ControlStore, clock: Clock, text: str) -> tuple[ModelFile, bool]:
    """Record the file and publish what follows; (file, whether anything changed)."""
    file = read_model_file(text)
    with store.begin() as tx:
        held = next((m for m in tx.models() if m.name == file.model), None)
        if held is not None and held.text == text:
            return file, False
        if held is not None and tx.versions(file.model):
            _same_features(read_model_file(held.text), file)
        tx.put_model(ModelRecord(file.model, text, clock.now()))
        version = fact_hash(text)
        publish = routing_effects(tx)
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
            )
        )
    return file, True


def _same_features(held: ModelFile, fresh: ModelFile) -> None:
    before = {(s.name, s.view, s.type) for s in held.schema}
    after = {(s.name, s.view, s.type) for s in fresh.schema}
    if before != after or [s.name for s in held.schema] != [s.name for s in fresh.schema]:
        names = sorted({name for name, _, _ in before ^ after}) or ["their order"]
        raise BadModelFile(
            f"features: {', '.join(names)} differ from those that live versions were trained on",
            hint="bounds and nullability may change; other features make another model",
        )
