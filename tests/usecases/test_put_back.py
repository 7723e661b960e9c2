"""Windows, notifications and files that fail are set aside, and put back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from usecases.harness import FILE, MODEL, Harness
from usecases.test_deliver_effects import RecordingNotifier, decide, deliver, notify, waiting

from windvane.ports.control_store import ModelRecord, WindowVerdict
from windvane.ports.quarantine import MAX_BODY_BYTES, Counted, CountName, ItemKind, Quarantined
from windvane.usecases import judge_windows as judging
from windvane.usecases.apply_model import apply_model
from windvane.usecases.judge_again import judge_again
from windvane.usecases.monitors import MONITORS, Judged
from windvane.usecases.put_back import forget, put_back
from windvane.usecases.set_aside import content_of_item

REFUSALS = next(m for m in MONITORS if m.name == "refusals")


class Broken:
    """The monitor of refusals, with a fault."""

    def __getattr__(self, name: str) -> Any:
        return getattr(REFUSALS, name)

    def look(self, *_: Any) -> Iterator[Judged]:
        raise ZeroDivisionError("a fault")


def held(harness: Harness, kind: ItemKind) -> list[Quarantined]:
    with harness.store.read() as tx:
        return [tx.quarantined_item(i.id) for i in tx.quarantined(kind=kind)]


def back(harness: Harness) -> int:
    with harness.store.begin() as tx:
        return put_back(
            tx, harness.clock, [i.id for i in tx.quarantined()], by="user:ana", reason="mended"
        )


def verdicts(harness: Harness, monitor: str, start: float) -> list[WindowVerdict]:
    with harness.store.read() as tx:
        found = tx.verdicts(MODEL, monitor, start, 1_000)
    return [row for row in found if row.start == start]


@pytest.fixture
def failed(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> Harness:
    """Twelve quiet windows; then one that a monitor fails on, and one that it does not."""
    harness.put("1")
    for index in range(12):
        harness.traffic(index)
        harness.judge()
    faulty = [Broken() if m is REFUSALS else m for m in MONITORS]
    with monkeypatch.context() as patched:
        patched.setattr(judging, "MONITORS", faulty)
        harness.traffic(12, refused={"AA": 3})
        harness.judge()
    harness.traffic(13)
    harness.judge()
    return harness


def test_a_window_that_a_monitor_fails_on_is_set_aside_once(failed: Harness) -> None:
    (item,) = held(failed, ItemKind.WINDOW)
    assert (item.model, item.reason) == (MODEL, "WIN-102")
    assert "ZeroDivisionError: a fault" in item.message
    said = content_of_item(item)
    assert isinstance(said, dict)
    assert (said["monitor"], said["champion"]) == ("refusals", "1")
    with failed.store.read() as tx:
        assert tx.counts()[Counted(CountName.QUARANTINED, "window", "WIN-102")] == 1
    assert {row.outcome for row in verdicts(failed, "refusals", item.at)} == {"error"}
    others = [m.name for m in MONITORS if verdicts(failed, m.name, item.at)]
    assert len(others) > 1, "the others judged it"


def test_put_back_it_is_judged_for_the_record_alone(failed: Harness) -> None:
    (item,) = held(failed, ItemKind.WINDOW)
    with failed.store.read() as tx:
        states, progress = tx.monitor_states([MODEL]), tx.progress([MODEL])
    assert judge_again(failed.store, failed.log, failed.shards) == 0, "nobody put it back"
    assert back(failed) == 1
    decisions = failed.decisions()
    assert judge_again(failed.store, failed.log, failed.shards) == 1
    assert held(failed, ItemKind.WINDOW) == []
    rows = verdicts(failed, "refusals", item.at)
    assert rows
    assert all(row.outcome != "error" for row in rows)
    with failed.store.read() as tx:
        assert (tx.monitor_states([MODEL]), tx.progress([MODEL])) == (states, progress)
    assert failed.decisions() == decisions


def test_what_cannot_be_judged_again_is_held_and_says_why(failed: Harness) -> None:
    failed.add_version("9")
    with failed.store.begin() as tx:
        live = tx.deployment(MODEL)
        assert live is not None
        tx.put_deployment(replace(live, champion="9", previous="1"))
    back(failed)
    assert judge_again(failed.store, failed.log, failed.shards) == 1
    (item,) = held(failed, ItemKind.WINDOW)
    assert "version 1 served then, version 9 does now" in item.message
    assert judge_again(failed.store, failed.log, failed.shards) == 0, "until it is put back again"


def test_a_notification_that_fails_for_a_day_waits_for_somebody(harness: Harness) -> None:
    deliver(harness)
    decide(harness, "d", notify("late"))
    told = RecordingNotifier(fail=10_000)
    began, tries = harness.clock.wall_at, 0
    while not held(harness, ItemKind.NOTIFICATION):
        deliver(harness, told)
        harness.clock.wall_at += 450.0  # as long as it may wait
        tries += 1
        assert tries < 400
    assert harness.clock.wall_at - began > 12 * 3_600
    (item,) = held(harness, ItemKind.NOTIFICATION)
    assert "the other side hung up" in item.message
    told.fail = 0
    assert deliver(harness, told) == 0, "it is not tried any more"
    assert back(harness) == 1
    assert held(harness, ItemKind.NOTIFICATION) == []
    deliver(harness, told)
    assert told.sent == ["d#0 late: b"]


def test_a_notification_that_is_forgotten_is_never_sent(harness: Harness) -> None:
    deliver(harness)
    decide(harness, "d", notify("late"))
    told = RecordingNotifier(fail=10_000)
    while not (items := held(harness, ItemKind.NOTIFICATION)):
        deliver(harness, told)
        harness.clock.wall_at += 450.0  # as long as it may wait
    with harness.store.begin() as tx:
        assert forget(tx, harness.clock, [items[0].id], by="user:ana", reason="late") == 1
    assert waiting(harness) == []
    with harness.store.read() as tx:
        (found,) = (one for one in tx.decisions("", 9) if one.subject == "quarantine")
    assert (found.action, found.model, found.reason) == ("forget", "", "late")


def test_a_notification_that_is_cut_is_forgotten_and_never_put_back(harness: Harness) -> None:
    cut = Quarantined("n", ItemKind.NOTIFICATION, MODEL, "", 1.0, "NOT-101", "", b'{"key": "d',
                      MAX_BODY_BYTES + 1, "d#0")  # fmt: skip
    with harness.store.begin() as tx:
        tx.add_quarantined([cut])
    assert back(harness) == 0
    assert [item.id for item in held(harness, ItemKind.NOTIFICATION)] == ["n"]
    with harness.store.begin() as tx:
        assert forget(tx, harness.clock, ["n"], by="user:ana", reason="cut") == 1


def test_a_damaged_item_stops_nobody_and_stays_held(harness: Harness) -> None:
    body = b'{"key":"zz'
    items = [
        Quarantined(kind, kind, MODEL, "", 1.0, "X-1", "", body, len(body), kind)
        for kind in (ItemKind.WINDOW, ItemKind.NOTIFICATION)
    ]
    with harness.store.begin() as tx:
        tx.add_quarantined(items)
    assert back(harness) == 1
    assert judge_again(harness.store, harness.log, harness.shards) == 1
    (window,) = held(harness, ItemKind.WINDOW)
    assert (window.status, "DecodeError" in window.message) == ("held", True)
    assert len(held(harness, ItemKind.NOTIFICATION)) == 1


def test_a_file_that_cannot_be_read_any_more_is_held_until_it_can(harness: Harness) -> None:
    harness.put("1")
    with harness.store.begin() as tx:
        tx.put_model(ModelRecord(MODEL, "model: [", harness.clock.now()))
    harness.traffic(0)
    harness.judge()
    harness.judge()
    (item,) = held(harness, ItemKind.FILE)
    assert (item.model, item.body) == (MODEL, b"model: [")
    with harness.store.read() as tx:
        assert tx.counts()[Counted(CountName.QUARANTINED, "file", item.reason)] == 1
    assert back(harness) == 0, "it cannot be read yet"
    assert held(harness, ItemKind.FILE) != []
    with harness.store.begin() as tx:
        tx.put_model(ModelRecord(MODEL, FILE, harness.clock.now()))
    assert back(harness) == 1
    assert held(harness, ItemKind.FILE) == []
    with harness.store.read() as tx:
        found = tx.decisions(MODEL, 1)[0]
    assert (found.action, found.actor, found.reason) == ("put-back", "user:ana", "mended")
    assert found.verdict.sentence == "what was set aside is put back: 1 file"
    assert found.facts["items"] == [item.id]


def test_a_file_that_is_applied_anew_ends_it(harness: Harness) -> None:
    harness.put("1")
    with harness.store.begin() as tx:
        tx.put_model(ModelRecord(MODEL, "model: [", harness.clock.now()))
    harness.traffic(0)
    harness.judge()
    assert held(harness, ItemKind.FILE) != []
    apply_model(harness.store, harness.clock, FILE)
    assert held(harness, ItemKind.FILE) == []
