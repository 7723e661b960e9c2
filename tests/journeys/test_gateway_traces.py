"""A gateway process that shows its requests to a collector."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from contracts.tracing.collector import attributes, collecting, wait_for
from journeys.gateway_load import ask, settle
from journeys.installation import MODEL, Installation, free_port

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_a_request_arrives_at_the_collector_and_its_key_does_not(home: Installation) -> None:
    with collecting() as collector:
        (home.home / "collector-key").write_text("key-of-the-collector\n")
        headers = {"x-key": "file:collector-key"}
        tracing = {"endpoint": collector.url, "ratio": 0, "headers": headers}
        settle(home, log_format="json", tracing=tracing)
        home.start("steward")
        home.start("gateway")
        home.wait_ready()
        assert ask(home, headers={"traceparent": f"00-{TRACE}-{SPAN}-01"}).status == 200
        home.stop()  # what waits is exported before the end
        wait_for("its trace", lambda: collector.roots, 5.0)
        (root,) = collector.roots
        assert root.trace_id.hex() == TRACE
        assert attributes(root)["windvane.model"] == MODEL
        assert {h["x-key"] for h in collector.headers} == {"key-of-the-collector"}
        assert home.key not in repr(collector.spans)
        assert "key-of-the-collector" not in (home.home / "gateway.log").read_text()


WITHOUT = """
import sys
sys.modules["opentelemetry"] = None
from windvane.apps.gateway.__main__ import main
main()
"""


def test_without_the_extra_it_does_not_start_and_says_which_one(tmp_path: Path) -> None:
    (tmp_path / "windvane.yaml").write_text(
        f"port: {free_port()}\ntracing: {{endpoint: 'http://127.0.0.1:1/v1/traces'}}\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT], env={**os.environ, "WINDVANE_HOME": str(tmp_path)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "SET-103 tracing is set, and opentelemetry" in done.stderr
    assert "windvane[otel]" in done.stderr
