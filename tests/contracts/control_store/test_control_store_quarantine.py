"""What is set aside is held within its bounds, put back in order, and counted for good."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sqlalchemy as sa
from contracts.control_store.test_control_store_migrations import migrate_to

from windvane.adapters.sql import SqlControlStore
from windvane.ports.control_store import (
    Checkpoint,
    Deployment,
    ModelRecord,
    RowRejected,
    UnknownName,
)
from windvane.ports.quarantine import (
    MAX_BODY_BYTES,
    MAX_BYTES_OF_MODEL,
    MAX_ITEMS,
    MAX_ITEMS_OF_MODEL,
    MAX_MESSAGE,
    Counted,
    CountName,
    ItemKind,
    Quarantined,
)

EVENT = ItemKind.EVENT


def item(
    name: str, at: float = 1.0, model: str = "delay", body: bytes = b"\x00\xff"
) -> Quarantined:
    return Quarantined(
        name, "event", model, "AA", at, "REC-106", "é 'x'", body, len(body), f"m-w0@{name}"
    )


def ids(found: list[Quarantined]) -> list[str]:
    return [one.id for one in found]


def test_an_item_comes_back_as_it_was(store: SqlControlStore) -> None:
    with store.begin() as tx:
        assert tx.quarantined() == []
        assert tx.add_quarantined([item("a"), item("b", 2.0, "other"), item("c", 3.0)]) == [
            "a", "b", "c",
        ]  # fmt: skip
    with store.read() as tx:
        assert tx.quarantined_item("a") == item("a")
        assert tx.quarantined() == [
            replace(one, body=b"") for one in (item("c", 3.0), item("b", 2.0, "other"), item("a"))
        ]
        assert ids(tx.quarantined("delay")) == ["c", "a"]
        assert ids(tx.quarantined(limit=1)) == ["c"]
        assert tx.quarantined(kind="window") == []
        with pytest.raises(UnknownName, match="'zz'"):
            tx.quarantined_item("zz")
    with store.begin() as tx:
        assert tx.drop_quarantined(["a", "zz"]) == 1
        assert ids(tx.quarantined()) == ["c", "b"]


def test_items_are_counted_by_model(store: SqlControlStore) -> None:
    with store.begin() as tx:
        assert tx.quarantine_sizes() == {}
        tx.add_quarantined([item("a"), item("b", 2.0, "other"), item("c")])
        assert tx.quarantine_sizes() == {"delay": 2, "other": 1}


def test_an_item_that_is_there_already_is_not_counted_again(store: SqlControlStore) -> None:
    with store.begin() as tx:
        tx.add_quarantined([item("a"), item("a")])
    with store.begin() as tx:
        tx.add_quarantined([replace(item("a"), reason="REC-105", message="other")])
        assert tx.quarantined_item("a").reason == "REC-105"
        assert tx.counts() == {Counted(CountName.QUARANTINED, "event", "REC-106"): 1}


def test_any_text_is_held_on_any_dialect(store: SqlControlStore) -> None:
    odd = replace(item("a"), tenant="A\x00A", message="\ud800" + "x" * 2_000, body=b"y" * 2_000_000)
    with store.begin() as tx:
        tx.add_quarantined([replace(odd, size=2_000_000)])
        found = tx.quarantined_item("a")
        assert (found.tenant, len(found.message), len(found.body)) == (
            "A\ufffdA", MAX_MESSAGE, MAX_BODY_BYTES,
        )  # fmt: skip
        assert not found.whole
        assert tx.retry_quarantined(["a"]) == 0


def test_one_model_cannot_fill_it(store: SqlControlStore) -> None:
    beyond = Counted(CountName.NOT_HELD, "event", "REC-106")
    with store.begin() as tx:
        many = [item(f"i{i}") for i in range(MAX_ITEMS_OF_MODEL + 5)]
        assert len(tx.add_quarantined(many)) == MAX_ITEMS_OF_MODEL
        assert tx.add_quarantined([item("other", model="other")]) == ["other"]
        large = item("l", model="large", body=b"x" * MAX_BODY_BYTES)
        more = [replace(large, id=f"l{i}") for i in range(20)]
        assert len(tx.add_quarantined(more)) == MAX_BYTES_OF_MODEL // MAX_BODY_BYTES
        assert tx.counts()[beyond] == 5 + 4
        assert tx.counts()[Counted(CountName.QUARANTINED, "event", "REC-106")] == len(many) + 21


def test_all_models_together_cannot_outgrow_it(store: SqlControlStore) -> None:
    with store.begin() as tx:
        many = [item(f"i{i}", model=f"m{i % 50}") for i in range(MAX_ITEMS + 7)]
        assert len(tx.add_quarantined(many)) == MAX_ITEMS
        assert len(tx.quarantined(limit=2 * MAX_ITEMS)) == MAX_ITEMS
        assert tx.drop_quarantined([one.id for one in many]) == MAX_ITEMS


def test_what_is_put_back_has_a_place_above_all_before(store: SqlControlStore) -> None:
    with store.begin() as tx:
        tx.add_quarantined([item("late", 9.0), item("early", 2.0), item("kept", 1.0)])
        assert (tx.retrying(1 << 20, EVENT), tx.next_place()) == ([], 1)
        assert tx.retry_quarantined(["late", "early", "zz"]) == 2
        assert tx.retry_quarantined(["late"]) == 0, "it is marked already"
        found = tx.retrying(1 << 20, EVENT)
        assert [(one.id, one.place, one.status, one.body) for one in found] == [
            ("early", 1, "retry", b"\x00\xff"), ("late", 2, "retry", b"\x00\xff"),
        ]  # fmt: skip
        assert ids(tx.retrying(0, EVENT)) == ["early"], "always one"
        assert ids(tx.retrying(3, EVENT)) == ["early"]
        tx.drop_quarantined(["early", "late"])
        assert tx.next_place() == 3
        assert tx.retry_quarantined(["kept"]) == 1
        assert [one.place for one in tx.retrying(0, EVENT)] == [3]
        tx.add_quarantined([item("kept", 1.0)])
        assert tx.retrying(0, EVENT) == [], "it failed again and is held"


def test_counts_only_grow(store: SqlControlStore) -> None:
    late, lost = Counted(CountName.LATE_EVENTS, "delay"), Counted(CountName.SPOOL_LOST_BYTES)
    with store.begin() as tx:
        tx.add_counts({late: 2, lost: 0})
        tx.add_counts({late: 3, lost: 2**40})
        tx.add_counts({})
    with store.read() as tx:
        assert tx.counts() == {late: 5, lost: 2**40}


def test_a_checkpoint_says_when_it_was_seen_and_what_was_lost(store: SqlControlStore) -> None:
    mark = Checkpoint(
        "m-w0", 2**40, 1.5, seen_at=2.5, lost_bytes=7, dropped=True, logged=2**39,
        passed=((2**39, 2**39 + 5), (2**40 - 1, 2**40)), unlogged_lost=3,
    )  # fmt: skip
    with store.begin() as tx:
        tx.set_checkpoint(mark)
        tx.set_checkpoint(Checkpoint("m-w1", 0, 0.0))
        assert tx.checkpoints() == [mark, Checkpoint("m-w1", 0, 0.0)]


def test_spools_from_before_are_taken_for_seen_just_now(empty_url: str) -> None:
    """So that nothing expires because of an upgrade, and what is gone expires all the same."""
    engine = migrate_to(empty_url, "0004")
    with engine.begin() as connection:
        connection.execute(sa.text("INSERT INTO spool_marks VALUES ('m-w0', 5, 7.5)"))
    engine.dispose()
    store = SqlControlStore(empty_url)
    store.migrate()
    with store.read() as tx:
        (mark,) = tx.checkpoints()
    store.close()
    assert (mark.spool, mark.position, mark.watermark) == ("m-w0", 5, 7.5)
    assert (mark.lost_bytes, mark.dropped, mark.logged) == (0, False, 5)
    assert (mark.passed, mark.unlogged_lost) == ((), 0)
    assert mark.seen_at is not None
    assert mark.seen_at > 1.7e9


def test_a_recorder_of_the_release_before_still_writes_its_place(empty_url: str) -> None:
    engine = migrate_to(empty_url, "0010")
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO spool_marks (spool, position, watermark, lost_bytes, dropped) "
                "VALUES ('m-w0', 5, 7.5, 0, false)"
            )
        )
        assert connection.execute(sa.text("SELECT logged FROM spool_marks")).scalar_one() == 0
    engine.dispose()


def test_a_value_that_the_database_refuses_is_no_outage(store: SqlControlStore) -> None:
    bad = Deployment("delay", None)  # type: ignore[arg-type]
    with store.begin() as tx:
        tx.put_deployment(bad)  # a document may hold it
    with pytest.raises(RowRejected, match="STO-105"), store.begin() as tx:
        tx.put_model(ModelRecord("m", None, 1.0))  # type: ignore[arg-type]
