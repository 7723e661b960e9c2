"""The audit: who called what, under which key, from when to when; every call, once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from usecases.harness import MODEL, START
from usecases.recording import RecorderHarness, denied, outcome, predicted, refused

from windvane.ports.control_store import Access
from windvane.ports.events import Predicted, SpoolRecord
from windvane.usecases.record_access import HOUR_S, accesses

# deltalake 1.6 deprecates the argument that the adapter prunes partitions by
pytestmark = pytest.mark.filterwarnings("ignore:.partition_filters.:DeprecationWarning")


def line(
    action: str, calls: int, first: float, last: float, *,
    tenant: str = "AA", key: str = "k1", model: str = MODEL, hour: float = START,
) -> Access:  # fmt: skip
    return Access(tenant, key, model, action, hour, calls, START + first, START + last)


@pytest.mark.parametrize(
    ("events", "lines"),
    [
        ([], []),
        ([predicted("a")], [line("predict", 1, 0, 0)]),
        # a request is one call, however many rows it has
        ([predicted("a", rows=500)], [line("predict", 1, 0, 0)]),
        # of outcomes each counts: they come in lists
        ([outcome("a", START + 1), outcome("b", START + 2)], [line("outcomes", 2, 1, 2)]),
        # first and last, in whatever order they come
        (
            [predicted(str(at), START + at) for at in (5, 1, 9, 3)],
            [line("predict", 4, 1, 9)],
        ),
        # an hour is its own line
        (
            [predicted("a", START + 3_599.5), predicted("b", START + 3_600)],
            [
                line("predict", 1, 3_599.5, 3_599.5),
                line("predict", 1, 3_600, 3_600, hour=START + 3_600),
            ],
        ),
        # who, under which key, and what: each apart
        (
            [predicted("a"), predicted("b", tenant="UA"), predicted("c", key="k2"), refused("d"),
             denied("e"), denied("f", code="GAT-101"), outcome("a")],
            [
                line("predict", 1, 0, 0), line("predict", 1, 0, 0, tenant="UA"),
                line("predict", 1, 0, 0, key="k2"), line("refused CON-101", 1, 0, 0),
                line("denied GAT-111", 1, 0, 0, model=""),
                line("denied GAT-101", 1, 0, 0, model=""), line("outcomes", 1, 0, 0),
            ],
        ),
        # a token's subject stands where a key's id would
        ([predicted("a", key="jwt:svc")], [line("predict", 1, 0, 0, key="jwt:svc")]),
    ],
)  # fmt: skip
def test_table(events: list[SpoolRecord], lines: list[Access]) -> None:
    assert accesses(events) == lines


MAKERS: list[Callable[..., SpoolRecord]] = [predicted, refused, outcome, denied]
CALLS = st.tuples(
    st.sampled_from(MAKERS), st.sampled_from(["AA", "UA"]), st.sampled_from(["k1", "k2"]),
    st.integers(0, 9_000),
)  # fmt: skip


@given(st.lists(CALLS, max_size=30))
def test_no_call_is_lost_or_another_ones(
    calls: list[tuple[Callable[..., SpoolRecord], str, str, int]],
) -> None:
    events = [
        make(str(i), START + at, tenant=who, key=key)
        for i, (make, who, key, at) in enumerate(calls)
    ]
    found = accesses(events)
    total: Counter[tuple[str, str]] = Counter()
    for access in found:
        total[access.tenant, access.key] += access.calls
        assert access.hour <= access.first <= access.last < access.hour + HOUR_S
    assert total == Counter((who, key) for _, who, key, _ in calls)
    assert len({(a.tenant, a.key, a.model, a.action, a.hour) for a in found}) == len(found)


# By the recorder


def test_the_recorder_adds_to_what_is_there(recording: RecorderHarness) -> None:
    recorder = recording.start()
    for at in (0, 10, 20):
        recording.write([predicted(f"r{at}", START + at), denied(f"d{at}", START + at)])
        recorder.step()
    assert recording.access() == [
        line("denied GAT-111", 3, 0, 20, model=""), line("predict", 3, 0, 20),
    ]  # fmt: skip


def test_denials_are_for_the_audit_only(recording: RecorderHarness) -> None:
    recording.write([denied("a"), denied("b", key="k2")])
    assert recording.start().step() == 0
    assert recording.sketches() == {}
    assert recording.log.counts(MODEL) == {"predictions": 0, "refusals": 0, "outcomes": 0}
    assert [(a.key, a.calls) for a in recording.access()] == [("k1", 1), ("k2", 1)]


def test_a_repeated_request_is_recorded_once_but_was_two_calls(recording: RecorderHarness) -> None:
    """Else a stolen key would be invisible to whoever sends known request ids with it."""
    recording.write([predicted("a", START, key="k1")])
    recording.start().step()
    recording.write([predicted("a", START + 5, key="stolen"), predicted("a", START + 6, key="k1")])
    recording.start().step()
    assert recording.log.counts(MODEL)["predictions"] == 1
    assert recording.total("rows") == 1
    assert recording.access() == [line("predict", 2, 0, 6), line("predict", 1, 5, 5, key="stolen")]


def test_a_restart_counts_nothing_twice(recording: RecorderHarness) -> None:
    recording.write([predicted("a"), outcome("a"), refused("b"), denied("c")])
    for _ in range(3):
        recording.start().step()
    assert [access.calls for access in recording.access()] == [1, 1, 1, 1]


def test_spools_of_all_workers_make_one_line(recording: RecorderHarness) -> None:
    for worker in range(3):
        recording.write([predicted(f"r{worker}", START + worker)], f"m-w{worker}")
    recording.start().step()
    assert recording.access() == [line("predict", 3, 0, 2)]


def test_records_from_before_keys_were_recorded_are_read(recording: RecorderHarness) -> None:
    """The release before wrote no key: its frames may still lie on the spool."""
    event = msgspec.to_builtins(predicted("a"))
    key = Predicted.__struct_fields__.index("key") + 1  # after the tag
    assert event[key] == "k1"
    recording.write([])
    recording.writers["m-w0"].append(msgspec.msgpack.encode(event[:key]))
    assert recording.start().step() == 1
    assert recording.access() == [line("predict", 1, 0, 0, key="")]
