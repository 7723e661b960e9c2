"""The commands that a model's page shows work as they stand, against the real gateway."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from html import unescape
from pathlib import Path

import httpx
import pytest
from journeys.installation import MODEL, Installation, wait_until

_COMMAND = re.compile(r"<pre[^>]*><code>(KEY=.*?)</code></pre>", re.DOTALL)
_WITHIN_S = 30.0


@pytest.mark.takes_turns
def test_the_command_of_a_models_page_is_answered(home: Installation, tmp_path: Path) -> None:
    home.start("gateway")
    home.start("console")
    home.wait_ready()
    wait_until("the console answers", lambda: _shown(home) is not None)
    command = _shown(home)
    assert command is not None
    assert f"127.0.0.1:{home.port}/v1/models/{MODEL}/predict" in command
    program = tmp_path / "windvane"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m windvane.apps.cli.main "$@"\n')
    program.chmod(0o755)
    environment = {**home.environment, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    deadline, answer = time.monotonic() + _WITHIN_S, {}
    # A key that was just issued reaches the gateway within a second.
    lines = command.replace("\ncurl ", "\nsleep 1\ncurl -s ", 1)
    while "predictions" not in answer and time.monotonic() < deadline:
        done = subprocess.run(
            ["/bin/sh", "-c", lines], env=environment, capture_output=True, text=True,
            timeout=60, check=True,
        )  # fmt: skip
        answer = json.loads(done.stdout)
    assert 0.0 <= answer["predictions"][0]["value"] <= 1.0
    assert answer["predictions"][0]["version"] == "1", answer


def _shown(home: Installation) -> str | None:
    try:
        found = _COMMAND.search(home.page(f"/models/{MODEL}").text)
    except httpx.HTTPError:  # it does not answer yet
        return None
    return unescape(found[1]) if found else None
