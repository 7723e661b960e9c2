"""The tutorial, as a reader would follow it: its shell blocks in one bash, real processes."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import docs.documented as d
import pytest

ROOT = d.DOCS.parent
TUTORIAL = "tutorial/first-model.md"
pytestmark = pytest.mark.timeout(600)  # a dozen processes start, on a machine that may be busy
_MARK = "=== end of step {} ==="
_WITHIN_S = 480.0
_MODELS = ("/models/order-late", "/models/arrival-minutes")


@dataclass(frozen=True)
class Step:
    """A shell block, and the lines that the page promises it prints."""

    commands: str
    promised: tuple[str, ...]


@dataclass(frozen=True)
class Run:
    """What was printed by each step, and what was seen while everything was up."""

    said: tuple[str, ...]
    console_pages: dict[str, int]
    alive_after: tuple[int, ...]


def steps_of(text: str) -> list[Step]:
    """Every ``sh`` block with the ``text`` block that follows it, if one does."""
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    out: list[Step] = []
    for kind, body in blocks:
        if kind == "sh":
            out.append(Step(body, ()))
        elif kind == "text" and out and not out[-1].promised:
            out[-1] = Step(out[-1].commands, tuple(body.splitlines()))
    return out


def missing_lines(promised: tuple[str, ...], said: str) -> list[str]:
    """Promised lines that are absent; ``…`` stands for anything. White space counts once.

    Wrapping depends on a terminal's width and figures' last digits on a machine's libraries:
    the first is evened out here, the second the page leaves open.
    """
    plain = " ".join(said.split())
    out: list[str] = []
    for line in promised:
        parts = [re.escape(part) for part in " ".join(line.split()).split("…")]
        if not re.search(".*?".join(parts), plain):
            out.append(line)
    return out


@pytest.fixture(scope="module")
def steps() -> list[Step]:
    return steps_of(d.page(TUTORIAL))


@pytest.fixture
def run(steps: list[Step], tmp_path: Path) -> Iterator[Run]:
    """The whole page, in a copy of the example, on free ports."""
    checkout = tmp_path
    example = checkout / "examples" / "first-model"
    shutil.copytree(ROOT / "examples" / "first-model", example)
    (checkout / ".venv").symlink_to(Path(sys.executable).parents[1])
    home = example / ".windvane"
    port, console_port = free_ports(2)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("WINDVANE")}
    script = "set -e\n" + "".join(
        f"{with_ports(step.commands, port, console_port)}\necho '{_MARK.format(i)}'\n"
        # The last step stops everything: before it, the test looks at the console.
        + ("read -r _ < go\n" if i == len(steps) - 2 else "")
        for i, step in enumerate(steps)
    )
    os.mkfifo(checkout / "go")
    message = checkout / "said.log"
    with message.open("wb") as out:
        bash = subprocess.Popen(
            ["bash", "-c", script.replace("< go", f"< '{checkout / 'go'}'")],
            cwd=checkout, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            start_new_session=True,
        )  # fmt: skip
    try:
        await_text(message, _MARK.format(len(steps) - 2), bash)
        key = subprocess.run(
            [sys.executable, "-m", "windvane.apps.cli.main", "key", "issue", "desk",
             "--role", "viewer", "--home", str(home)],
            capture_output=True, text=True, check=True, timeout=60, env=environment,
        ).stdout.strip()  # fmt: skip
        pages = {
            path: status(f"http://127.0.0.1:{console_port}{path}", key)
            for path in ("/", *_MODELS, "/incidents", "/nowhere")
        }
        with (checkout / "go").open("w") as go:
            go.write("\n")
        code = bash.wait(60)
        text = message.read_text()
        assert code == 0, text[-3_000:]
        for ours, theirs in ((port, 8700), (console_port, 8701)):
            text = text.replace(f"127.0.0.1:{ours}", f"127.0.0.1:{theirs}")
        yield Run(split(text, len(steps)), pages, tuple(alive(home)))
    finally:
        stop(bash, home)


def with_ports(commands: str, port: int, console_port: int) -> str:
    """The same with settings for free ports, which come to be right before `windvane up`: what
    needs a home before that fails as it does for a reader."""
    settings = f"port: {port}\\nconsole_port: {console_port}\\n"
    before = f"mkdir .windvane\nprintf '{settings}' > .windvane/windvane.yaml\n"
    return re.sub(r"^windvane up\b", lambda up: before + up[0], commands, flags=re.MULTILINE)


def split(text: str, count: int) -> tuple[str, ...]:
    parts: list[str] = []
    for i in range(count):
        head, _, text = text.partition(_MARK.format(i))
        parts.append(head)
    return tuple(parts)


def await_text(path: Path, wanted: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _WITHIN_S
    while wanted not in path.read_text(errors="replace"):
        message = path.read_text(errors="replace")[-3_000:]
        assert process.poll() is None, f"the page's commands ended early:\n{message}"
        assert time.monotonic() < deadline, f"not done after {_WITHIN_S:.0f} s:\n{message}"
        time.sleep(0.1)


def status(url: str, key: str) -> int:
    request = urllib.request.Request(url, headers={"authorization": f"Bearer {key}"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def free_ports(count: int) -> list[int]:
    held = [socket.socket() for _ in range(count)]
    try:
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in held]
    finally:
        for one in held:
            one.close()


def alive(home: Path) -> list[int]:
    """Processes that `windvane up` noted and that still run."""
    noted = (home / "pids").read_text().split() if (home / "pids").is_file() else []
    return [int(pid) for pid in noted[1::2] if Path(f"/proc/{pid}").exists()]


def stop(bash: subprocess.Popen[bytes], home: Path) -> None:
    """Whatever is left of this run, by its own process ids."""
    if bash.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(bash.pid, signal.SIGTERM)
        try:
            bash.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(bash.pid, signal.SIGKILL)
            bash.wait(5)
    for pid in alive(home):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_the_page_promises_something_at_each_turn(steps: list[Step]) -> None:
    assert len(steps) >= 12
    assert sum(bool(step.promised) for step in steps) >= 9


def test_the_page_can_be_followed(steps: list[Step], run: Run) -> None:
    """One test, so that workers which share the tests do not follow it twice."""
    broken = {
        step.commands.splitlines()[0]: absent
        for step, message in zip(steps, run.said, strict=True)
        if (absent := missing_lines(step.promised, message))
    }
    assert broken == {}, "\n".join(run.said)[-4_000:]
    assert run.console_pages == {
        "/": 200, **dict.fromkeys(_MODELS, 200), "/incidents": 200, "/nowhere": 404,
    }  # fmt: skip
    assert run.alive_after == (), "processes are left after the page's last step"


def test_an_absent_promise_is_found() -> None:
    promised = ("version 1 is live", "value 0.5…, end", "of   order-late")
    assert missing_lines(promised, "version 1\n  is live value 0.57, end of\norder-late") == []
    assert missing_lines(("value 0.6…",), "value 0.57") == ["value 0.6…"]


def test_blocks_are_paired_with_what_follows_them() -> None:
    text = "```sh\na\n```\nthen\n```text\nA\n```\n```yaml\nx: 1\n```\n```sh\nb\n```\n"
    assert steps_of(text) == [Step("a\n", ("A",)), Step("b\n", ())]
