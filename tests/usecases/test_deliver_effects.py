"""Effects leave through the outbox: at least once, never twice by key, retried with patience."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from usecases.harness import MODEL, Harness

from windvane.adapters.files import FileArtifacts
from windvane.adapters.notify import AppriseNotifier
from windvane.apps.steward.lanes import Lanes
from windvane.core.alerting.delivery import DEFAULT
from windvane.core.journal import Decision, Effect
from windvane.core.verdict import Outcome, Verdict
from windvane.ports.control_store import OutboxItem
from windvane.ports.notifier import Message
from windvane.usecases.deliver_effects import deliver_effects, make_lanes
from windvane.usecases.notify_people import Outlets
from windvane.usecases.publish_routing import ALIAS, NOTIFY, routing_effects

pytestmark = pytest.mark.filterwarnings("ignore:.imghdr.:DeprecationWarning")  # apprise, on 3.11


@dataclass
class RecordingNotifier:
    """A notifier and a mirror that fail as often as they are asked to."""

    fail: int = 0
    follows: bool = False
    sent: list[str] = field(default_factory=list)

    def send(self, message: Message) -> None:
        self._try(f"{message.key} {message.title}: {message.body}")

    def mirror_alias(self, model: str, alias: str, version: str) -> None:
        self._try(f"{model}@{alias}={version}")

    def _try(self, said: str) -> None:
        if self.fail:
            self.fail -= 1
            raise ConnectionError("the other side hung up")
        self.sent.append(said)


def decide(harness: Harness, name: str, *effects: Effect) -> bool:
    verdict = Verdict(Outcome.PASS, "X-100", "said")
    decision = Decision(name, MODEL, "", "s", "a", harness.clock.now(), {}, {}, verdict, effects)
    with harness.store.begin() as tx:
        return tx.decide(decision)


def notify(title: str = "t") -> Effect:
    return Effect(NOTIFY, {"title": title, "body": "b"})


def deliver(harness: Harness, told: RecordingNotifier | None = None, notifier: Any = None) -> int:
    told = told or RecordingNotifier()
    return deliver_by(harness, Outlets({DEFAULT: notifier or told}), told)


def deliver_by(harness: Harness, outlets: Outlets, told: RecordingNotifier | None = None) -> int:
    mirror = told or RecordingNotifier()
    return deliver_effects(
        harness.store, harness.clock, harness.feed, outlets, mirror, FileArtifacts()
    )


def waiting(harness: Harness) -> list[OutboxItem]:
    with harness.store.read() as tx:
        return tx.due_effects(1e18, 1_000)


@pytest.fixture
def quiet(harness: Harness) -> Harness:
    """Nothing is waiting."""
    deliver(harness)
    assert waiting(harness) == []
    return harness


def test_each_kind_goes_to_its_port(quiet: Harness) -> None:
    with quiet.store.begin() as tx:
        publish = routing_effects(tx)
    alias = Effect(ALIAS, {"model": MODEL, "alias": "champion", "version": "2"})
    decide(quiet, "d", *publish, notify(), alias)
    told = RecordingNotifier()
    assert deliver(quiet, told) == 3
    assert told.sent == ["d#1 t: b", "delay@champion=2"]
    table = quiet.feed.latest()
    assert table is not None
    assert table.seq == publish[0].body["seq"]
    assert waiting(quiet) == []


def test_what_is_done_is_not_done_again(quiet: Harness) -> None:
    decide(quiet, "d", notify())
    told = RecordingNotifier()
    assert [deliver(quiet, told), deliver(quiet, told)] == [1, 0]
    assert len(told.sent) == 1


def test_the_same_decision_twice_never_acts_twice(quiet: Harness) -> None:
    told = RecordingNotifier()
    assert decide(quiet, "d", notify())
    assert not decide(quiet, "d", notify())
    deliver(quiet, told)
    assert not decide(quiet, "d", notify("another"))
    deliver(quiet, told)
    assert told.sent == ["d#0 t: b"]


def test_a_failure_waits_and_keeps_nobody_else(quiet: Harness) -> None:
    decide(quiet, "a", notify())
    decide(quiet, "b", notify())
    told = RecordingNotifier(fail=1)
    assert deliver(quiet, told) == 1
    (item,) = waiting(quiet)
    assert item.attempts == 1
    assert deliver(quiet, told) == 0  # not due yet
    quiet.clock.wall_at += 1.5
    assert deliver(quiet, told) == 1
    assert len(told.sent) == 2


def test_waits_double_to_five_minutes_with_jitter(quiet: Harness) -> None:
    decide(quiet, "d", notify())
    told = RecordingNotifier(fail=10**6)
    waits = []
    for _ in range(14):
        began = quiet.clock.wall_at
        deliver(quiet, told)
        low, high = 0.0, 1_000.0
        while high - low > 1e-3:
            middle = (low + high) / 2
            with quiet.store.read() as tx:
                due = tx.due_effects(began + middle, 10)
            low, high = (low, middle) if due else (middle, high)
        waits.append(high)
        quiet.clock.wall_at = began + high
    for i, wait in enumerate(waits):
        middle = min(2.0**i, 300.0)
        assert 0.5 * middle - 0.01 <= wait <= 1.5 * middle + 0.01
    assert len({round(w / min(2.0**i, 300.0), 4) for i, w in enumerate(waits)}) > 10
    (item,) = waiting(quiet)
    assert item.attempts == 14  # never given up: the queue is the table


def test_a_crash_between_doing_and_noting_tells_once(quiet: Harness) -> None:
    """The effect went out, the process died; the key keeps the second try silent."""
    journal = quiet.folder / "told.jsonl"
    decide(quiet, "d", notify())

    class DiesAfter(AppriseNotifier):
        def send(self, message: Message) -> None:
            super().send(message)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        deliver(quiet, notifier=DiesAfter(journal, []))
    assert len(waiting(quiet)) == 1
    assert deliver(quiet, notifier=AppriseNotifier(journal, [])) == 0  # claimed by who died
    quiet.clock.wall_at += 61.0
    assert deliver(quiet, notifier=AppriseNotifier(journal, [])) == 1
    assert [json.loads(line)["key"] for line in journal.read_text().splitlines()] == ["d#0"]
    assert waiting(quiet) == []


def test_an_older_table_never_replaces_a_newer(quiet: Harness) -> None:
    """A retry of an old publish after a newer one went out."""
    with quiet.store.begin() as tx:
        old, new = routing_effects(tx), routing_effects(tx)
    decide(quiet, "new", *new)
    deliver(quiet)
    decide(quiet, "old", *old)
    assert deliver(quiet) == 1
    table = quiet.feed.latest()
    assert table is not None
    assert table.seq == new[0].body["seq"]


def test_an_unknown_kind_waits_loudly(quiet: Harness, caplog: pytest.LogCaptureFixture) -> None:
    """A newer release queued it; this one must neither drop it nor stop."""
    decide(quiet, "d", Effect("teleport", {}), notify())
    told = RecordingNotifier()
    assert deliver(quiet, told) == 1
    assert [item.kind for item in waiting(quiet)] == ["teleport"]
    assert "unknown kind 'teleport'" in caplog.text


@settings(max_examples=20)
@given(st.lists(st.sampled_from(["decide", "again", "fail", "turn", "wait"]), max_size=25))
def test_every_effect_arrives_once_whatever_fails(harness_of: Any, steps: list[str]) -> None:
    with harness_of() as harness:
        told, made = RecordingNotifier(), 0
        for step in steps:
            match step:
                case "decide":
                    made += 1
                    decide(harness, f"d{made}", notify())
                case "again" if made:
                    decide(harness, f"d{made}", notify())
                case "fail":
                    told.fail += 1
                case "turn":
                    deliver(harness, told)
                case "wait":
                    harness.clock.wall_at += 700.0
        told.fail = 0
        harness.clock.wall_at += 1e6
        while deliver(harness, told):
            pass
        assert sorted(told.sent) == sorted(f"d{i + 1}#0 t: b" for i in range(made))


def test_publishing_is_not_kept_by_a_dead_notifier(quiet: Harness) -> None:
    with quiet.store.begin() as tx:
        publish = routing_effects(tx)
    decide(quiet, "d", notify(), *publish)
    assert deliver(quiet, RecordingNotifier(fail=10**6)) == 1
    table = quiet.feed.latest()
    assert table is not None
    assert table.seq == publish[0].body["seq"]
    assert [item.kind for item in waiting(quiet)] == [NOTIFY]


def test_a_retry_waits_behind_what_is_new(quiet: Harness) -> None:
    """A notifier that hangs must not come between a decision and the gateways."""
    decide(quiet, "old", notify())
    deliver(quiet, RecordingNotifier(fail=1))
    quiet.clock.wall_at += 700.0
    with quiet.store.begin() as tx:
        publish = routing_effects(tx)
    decide(quiet, "new", *publish)
    assert [item.kind for item in waiting(quiet)] == [publish[0].kind, NOTIFY]


def test_teams_that_depend_on_a_model_are_named(harness: Harness) -> None:
    with harness.store.read() as tx:
        text = tx.model(MODEL).text
    harness.apply(text + "\nconsumers: [gates, revenue]\n")
    told = RecordingNotifier()
    decide(harness, "d", notify("broken"))
    deliver(harness, told)
    assert [line for line in told.sent if "broken" in line] == [
        "d#0 broken: b\nconsumers: gates, revenue"
    ]


def test_twenty_notifiers_that_hang_keep_no_table_waiting(quiet: Harness) -> None:
    for i in range(20):
        decide(quiet, f"n{i}", notify())
    gate = threading.Event()

    class Hangs(RecordingNotifier):
        def send(self, message: Message) -> None:
            gate.wait(30.0)
            super().send(message)

    told = Hangs()
    lanes = Lanes(
        quiet.store,
        quiet.clock,
        make_lanes(
            quiet.store, quiet.clock, quiet.feed, Outlets({DEFAULT: told}), told, FileArtifacts()
        ),
        0.05,
    )
    lanes.start()
    try:
        with quiet.store.begin() as tx:
            publish = routing_effects(tx)
        decide(quiet, "rollback", *publish)
        began = time.monotonic()
        lanes.wake()
        while (table := quiet.feed.latest()) is None or table.seq != publish[0].body["seq"]:
            assert time.monotonic() - began < 2.0, "the gateways wait for the notifier"
            time.sleep(0.005)
        assert told.sent == []
    finally:
        gate.set()
        lanes.stop()
    while deliver(quiet, told):
        pass
    quiet.clock.wall_at += 61.0
    deliver(quiet, told)
    assert sorted(told.sent) == sorted(f"n{i}#0 t: b" for i in range(20))
    assert waiting(quiet) == []


def test_what_one_carries_out_another_leaves(quiet: Harness) -> None:
    decide(quiet, "d", notify(), notify())
    with quiet.store.begin([]) as tx:
        mine = tx.claim_effects((NOTIFY,), quiet.clock.wall(), 1, 60.0)
    with quiet.store.begin([]) as tx:
        others = tx.claim_effects((NOTIFY,), quiet.clock.wall(), 10, 60.0)
        none = tx.claim_effects((NOTIFY,), quiet.clock.wall() + 59.0, 10, 60.0)
        again = tx.claim_effects((NOTIFY,), quiet.clock.wall() + 61.0, 10, 60.0)
    assert [i.key for i in mine] == ["d#0"]
    assert [i.key for i in others] == ["d#1"]
    assert none == []
    assert {i.key for i in again} == {"d#0", "d#1"}
