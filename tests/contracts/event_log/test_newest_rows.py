"""The log from the newest row back: in pages, by filters, with outcomes, within its time."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from contracts.event_log.rows import DAY, NARROW, Place, append, outcome, predicted, refused

from windvane.adapters.delta import DeltaEventLog
from windvane.ports.event_log import (
    LogKind,
    LogTooSlow,
    LogUnavailable,
    NewestRows,
    RowFilter,
    RowPlace,
)

DAY_S = 86_400.0
END = DAY + 10 * DAY_S


def newest(
    log: DeltaEventLog,
    kind: LogKind = "predictions",
    *,
    since: float = 0.0,
    until: float = END,
    before: RowPlace | None = None,
    limit: int = 100,
    within_s: float = 30.0,
    model: str = "delay",
    **where: str,
) -> NewestRows:
    return log.newest(
        kind, model, NARROW, since, until, RowFilter(**where),
        before=before, limit=limit, within_s=within_s,
    )  # fmt: skip


def names(found: NewestRows) -> list[str]:
    return [row["prediction_id"] for _, row in found.rows]


def test_an_empty_log_has_nothing_more(log: DeltaEventLog) -> None:
    found = newest(log)
    assert (list(found.rows), found.searched_to, found.more) == ([], 0.0, False)


def test_pages_go_back_over_days_and_have_every_row_once(log: DeltaEventLog) -> None:
    events = [predicted(f"p{i}", DAY + i * DAY_S / 3, rows=1 + i % 2) for i in range(10)]
    append(log, [*events, predicted("other", DAY, model="another")])
    whole = newest(log, limit=1_000)
    assert not whole.more
    forwards = log.rows(
        "predictions", "delay", NARROW, 0.0, END, tenant="", after=None, limit=1_000, within_s=30.0
    )
    assert [place for place, _ in whole.rows] == [place for place, _ in forwards][::-1]

    paged: list[str] = []
    before: RowPlace | None = None
    for _ in range(20):
        page = newest(log, before=before, limit=4)
        paged += names(page)
        if not page.more:
            break
        assert len(page.rows) == 4
        before = page.rows[-1][0]
        assert page.searched_to == before.ts_us / 1e6
    assert paged == names(whole)


def test_the_span_is_half_open(log: DeltaEventLog) -> None:
    append(log, [predicted(f"p{i}", DAY + i) for i in range(5)])
    assert names(newest(log, since=DAY + 1, until=DAY + 3)) == ["p2", "p1"]


def test_filters_say_what_a_kind_has(log: DeltaEventLog) -> None:
    append(
        log,
        [
            predicted("a", DAY, routed="1"),
            predicted("b", DAY + 1, routed="2", answered="1", request_id="mine"),
            predicted("c", DAY + 2, routed="2", answered="2", tenant="UA"),
            refused("d", DAY + 3),
            outcome("a", 1.0, DAY + 4),
        ],
    )
    assert names(newest(log)) == ["c", "b", "a"]
    assert names(newest(log, tenant="UA")) == ["c"]
    assert names(newest(log, version="1")) == ["b", "a"]
    assert names(newest(log, version="2")) == ["c", "b"]
    assert names(newest(log, request="mine")) == ["b"]
    assert names(newest(log, request="a")) == ["a"]
    assert names(newest(log, tenant="AA' OR ''='")) == []
    assert names(newest(log, code="CON-101")) == [], "a prediction has no code"
    assert names(newest(log, "refusals", code="CON-101")) == ["d"]
    assert names(newest(log, "refusals", code="CON-102")) == []
    assert names(newest(log, "outcomes", request="a")) == ["a"]
    assert names(newest(log, "outcomes", version="1")) == []


def test_predictions_have_their_latest_outcome_or_none(log: DeltaEventLog) -> None:
    append(
        log,
        [
            predicted("a", DAY),
            predicted("b", DAY + 1, request_id="mine"),
            predicted("c", DAY + 2, request_id="twice"),
            predicted("d", DAY + 3, request_id="twice"),
            predicted("e", DAY + 4, tenant="UA"),
            outcome("a", 0.0, DAY + 10),
            outcome("a", 1.0, DAY + 20),
            outcome("mine", 1.0, DAY + DAY_S),
            outcome("twice", 1.0, DAY + 30),
            outcome("e", 1.0, DAY + 30),  # of another tenant
        ],
    )
    told = {row["prediction_id"]: row for _, row in newest(log, limit=10).rows}
    assert {name: row["outcome"] for name, row in told.items()} == {
        "a": [1.0], "b": [1.0], "c": None, "d": None, "e": None,
    }  # fmt: skip
    assert told["a"]["outcome_ts"] == DAY + 20
    assert told["a"]["features"] == {"x": 1.5, "kind": "a"}
    page = newest(log, limit=1, until=DAY + 3)
    assert [row["outcome"] for _, row in page.rows] == [None], "a page alone knows of both"


def test_what_takes_too_long_is_said_so(log: DeltaEventLog) -> None:
    append(log, [predicted(f"p{i}", DAY + i) for i in range(50)])
    with pytest.raises(LogTooSlow, match="no row within"):
        newest(log, within_s=0.0)


def test_a_storage_that_is_gone_is_said_so(tmp_path: Path) -> None:
    place = Place(str(tmp_path / "log"), {})
    log = place.open()
    append(log, [predicted("a", DAY), outcome("a", 1.0)])
    assert names(newest(log)) == ["a"]
    shutil.move(tmp_path / "log", tmp_path / "away")
    with pytest.raises(LogUnavailable, match="the log cannot be read"):
        newest(log)
    with pytest.raises(LogUnavailable):
        log.scored("delay", NARROW, DAY, DAY + 9, within_s=30.0)
    shutil.move(tmp_path / "away", tmp_path / "log")
    assert names(newest(log)) == ["a"]


def test_scored_rows_may_be_the_newest_only(log: DeltaEventLog) -> None:
    append(log, [predicted(f"p{i}", DAY + i, output=i / 10) for i in range(6)])
    append(log, [outcome(f"p{i}", i % 2, DAY + 9) for i in range(6)], "m/w1")
    (found,) = log.scored("delay", NARROW, DAY, DAY + 9, limit=2, within_s=30.0)
    assert found.outputs[0].tolist() == [0.5, 0.4]
