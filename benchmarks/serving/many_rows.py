"""Many rows a request: Windvane's protocols beside MLServer's and an echo on the same transport."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from .asks import Ask, native_rows, oip_binary, oip_grpc, oip_json
from .beside import Asked, Side, side_by_side
from .echo import GRPC_FILE
from .load import Load
from .measuring import Bench, Turns
from .model import python_path
from .peers import all_onnx_mlservers
from .servers import Kind, Launch, Server, Site
from .windvane_server import windvane_with

ROWS = 64
NATIVE, JSON, BINARY, GRPC = PROTOCOLS = (
    "native JSON", "OIP REST JSON", "OIP REST binary", "OIP gRPC",
)  # fmt: skip
OURS = "Windvane, 64 rows"
ECHO_HTTP = "echo: uvicorn, raw ASGI, 64 rows"
ECHO_GRPC = "echo: grpc.aio, 64 rows"
MLSERVER_SPEAKS = {NATIVE: JSON, JSON: JSON, BINARY: JSON, GRPC: GRPC}
"""By Windvane's protocol the one of MLServer that is nearest to it: it has no binary tensors over
REST, and its only JSON is that of the Open Inference Protocol."""

ManyRows = dict[str, dict[str, Load]]
"""A turn: loads by protocol and server."""
_CHECKED = 4  # requests of each protocol that are held against the model


def many_rows_servers(bench: Bench) -> list[Asked]:
    """Windvane first: the echoes give the very bytes that it gave."""
    values = bench.rows.values
    expected = bench.model.probabilities(values[: _CHECKED * ROWS]).reshape(_CHECKED, ROWS)
    answers = {which: bench.folder / f"answers-{which}" for which in ("http", "grpc")}

    def keep(name: str, answer: bytes) -> None:
        which, file = ("grpc", GRPC_FILE) if name == GRPC else ("http", _file(name))
        answers[which].mkdir(exist_ok=True)
        (answers[which] / file).write_bytes(answer)

    def ours(site: Site) -> Sequence[Ask]:
        key = site.model.key
        return (
            native_rows(values, ROWS, key, expected), oip_json(values, ROWS, expected, key),
            oip_binary(values, ROWS, expected, key), oip_grpc(values, ROWS, expected, key),
        )  # fmt: skip

    def mlservers(_: Site) -> Sequence[Ask]:
        return oip_json(values, ROWS, expected), oip_grpc(values, ROWS, expected)

    def echoed(which: str) -> Sequence[Ask]:
        # It answers the first request rightly, and all others as that.
        asks = [
            replace(ask, expected=expected[:1])
            for ask in ours_of_run
            if ask.grpc == (which == "grpc")
        ]
        return [ask if ask.grpc else replace(ask, path=f"/{_file(ask.name)}") for ask in asks]

    ours_of_run = ours(Site(bench.model, bench.folder, 0))
    all_in = windvane_with(OURS, lambda site: {"grpc_port": site.port + 2})
    return [
        Asked(all_in, ours, lambda site, ask: site.port + 2 * ask.grpc, keep),
        *(
            Asked(server, mlservers, lambda site, ask: site.port + ask.grpc)
            for server in all_onnx_mlservers()
        ),
        Asked(_echo(ECHO_HTTP, "http", answers["http"]), lambda _: echoed("http")),
        Asked(_echo(ECHO_GRPC, "grpc", answers["grpc"]), lambda _: echoed("grpc")),
    ]


def take_many_rows(bench: Bench, plan: Turns, warmup_s: float) -> list[ManyRows]:
    """One protocol after another, and each server that speaks it in turn. Raises one of
    FAILURES."""
    connections = plan.connections_of_many_rows
    with side_by_side(bench, many_rows_servers(bench), warmup_s, connections) as sides:
        turns: list[ManyRows] = []
        for turn in range(plan.turns_of_many_rows):
            found: ManyRows = {}
            for protocol in PROTOCOLS:
                speakers = [side for side in sides if protocol in side.asks]
                first = turn % len(speakers)  # who comes first matters
                found[protocol] = {
                    side.name: _ask(side, protocol, connections, plan.seconds)
                    for side in speakers[first:] + speakers[:first]
                }
                told = ", ".join(
                    f"{name} {load.rps * ROWS:,.0f}" for name, load in found[protocol].items()
                )
                bench.say(f"{ROWS} rows, {protocol}, rows/s: {told}")
            turns.append(found)
        return turns


def _ask(side: Side, protocol: str, connections: int, seconds: float) -> Load:
    with side.awake():
        return side.closed(protocol, connections, seconds)


def _echo(name: str, which: str, answers: Path) -> Server:
    def launch(site: Site) -> Launch:
        command = [sys.executable, "-m", "serving.echo", which, str(site.port), str(answers)]
        return Launch(command, site.folder, {"PYTHONPATH": python_path()})

    return Server(name, Kind.FLOOR, _no_shape, launch, exact=False)


def _no_shape(_: Site) -> Any:
    raise AssertionError("it is asked by asks")


def _file(name: str) -> str:
    return name.replace(" ", "-")
