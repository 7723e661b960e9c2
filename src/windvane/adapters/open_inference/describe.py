"""What a server says of its model: for registering it, and for seeing that it is still the same."""

from __future__ import annotations

import ssl
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import msgspec

from windvane.adapters.open_inference.http import read_bounded_now, request_headers, trust
from windvane.adapters.open_inference.remote import (
    BINARY,
    DTYPES,
    FILE,
    RemoteModel,
    decode,
    parse_address,
    tensors_of,
)
from windvane.ports.runtime import CannotLoad, RuntimeFailed
from windvane.ports.source import DataFile

_WITHIN_S = 10.0
_MOST_BYTES = 4 << 20


def is_remote(given: str) -> bool:
    return given.startswith(("http://", "https://"))


def describe_remote(
    address: str,
    folder: Path,
    authorization: str = "",
    credential: str = "",
    max_rows: int = 1_000,
    ca: Path | None = None,
) -> Path:
    """A file below ``folder`` that says which model ``address`` is, and what its server says of
    it. ``authorization`` is kept, as the reference that it is; ``credential`` is what it gave.
    ``ca``: a PEM file of authorities that are trusted beside the public ones.
    Raises CannotLoad."""
    found = ask_about(replace(parse_address(address), max_rows=max_rows), credential, trust(ca))
    path = folder / FILE
    path.write_bytes(msgspec.json.encode(replace(found, authorization=authorization)))
    return path


def read_remote(path: Path) -> DataFile:
    """The description as a model's file."""
    body = path.read_bytes()
    remote = decode(body)
    inputs = remote.inputs
    # A tensor for each feature names it; a matrix of several columns names none.
    named = all(tensor.width == 1 for tensor in inputs)
    matrix = len(inputs) == 1 and inputs[0].width == 0
    return DataFile(
        body,
        features=tuple(tensor.name for tensor in inputs) if named else (),
        tensors=() if matrix else tuple((t.name, DTYPES[t.datatype], t.width) for t in inputs),
        output_shapes={
            t.name: t.shape[1:] for t in remote.outputs if DTYPES[t.datatype] != "string"
        },
    )


def ask_about(remote: RemoteModel, credential: str, verify: ssl.SSLContext) -> RemoteModel:
    """The model with what its server says of it now. Raises CannotLoad unless it is ready."""
    with httpx.Client(
        headers=request_headers(credential), timeout=_WITHIN_S, trust_env=False, verify=verify
    ) as client:
        ready = _get(client, f"{remote.path}/ready")
        if ready.status_code != 200:
            raise _refused(remote, ready)
        about = _json(remote, _get(client, remote.path))
        server = _json(remote, _get(client, f"{remote.server}/v2"))
    extensions = server.get("extensions")
    listed = about.get("versions")
    only = str(listed[0])[:100] if isinstance(listed, list) and len(listed) == 1 else ""
    return replace(
        remote,
        inputs=tensors_of(about.get("inputs"), "input"),
        outputs=tensors_of(about.get("outputs"), "output"),
        binary=isinstance(extensions, list) and BINARY in extensions,
        only_version="" if remote.version else only,
        platform=str(about.get("platform", ""))[:100],
    )


def _get(client: httpx.Client, url: str) -> httpx.Response:
    try:
        with client.stream("GET", url) as answer:
            body = read_bounded_now(answer, _MOST_BYTES)
            return httpx.Response(answer.status_code, content=body, request=answer.request)
    except RuntimeFailed as error:
        raise CannotLoad(f"{url}: {error.message}") from error
    except httpx.HTTPError as error:
        message = type(error).__name__  # its words may quote a header
        raise CannotLoad(f"{url} cannot be asked: {message}", hint="is the server up?") from error


def _json(remote: RemoteModel, answer: httpx.Response) -> dict[str, Any]:
    if answer.status_code != 200:
        raise _refused(remote, answer)
    try:
        return msgspec.json.decode(answer.content, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise CannotLoad(f"{answer.url} speaks no Open Inference Protocol: {error}") from error


def _refused(remote: RemoteModel, answer: httpx.Response) -> CannotLoad:
    message = answer.text[:200].strip()
    return CannotLoad(
        f"{answer.url} answers {answer.status_code}{': ' if message else ''}{message}",
        hint=f"is {remote.model!r} loaded there, and may this client ask for it?",
    )
