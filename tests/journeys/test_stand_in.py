"""A stand-in that cannot be loaded is told before anybody needs it."""

from __future__ import annotations

from journeys.gateway_load import Line, body_of, request
from journeys.installation import FILE, MODEL, Installation, wait_until

from windvane.ports.control_store import Incident

REQUESTS = 3_000


def test_a_broken_stand_in_is_told_while_the_champion_answers_everybody(
    home: Installation,
) -> None:
    """Version 2 was tampered with since it was registered. All rows are one row, which is told as
    a broken feed, and this apart from it."""
    chain = "fallback: [previous, {constant: 0.3}]"
    file = home.home / "model.yaml"
    file.write_text(FILE.replace(chain, 'fallback: [{version: "2"}]') + "tier: critical\n")
    home.cli("apply", str(file))
    for name in ("gateway", "recorder", "steward"):
        home.start(name)
    home.wait_ready()
    line, raw = Line(home.port), request(home.key, body_of())
    asked = 0

    def told() -> list[Incident]:
        nonlocal asked
        for _ in range(100 if asked < REQUESTS else 1):
            assert line.ask(raw).status == 200
            asked += 1
        with home.store() as store, store.read() as tx:
            return [i for i in tx.incidents(MODEL, 10) if i.cause == "stand_in_silent:1"]

    wait_until("the stand-in is told", told)
    (incident,) = told()
    line.close()
    assert "no answer 100.0%" in incident.title
    assert incident.severity == "medium"
    assert "had no answer to compare with: RUN-101" in (home.home / "gateway.log").read_text()
