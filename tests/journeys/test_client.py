"""The client and `import-events` against real processes: what is sent again is recorded once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from journeys.installation import MODEL, Installation, wait_until

from windvane.adapters.delta import DeltaEventLog
from windvane.client import ApiError, Client

ROWS = [{"distance": float(i), "kind": "van", "rain": None} for i in range(20)]


def logged(home: Installation) -> dict[str, int]:
    return DeltaEventLog(home.settings.log_root).counts(MODEL)


def test_what_is_told_twice_is_recorded_once(home: Installation, tmp_path: Path) -> None:
    scopes = [w for s in ("predict", "outcomes", "events", "read") for w in ("--scope", s)]
    key = home.cli("key", "issue", "acme", *scopes).strip()
    home.start("gateway")
    home.start("recorder")
    home.wait_ready()
    with Client(home.url, key, deadline=30.0) as client:

        def known() -> bool:
            try:
                return [model.model for model in client.models()] == [MODEL]
            except ApiError as error:
                if error.code != "GAT-101":
                    raise
                return False

        wait_until("the gateway knows the key", known)
        first = client.predict(MODEL, ROWS, idempotency_key="once")
        again = client.predict(MODEL, ROWS, idempotency_key="once")
        assert again.replayed
        assert (again.request_ids, again.values) == (first.request_ids, first.values)
        events = [
            {"id": f"order-{i}", "features": row, "outputs": {"probability": 0.5}}
            for i, row in enumerate(ROWS)
        ]
        ids = {tuple(client.send_events(MODEL, events).request_ids) for _ in range(3)}
        assert len(ids) == 1
        assert client.send_outcomes(MODEL, first, [True] * len(ROWS)) == len(ROWS)
        assert client.send_outcomes(MODEL, [{"id": "order-3", "value": 0}]) == 1
    table = tmp_path / "more.csv"
    lines = [f"order-{i},{i},van,,0.5" for i in range(10, 30)]
    table.write_text("\n".join(["id,distance,kind,rain,p", *lines]) + "\n")
    done = subprocess.run(
        [sys.executable, "-m", "windvane.apps.cli.main", "import-events", MODEL, str(table),
         "--output", "p"],
        env={**home.environment, "WINDVANE_API_KEY": key}, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert "20 predictions sent, 0 refused" in done.stdout, done.stderr
    # 20 served, 20 told by the client, and 10 of the file's 20 that were not told before.
    expected = {"predictions": 50, "outcomes": 21}
    wait_until("all is recorded", lambda: logged(home).items() >= expected.items())
    assert logged(home)["predictions"] == 50
    wait_until("the windows count what the log has", lambda: home.counted() == 50)
