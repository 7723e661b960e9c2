"""Which gateways took a change: waited for, and said."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from windvane.apps.cli.changes import TAKEN_WITHIN_S, Worker, await_taken, taken_sentence


def test_it_waits_until_all_have_it() -> None:
    looks = [[Worker("a", 4), Worker("b", 3)], [Worker("a", 4), Worker("b", 5)]]
    paused: list[float] = []
    seen = await_taken(lambda: looks[len(paused)], 4, now=lambda: 0.0, pause=paused.append)
    assert taken_sentence(seen, 4) == "2 of 2 have taken it"
    assert len(paused) == 1


def test_it_waits_no_longer_than_it_says() -> None:
    at = [0.0]

    def pause(seconds: float) -> None:
        at[0] += seconds

    seen = await_taken(lambda: [Worker("a", 4), Worker("b", 3)], 4, now=lambda: at[0], pause=pause)
    assert TAKEN_WITHIN_S <= at[0] < TAKEN_WITHIN_S + 1.0
    sentence = taken_sentence(seen, 4)
    assert sentence.startswith("1 of 2 have taken it; not yet after 5 s: b.")


def test_nobody_is_waited_for_where_nobody_runs() -> None:
    def pause(_: float) -> None:
        raise AssertionError("nobody to wait for")

    assert "none runs on this home" in taken_sentence(await_taken(list, 4, pause=pause), 4)


@given(st.lists(st.integers(0, 9), min_size=1), st.integers(0, 9))
def test_the_numbers_add_up(seqs: Sequence[int], seq: int) -> None:
    workers = [Worker(f"gateway-{i}", n) for i, n in enumerate(seqs)]
    sentence = taken_sentence(workers, seq)
    late = [w.name for w in workers if w.seq < seq]
    assert sentence.startswith(f"{len(workers) - len(late)} of {len(workers)} ")
    assert all(name in sentence for name in late)
