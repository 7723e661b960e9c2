"""``status``, ``incidents`` and ``replay-decision``: what happened, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from windvane.apps.cli import show, wiring
from windvane.apps.cli.options import AsJson, Home
from windvane.apps.cli.output import out, print_json
from windvane.usecases.read_model_file import read_model_file

if TYPE_CHECKING:
    from windvane.core.health import Health
    from windvane.ports.control_store import Deployment, Incident, ModelRecord, Tx, VersionRecord
    from windvane.ports.event_log import OutcomeCounts
    from windvane.usecases.observe_health import Observed
    from windvane.usecases.read_model_file import ModelFile
    from windvane.usecases.read_objectives import ObjectiveReading

_EXPLAINED = 20  # models; of more the table is enough


def status(
    model: Annotated[str, typer.Argument(help="One model; all by default.")] = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """What is live and how it is, now."""
    from windvane.apps.cli.readiness import observe_installation
    from windvane.usecases.broken_versions import broken_versions
    from windvane.usecases.observe_health import observe
    from windvane.usecases.observe_recording import explain_recording, observe_recording
    from windvane.usecases.read_objectives import read_objectives

    settings = wiring.settings(home)
    outcomes: Sequence[OutcomeCounts] = ()
    objectives: Sequence[ObjectiveReading] = ()
    with wiring.store(settings).read() as tx:
        records = [tx.model(model)] if model else tx.models()
        clock = wiring.clock(settings)
        now, seen = (
            clock.now(),
            observe(
                tx,
                clock.wall(),
                settings.spool_expire_after_s,
                broken_versions(wiring.metrics_board(settings)),
            ),
        )
        rows = _rows(tx, seen, records, now)
        decisions = tx.decisions(model, 10)
        file = read_model_file(tx.model(model).text) if model else None
        if file is not None:
            objectives = read_objectives(file, tx.monitor_states([model]))
        recording = observe_recording(tx, now, clock.wall(), settings.spool_expire_after_s)
        installation = observe_installation(tx, settings)
    if file is not None:
        from windvane.usecases.count_outcomes import count_outcomes

        outcomes = count_outcomes(wiring.event_log(settings), file, now)
    if as_json:
        print_json(
            {
                "models": [
                    {
                        "model": row.name,
                        "health": row.health,
                        "deployment": row.live,
                        "open_incidents": [i.id for i in row.incidents],
                        "versions": [v.version for v in row.versions],
                        **(
                            {"outcomes": outcomes, "objectives": show.objectives_json(objectives)}
                            if model
                            else {}
                        ),
                    }
                    for row in rows
                ],
                "decisions": [
                    {"id": d.id, "action": d.action, "at": d.at, "verdict": d.verdict}
                    for d in decisions
                ],
                "recording": recording,
                "installation": installation.as_json(),
            }
        )
        return
    if lines := installation.lines():
        for line in lines:
            out.print(line)
        out.print()
    if not rows:
        out.print("No model yet. Next: `windvane apply FILE` (docs/tutorial has one).")
        return
    out.table(
        *show.models_table(
            [(r.name, r.live, r.health, len(r.versions), len(r.incidents)) for r in rows]
        )
    )
    for row in rows if len(rows) <= _EXPLAINED else ():
        if row.health.word != "healthy":
            out.print(f"{row.name}: {row.health.word}: {row.health.why}")
    if model and rows[0].versions:
        out.print()
        out.table(*show.versions_table(rows[0].versions, rows[0].live))
    if objectives:
        out.print()
        out.table(*show.objectives_table(objectives))
    if outcomes:
        out.print()
        out.table(*show.outcomes_table(outcomes))
    if decisions:
        out.print()
        out.table(*show.decisions_table(decisions))
    lines = explain_recording(recording)
    if aside := sum(recording.quarantined.values()):
        lines.append(f"{aside:,} items were ever set aside (`windvane quarantine list`)")
    if lines:
        out.print()
        for line in lines:
            out.print(line)


@dataclass(frozen=True, slots=True)
class _Row:
    name: str
    live: Deployment | None
    incidents: Sequence[Incident]
    versions: Sequence[VersionRecord]
    health: Health


def _rows(tx: Tx, seen: Observed, records: Sequence[ModelRecord], now: float) -> list[_Row]:
    """As many queries for one model as for two hundred."""
    from windvane.core.health import Health, Tone
    from windvane.usecases.observe_health import (
        load_evidence,
        load_totals,
        observe_health,
        traffic_of,
    )
    from windvane.usecases.read_model_file import BadModelFile

    names = [record.name for record in records]
    live = {one.model: one for one in tx.deployments(names)}
    opened: dict[str, list[Incident]] = {name: [] for name in names}
    for incident in tx.open_incidents(names[0] if len(names) == 1 else ""):
        opened.setdefault(incident.model, []).append(incident)
    files: dict[str, ModelFile] = {}
    unread: dict[str, Health] = {}
    for record in records:
        try:
            files[record.name] = read_model_file(record.text)
        except BadModelFile as error:
            why = f"its file cannot be read: {error}"
            unread[record.name] = Health("not measured", Tone.WARN, "HLT-202", why)
    evidence = load_evidence(tx, {name: live.get(name) for name in names})
    totals = load_totals(tx, files.values(), now)
    rows: list[_Row] = []
    for name in names:
        health = unread.get(name) or observe_health(
            seen, evidence[name], files[name], live.get(name), opened[name],
            traffic_of(totals[name].values()), now,
        )  # fmt: skip
        versions = list(evidence[name].versions.values())
        rows.append(_Row(name, live.get(name), opened[name], versions, health))
    return rows


def incidents(
    incident: Annotated[str, typer.Argument(help="The id of one; a list by default.")] = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """What went wrong, what was done about it, and the evidence."""
    from windvane.core.alerting.suspect import suspect_words
    from windvane.usecases.show_incident import redact_incident, show_incident

    settings = wiring.settings(home)
    with wiring.store(settings).read() as tx:
        if not incident:
            found = [redact_incident(tx, i, values=True) for i in tx.incidents("", 50)]
            if as_json:
                print_json(found)
            elif not found:
                out.print("No incident. Quiet is the normal state.")
            else:
                out.table(*show.incidents_table(found))
            return
        one, notes = show_incident(tx, incident, values=True), tx.notes(incident)
        consumers = read_model_file(tx.model(one.model).text).consumers
    if as_json:
        print_json({"incident": one, "timeline": notes})
        return
    out.print(f"{one.title}  ({one.severity}, {one.model})", style="bold")
    if consumers:
        out.print(f"consumers {', '.join(consumers)}")
    if one.acknowledged_by:
        out.print(f"{one.acknowledged_by} is on it since {show.moment(one.acknowledged_at or 0.0)}")
    out.print(f"owner {one.owner}   runbook {one.runbook}   since {show.moment(one.since)}")
    if one.grade:
        out.print(f"graded {one.grade} by {one.graded_by}")
    if one.runbook_change:
        out.print(f"runbook lacks {one.runbook_change}")
    for note in notes:
        out.print(f"  {show.moment(note.at)}  {note.what}")
    for suspect in one.evidence.get("suspects", []):
        out.print(f"  suspect {suspect['feature']} {suspect['size']:.2f}")
    if model_says := suspect_words(one.evidence):
        out.print(f"  as the model sees it: {model_says}")


def replay(
    decision: Annotated[str, typer.Argument(help="The decision's id, as `status` shows it.")],
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Judge a recorded decision again, from its own facts and policy.

    Exit status 0 if today's code gives the same verdict, 3 if it does not.
    """
    from windvane.usecases.replay_decision import replay_decision

    settings = wiring.settings(home)
    with wiring.store(settings).read() as tx:
        recorded = tx.decision(decision)
    replayed = replay_decision(recorded)
    if as_json:
        print_json(
            {
                "same": replayed.same,
                "revised": replayed.revised,
                "recorded": replayed.recorded,
                "again": replayed.again,
            }
        )
    else:
        out.print(f"recorded  {replayed.recorded.outcome}  {replayed.recorded.sentence}")
        out.print(f"again     {replayed.again.outcome}  {replayed.again.sentence}")
        if replayed.revised:
            out.print("the judge was revised since: its policy has another version now")
    if not replayed.same:
        raise typer.Exit(3)
