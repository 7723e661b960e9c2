"""The commands of the pages on how to do things, run as they stand on one home, one page after
the other. What a page cannot know (the id of a key or an incident, a folder) is put in its place.
"""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docs.documented as d
import msgspec
import pytest
from apps.gateway.live import live
from docs.test_tutorial import missing_lines
from docs.test_use_your_client import CONTRACT
from inference.harness import route

from windvane.adapters.sql import SqlControlStore
from windvane.core.authorization import parse_grants
from windvane.core.journal import Decision
from windvane.core.routing import KeyEntry
from windvane.core.sketch import Layout, NumericAxis
from windvane.core.verdict import RateFacts, RatePolicy, RateState
from windvane.core.verdict.rate import judge_rate
from windvane.ports.control_store import (
    Deployment,
    Incident,
    KeyRecord,
    ModelRecord,
    VersionRecord,
)
from windvane.ports.users import UserRecord
from windvane.usecases.monitors.refusals import CODES

MODEL = "order-late"
INCIDENT = "order-late-tenant-b14f714c9c"
KEY = "5f0c9a1d22be"
BEGAN = 1_795_271_370.0
DECISION = f"{MODEL}/refusals/tenant:default/1795271370/began"
EXAMPLE = d.DOCS.parent / "examples" / "first-model" / "model.yaml"
_WITHIN_S = 120.0
_STEP = re.compile(
    r"^```sh\n(.*?)^```$(?:\n\n```text\n(.*?)^```$)?", re.MULTILINE | re.DOTALL
)  # what is printed stands right below
pytestmark = pytest.mark.timeout(400)


@dataclass(frozen=True)
class Page:
    """``instead``: what stands in the place of what; ``elsewhere``: how commands begin that are
    not run here, and why; ``typed``: what a person types at the terminal; ``fed``: the line that
    standard input has, where there is no terminal."""

    name: str
    instead: Mapping[str, str] = field(default_factory=dict)
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    typed: str = ""
    fed: str = ""


# In this order: the last takes the model away.
PAGES = (
    Page("read-an-incident", {" ID": f" {INCIDENT}", " MODEL": f" {MODEL}"}),
    Page("set-slos"),
    Page("limit-tenants", {"fraud": MODEL}),
    Page("issue-keys", elsewhere={"curl": "a console is needed: test_admin calls the route"}),
    Page("sign-in-and-roles", fed="a few words that are long"),
    Page(
        "back-up-and-restore",
        {
            "/var/backups/windvane": "backups", "/srv/windvane-new": "restored",
            "windvane-20261129T091045Z.tar": "windvane-*.tar",
        },
        {
            "windvane up": "processes: test_back_up_and_restore starts them",
            "windvane restore FILE --home NEW --store": "of PostgreSQL: test_back_up_and_restore",
        },
    ),
    Page("act-on-a-model", {"INCIDENT": INCIDENT}, typed="y\n" * 4),
)  # fmt: skip


