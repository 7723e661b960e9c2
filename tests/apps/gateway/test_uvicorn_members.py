"""What the gateway relies on of uvicorn without its documentation saying so.

uvicorn is pinned to one version. Whoever moves the pin reads what changed here, checks
`http_protocol.py` and `http_server.py` against it, and then renews the digests.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import tomllib
from pathlib import Path

import pytest
import uvicorn
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

ROOT = Path(__file__).parents[3]
# Called through `super()`, or what calls us.
RELIED_ON = {
    HttpToolsProtocol.__init__: "4f08999410347141",
    HttpToolsProtocol.connection_made: "6efb565ff3d36b91",
    HttpToolsProtocol.connection_lost: "c91a4c9bf2e29c55",
    HttpToolsProtocol.pause_writing: "17a8fd215d96a13c",
    HttpToolsProtocol.resume_writing: "7844bbaa8cceb1ef",
    FlowControl: "126debcdaa894c83",
    ServerState: "f2260fbf10154746",
    uvicorn.Server.startup: "2aa1d70a244bfcf2",
    uvicorn.Server.shutdown: "9b33c50562992b1e",
    uvicorn.Server._wait_tasks_to_complete: "17209be1e991445d",
}


def test_uvicorn_is_pinned_and_it_is_the_one_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"uvicorn=={uvicorn.__version__}" in project["dependencies"]
    for lock in ("demo", "dev"):
        text = (ROOT / "requirements" / f"{lock}.txt").read_text()
        assert f"\nuvicorn=={uvicorn.__version__} " in text


@pytest.mark.parametrize("member", RELIED_ON, ids=lambda member: member.__qualname__)
def test_what_is_relied_on_is_as_it_was_read(member: object) -> None:
    source = inspect.getsource(member)  # type: ignore[arg-type]
    assert hashlib.sha256(source.encode()).hexdigest()[:16] == RELIED_ON[member]  # type: ignore[index]


def test_the_protocol_has_no_method_that_nobody_read() -> None:
    """A new one might be a timer, or a way around the bounds."""
    own = {name for name, member in vars(HttpToolsProtocol).items() if callable(member)}
    assert own == {
        "__init__", "connection_made", "connection_lost", "eof_received", "data_received",
        "pause_writing", "resume_writing", "shutdown", "timeout_keep_alive_handler",
        "on_message_begin", "on_url", "on_header", "on_headers_complete", "on_body",
        "on_message_complete", "on_response_complete", "send_400_response",
        "handle_websocket_upgrade", "_get_upgrade", "_should_upgrade", "_should_upgrade_to_ws",
        "_unset_keepalive_if_required", "_unsupported_upgrade_warning", "_start_asgi_task",
    }  # fmt: skip


def test_a_connection_and_a_server_have_what_is_used_of_them() -> None:
    config = uvicorn.Config(lambda: None, lifespan="off", http=HttpToolsProtocol)
    config.load()
    assert config.http_protocol_class is HttpToolsProtocol
    assert callable(config.lifespan_class)
    server = uvicorn.Server(config)
    assert server.server_state.connections == set()
    assert (server.should_exit, server.force_exit) == (False, False)
    loop = asyncio.new_event_loop()
    try:
        protocol = HttpToolsProtocol(
            config=config, server_state=server.server_state, app_state={}, _loop=loop
        )
    finally:
        loop.close()
    assert protocol.connections is server.server_state.connections
    assert (protocol.transport, protocol.flow, protocol.cycle) == (None, None, None)
    assert protocol.parser is not None
