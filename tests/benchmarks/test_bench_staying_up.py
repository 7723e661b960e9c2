"""The pure parts: what is read off the wire, what it comes to, what it is held to."""

from __future__ import annotations

import json
import math
import socketserver
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper
from results import Measure, mid_ratio, quieter, ratio
from staying_up.answers import Answers, Seen, from_arrays, middle, see, to_arrays
from staying_up.beside import beside_measures
from staying_up.budget import Case, budget_measures
from staying_up.gateway import read_metrics
from staying_up.homes import changed
from staying_up.load import with_header, write_texts
from staying_up.neighbour import neighbour_measures
from staying_up.overload import connection_measures, wrong_refusals
from staying_up.plan import Found
from staying_up.slow_model import slow_graph
from staying_up.streams import Stream, due_times, read_head, read_requests, run
from staying_up.swap import all_of, swap_found


def answers(
    status: Sequence[int], ms: Sequence[float] = (), *, retry: bool = True, marked: int = 0
) -> Answers:
    """One request a second; of the last ``marked`` the body has the mark."""
    count = len(status)
    due = np.arange(count, dtype=np.float64)
    flags = np.arange(count) >= count - marked
    latency = np.array(ms or [1.0] * count)
    return Answers(
        due, due + 0.001, latency, np.array(status, np.int16), np.full(count, retry), flags
    )


def seen(
    answered: float = 100.0, p99: float = 2.0, *, rate: float = 2_000.0, **counts: int
) -> Seen:
    return Seen("part", "case", rate, answered, 1.0, p99, 3.0, **counts)


def values(measures: Sequence[Measure]) -> list[float]:
    return [m.value for m in measures]


def test_each_answer_is_of_one_kind() -> None:
    found = answers([200, 429, 503, 504, 500, 0, 401], [1, 2, 3, 4, 5, math.inf, 7])
    assert [len(found.ok), len(found.refused), len(found.admitted), len(found.failed)] == [
        1, 2, 2, 3,
    ]  # fmt: skip
    assert found.admitted.quantile_ms(1.0) == 4.0
    assert found.quantile_ms(1.0) == math.inf
    assert math.isnan(found.between(99, 100).quantile_ms(0.5))


def test_goodput_is_what_came_in_time() -> None:
    found = answers([200, 200, 200, 503], [99.0, 100.0, 101.0, 1.0])
    assert len(found.within(100.0)) == 2


def test_a_window_has_its_beginning_and_not_its_end() -> None:
    assert answers([200] * 5).between(1.0, 3.0).due_s.tolist() == [1.0, 2.0]


def test_what_a_client_saw() -> None:
    line = see("part", "case", answers([200, 200, 503, 504, 0], [1, 3, 9, 9, math.inf]), 5.0)
    assert (line.rate, line.answered, line.p50_ms, line.max_ms) == (1.0, 0.4, 3.0, 3.0)
    assert (line.refused, line.late, line.failed) == (1, 1, 1)
    json.dumps(line.to_dict(), allow_nan=False)
    json.dumps(see("part", "case", answers([0], [math.inf]), 1.0).to_dict(), allow_nan=False)


def test_the_median_hides_no_failure() -> None:
    found = middle([seen(p99=1.0, failed=1), seen(p99=9.0), seen(p99=3.0, refused=2)])
    assert (found.p99_ms, found.failed, found.refused) == (3.0, 1, 2)
    assert mid_ratio([(3.0, 1.0), (1.0, 1.0), (4.0, 2.0)]) == 2.0
    assert math.isnan(mid_ratio([(math.nan, 1.0), (1.0, 1.0), (2.0, 1.0)]))
    assert math.isnan(mid_ratio([(1.0, 0.0)]))
    assert math.isnan(mid_ratio([]))
    assert math.isnan(ratio(1.0, 0.0))


def test_turns_of_which_the_hypervisor_took_more_than_of_the_middle_one_do_not_count() -> None:
    def turn(one: float, other: float) -> tuple[Seen, Seen]:
        return replace(seen(), stolen=one), replace(seen(), stolen=other)

    turns = [turn(0.0, 0.3), turn(0.02, 0.0), turn(0.1, 0.1), turn(0.01, 0.01)]
    assert quieter(turns) == [turns[1], turns[3]]
    still = [turn(0.0, 0.0)] * 4
    assert quieter(still) == still
    assert quieter([]) == []


def test_answers_survive_the_way_between_processes() -> None:
    one, two = answers([200, 503]), answers([0])
    back = from_arrays(to_arrays([one, two]), 1)
    assert (back.status.tolist(), back.due_s.tolist()) == ([0], [0.0])


def test_a_load_that_is_behind_says_so() -> None:
    assert answers([200] * 100).behind_ms == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", (200, 40, False, False)),
        (b"HTTP/1.1 503 X\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
         (503, 72, True, True)),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n", None),
    ],
)  # fmt: skip
def test_heads(head: bytes, expected: object) -> None:
    assert read_head(head) == expected