def refusals() -> Decision:
    """As the monitor of a tenant's refused requests records them."""
    facts = RateFacts("tenant default", BEGAN, 41, 1, RateState())
    policy = RatePolicy(0.05, 4_800.0, CODES, "refused")
    verdict, _ = judge_rate(facts, policy, BEGAN)
    made: Any = msgspec.to_builtins
    return Decision(
        DECISION, MODEL, "rate", "Refusals", "notify", BEGAN, made(policy), made(facts), verdict
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One installation for all pages: a model with two versions, an open incident and the
    decision behind it, a user and a key."""
    folder = tmp_path_factory.mktemp("howtos") / ".windvane"
    folder.mkdir(0o700)
    (folder / "windvane.yaml").touch(0o600)
    (folder.parent / "model.yaml").write_text(EXAMPLE.read_text())
    store = SqlControlStore(f"sqlite:///{folder / 'control.db'}")
    store.migrate()
    layout = Layout((NumericAxis("output", (0.5,)),))
    decision = refusals()
    with store.begin() as tx:
        tx.put_model(ModelRecord(MODEL, EXAMPLE.read_text(), BEGAN))
        tx.put_layout(layout)
        for version in ("1", "2"):
            tx.add_version(VersionRecord(MODEL, version, "", "", layout.id, (), {}, {}, b"", BEGAN))
        tx.put_deployment(Deployment(MODEL, "2", previous="1"))
        title = decision.verdict.sentence
        tx.put_incident(
            Incident(
                INCIDENT, MODEL, "tenant:default", "tenant", "medium", title, BEGAN, BEGAN, None,
                "shop", "docs/runbooks/",
            )
        )  # fmt: skip
        tx.decide(decision)
        tx.put_user(UserRecord("admin", "", parse_grants(["admin"]), BEGAN, BEGAN))
        tx.put_key(KeyRecord(KeyEntry("0" * 64, "acme", KEY), "checkout", BEGAN))
    store.close()
    return folder


def follow(page: Page, home: Path) -> list[tuple[str, Sequence[str], str]]:
    """Each block that ran, what the page promises of it and what it printed. Raises
    AssertionError where a command failed."""
    steps = _STEP.findall(d.page(f"howto/{page.name}.md"))
    blocks = [_runnable(page, commands) for commands, _ in steps]
    script = "\n".join(
        f'windvane() {{ "{sys.executable}" -m windvane.apps.cli.main "$@"; }}\nset -e'.splitlines()
        + [f"{block}\necho '=== end of block {i} ==='" for i, block in enumerate(blocks)]
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("WINDVANE")}
    ours, theirs = pty.openpty() if page.typed else (-1, -1)
    try:
        if page.typed:
            os.write(ours, page.typed.encode())
        fed = f"yes '{page.fed}' | " if page.fed else ""
        done = subprocess.run(
            ["bash", "-c", f"{fed}bash -c \"$SCRIPT\""],
            cwd=home.parent, stdin=theirs if page.typed else subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=_WITHIN_S,
            check=False, env={**environment, "SCRIPT": script},
        )  # fmt: skip
    finally:
        for descriptor in (ours, theirs) if page.typed else ():
            os.close(descriptor)
    assert done.returncode == 0, f"{page.name}:\n{done.stdout[-3_000:]}"
    parts = re.split(r"=== end of block \d+ ===\n", done.stdout)
    return [
        (block, promised.splitlines(), said)
        for block, (_, promised), said in zip(blocks, steps, parts, strict=False)
    ]


def _runnable(page: Page, commands: str) -> str:
    kept = [
        line
        for line in re.sub(r"\\\n\s*", " ", commands).splitlines()
        if not any(line.startswith(begin) for begin in page.elsewhere)
    ]
    text = "\n".join(kept)
    for given, other in page.instead.items():
        text = text.replace(given, other)
    return text


def test_the_pages_can_be_followed(home: Path) -> None:
    """One test, so that workers which share the tests make one home."""
    for page in PAGES:
        ran = follow(page, home)
        assert any("windvane " in block for block, _, _ in ran), page.name
        for block, promised, said in ran:
            told = said.replace(INCIDENT, "inc-order-late")
            assert missing_lines(promised, told) == [], f"{page.name}: {block}\n{said}"
    store = SqlControlStore(f"sqlite:///{home / 'control.db'}")
    with store.read() as tx:
        assert [model.name for model in tx.models()] == [], "the last page deletes the model"
        assert [user.name for user in tx.users()] == ["admin"]
        acted = {decision.action for decision in tx.decisions(MODEL, 50)}
    store.close()
    assert acted >= {"acknowledge", "close_incident", "silence", "off", "on", "undeploy"}, acted
    assert (home.parent / "restored" / "control.db").is_file()


def test_what_is_not_run_is_there_and_said_why() -> None:
    for page in PAGES:
        text = d.page(f"howto/{page.name}.md")
        for begin, why in page.elsewhere.items():
            assert f"\n{begin}" in text, f"{page.name}: {begin} is gone"
            assert len(why) > 10


def test_outcomes_are_sent_as_the_page_shows() -> None:
    def prepare(harness: Any) -> None:
        harness.predictor(model=MODEL).answers = lambda row: row[0] / 10

    steps = _STEP.findall(d.page("howto/send-outcomes.md"))
    with live(route(MODEL, contract=CONTRACT), prepare=prepare, bound=(MODEL, "wv_acme")) as found:
        for commands, _ in steps:
            command = commands.replace("127.0.0.1:8700", f"127.0.0.1:{found.port}")
            done = subprocess.run(
                ["bash", "-euc", command], capture_output=True, text=True, timeout=60, check=False,
                env={"PATH": os.environ["PATH"], "KEY": "wv_acme"},
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            assert '"error"' not in done.stdout, done.stdout
        outcome = found.harness.spool.events[-1]
    assert len(steps) == 2
    assert (outcome.prediction_id, outcome.value) == ("order-1001", 1.0)