def test_requests_come_again_after_the_last(tmp_path: Path) -> None:
    path = tmp_path / "requests"
    path.write_bytes(b"".join(len(r).to_bytes(4, "little") + r for r in (b"a", b"bb", b"ccc")))
    assert read_requests(path, 2, 3) == [b"ccc", b"a", b"bb"]


def test_a_header_more(tmp_path: Path) -> None:
    text = with_header(b"POST / HTTP/1.1\r\nHost: a\r\n\r\n{}", "X-Request-Deadline: 9s")
    assert text == b"POST / HTTP/1.1\r\nX-Request-Deadline: 9s\r\nHost: a\r\n\r\n{}"
    write_texts(tmp_path / "requests", [text, b"x"])
    assert read_requests(tmp_path / "requests", 0, 2) == [text, b"x"]


def test_one_request_in_each_interval() -> None:
    stream = Stream(1, "", 0, 50.0, 1, 2.0)
    due = due_times(stream, 0)
    assert (due * 50.0).astype(int).tolist() == list(range(100))
    assert not np.allclose(due, due_times(stream, 1))


class Moody(socketserver.StreamRequestHandler):
    """Answers, asks to close, refuses, hangs up; in turn by the number in the request."""

    def handle(self) -> None:
        while line := self.rfile.readline():
            number = int(line.split()[1][1:])
            while self.rfile.readline().strip():
                pass
            if number % 4 == 3:
                return
            extra = (b"", b"connection: close\r\n", b"retry-after: 1\r\n")[number % 4]
            status = b"503 Later" if number % 4 == 2 else b"200 OK"
            body = b'{"version":"%d"}' % (number // 20)
            length = b"content-length: %d\r\n" % len(body)
            self.wfile.write(b"HTTP/1.1 %b\r\n%b%b\r\n%b" % (status, extra, length, body))
            if number % 4 == 1:
                return


@pytest.fixture
def moody() -> Iterator[int]:
    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Moody) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_every_request_of_every_stream_is_accounted_for(moody: int, tmp_path: Path) -> None:
    path = tmp_path / "requests"
    texts = [b"GET /%d HTTP/1.1\r\n\r\n" % i for i in range(40)]
    path.write_bytes(b"".join(len(r).to_bytes(4, "little") + r for r in texts))
    one = Stream(moody, str(path), 0, 400.0, 4, 0.1, mark='"version":"1"')
    two = Stream(moody, str(path), 4, 100.0, 1, 0.04)
    first, second = run([one, two])
    assert first.status.tolist() == [200, 200, 503, 0] * 10
    assert first.retry_after.tolist() == [False, False, True, False] * 10
    assert first.marked.tolist() == [False] * 20 + [True, True, True, False] * 5
    assert np.isinf(first.latency_ms[3::4]).all()
    assert (first.latency_ms[first.status > 0] > 0.0).all()
    assert (first.sent_s >= first.due_s).all()
    assert second.status.tolist() == [200, 200, 503, 0]


def test_the_noisy_neighbour() -> None:
    alone, beside, flood = [seen(500.0, 2.0)], [seen(500.0, 2.2)], [seen(100.0)]
    assert values(neighbour_measures(alone, beside, flood)) == pytest.approx([1.1, 0.0, 1.0])
    # A slow moment of the machine is slow for both of its turn.
    slow = neighbour_measures(
        [*alone, seen(500.0, 20.0), *alone], [*beside, seen(500.0, 23.0), *beside], flood * 3
    )
    assert slow[0].value == pytest.approx(1.1)
    stolen = [*beside, *[replace(seen(500.0, 40.0), stolen=0.1)] * 2, *beside]
    taken = neighbour_measures(alone * 4, stolen, flood * 4)
    assert taken[0].value == pytest.approx(1.1)
    hurt = neighbour_measures(alone, [seen(490.0, 2.5, late=3)], [seen(103.0)])
    assert [m.ok for m in hurt] == [False] * 3
    weak = neighbour_measures(alone, beside, [seen(100.0, rate=1_500.0)])
    assert all(math.isnan(value) for value in values(weak))


def test_overload() -> None:
    assert wrong_refusals(answers([200, 503, 504])) == 0
    assert wrong_refusals(answers([503, 503], retry=False)) == 2
    assert wrong_refusals(answers([500, 0, 429, 401])) == 4
    held = connection_measures([seen(5_000.0, 15.0)], [seen(4_600.0, 90.0)])
    assert values(held) == pytest.approx([0.92, 0.18])
    assert not any(m.ok for m in connection_measures([seen()], [seen(failed=1)]))


def test_slow_beside_fast() -> None:
    alone, together = [seen(p99=2.0)], [seen(p99=3.0)]
    assert values(beside_measures(alone, together, [seen()])) == [1.5]
    assert not beside_measures(alone, together, [seen(0.0)])[0].ok
    assert not beside_measures(alone, [seen(p99=3.0, failed=1)], [seen()])[0].ok


def test_a_swap_that_nobody_noticed() -> None:
    moments = (0.0, 4.0, 7.0, 10.0)
    found = swap_found(answers([200] * 10, marked=5), 2, moments)
    assert values(found.measures) == [0.0, 0.0, 1.0, 0.0]
    assert [line.answered for line in found.seen] == [1.0] * 3
    slow = swap_found(
        answers([200] * 6 + [0] + [503] * 3, [1] * 5 + [101, 1] + [1] * 3), 2, moments
    )
    assert math.isnan(slow.measures[0].value)
    marked = answers([200, 200, 200, 200, 0, 200, 200, 0, 200, 200], [1] * 6 + [101] + [1] * 3)
    marked.marked[6:] = True
    assert values(swap_found(marked, 2, moments).measures) == [1.0, 2.0, 101.0, 1.0]
    assert math.isnan(swap_found(marked, 1, moments).measures[3].value)


def test_several_swaps_are_one() -> None:
    def run(failed: float, worse: float, share: float) -> Found:
        measures = [Measure("failed", failed, at_most=0.0), Measure("p99", worse, at_most=2.0)]
        return Found(measures, [seen(p99=worse)], [share])

    found = all_of([run(0.0, 1.0, 0.1), run(2.0, 9.0, 0.2), run(1.0, 1.5, 0.3)])
    assert values(found.measures) == [3.0, 1.5]
    assert [line.p99_ms for line in found.seen] == [1.5]
    assert found.others == [0.1, 0.2, 0.3]
    unknown = all_of([run(0.0, 1.0, 0.0), run(math.nan, math.nan, 0.0)])
    assert not any(m.ok for m in unknown.measures)


def case(loaded: float, held: float, loads: float, unloads: float, p99: float = 1.0) -> Case:
    metrics = {"models_loaded": loaded, "model_bytes": held, "loads_total": loads}
    named = {f"windvane_{name}": value for name, value in metrics.items()}
    if unloads:
        named["windvane_unloads_total"] = unloads
    return Case(seen(), [seen(p99=p99)], [seen()], named)


def test_a_budget() -> None:
    roomy = case(32, 32e6, 32, 0)
    held = budget_measures(roomy, case(5, 5e6, 90, 85, 2.0), 5_500_000)
    assert values(held) == pytest.approx([0.0, 10 / 11, 0.0, 2.0])
    assert all(m.ok for m in held)
    assert [m.ok for m in budget_measures(roomy, case(6, 6e6, 90, 85, 4.0), 5_500_000)] == [
        True, False, False, False,
    ]  # fmt: skip
    unbound = budget_measures(roomy, case(32, 32e6, 32, 0), 5_500_000)
    assert all(math.isnan(value) for value in values(unbound))


def test_metrics_are_summed_over_labels() -> None:
    text = '# HELP x\nwindvane_loads_total 3\nwindvane_models_loaded{worker="a"} 2\n'
    text += 'windvane_models_loaded{worker="b"} 1.5\nother_total 9\n'
    assert read_metrics(text) == {"windvane_loads_total": 3.0, "windvane_models_loaded": 3.5}


def test_a_model_file_with_other_parts() -> None:
    assert changed("model: a\nowner: {team: b}\n", rollout={"steps": ["100%"]}) == (
        "model: a\nowner:\n  team: b\nrollout:\n  steps:\n  - 100%\n"
    )


def test_the_slow_model_gives_the_fast_ones_answers() -> None:
    trees = helper.make_node(
        "TreeEnsembleRegressor", ["x"], ["raw"], domain="ai.onnx.ml", n_targets=1,
        nodes_treeids=[0, 0, 0], nodes_nodeids=[0, 1, 2], nodes_featureids=[0, 0, 0],
        nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"], nodes_values=[0.5, 0.0, 0.0],
        nodes_truenodeids=[1, 0, 0], nodes_falsenodeids=[2, 0, 0],
        target_treeids=[0, 0], target_nodeids=[1, 2], target_ids=[0, 0],
        target_weights=[-1.0, 2.0],
    )  # fmt: skip
    sigmoid = helper.make_node("Sigmoid", ["raw"], ["probability"])
    given = [helper.make_tensor_value_info("x", TensorProto.DOUBLE, [None, 1])]
    told = [helper.make_tensor_value_info("probability", TensorProto.FLOAT, [None, 1])]
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    graph = helper.make_graph([trees, sigmoid], "fast", given, told)
    fast = helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()
    rows = {"x": np.array([[0.0], [1.0], [0.2]])}
    one, other = (
        ort.InferenceSession(made, providers=["CPUExecutionProvider"]).run(None, rows)[0]
        for made in (fast, slow_graph(fast, 7))
    )
    np.testing.assert_allclose(np.asarray(one), np.asarray(other), atol=1e-6)
    with pytest.raises(ValueError, match="not trees and a sigmoid"):
        slow_graph(slow_graph(fast, 7), 7)
