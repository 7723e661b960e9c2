"""The runtime port on servers that speak the Open Inference Protocol v2."""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from windvane.adapters.open_inference.describe import ask_about
from windvane.adapters.open_inference.http import read_bounded, request_headers, trust
from windvane.adapters.open_inference.messages import read_answer, write_request
from windvane.adapters.open_inference.remote import DTYPES, RemoteModel, decode
from windvane.core.errors import WindvaneError
from windvane.core.execution import RuntimeName, ServedBy, TensorInput
from windvane.core.signature import InputSpec, OutputReader, RowEncoder, pack_tensor
from windvane.core.task import Contract, Outputs, make_task
from windvane.ports.artifacts import Artifact
from windvane.ports.runtime import (
    CannotLoad,
    RowsRefused,
    RuntimeFailed,
    read_inputs,
    read_served,
    refuse_value,
)
from windvane.ports.tracing import CALLING

_log = logging.getLogger(__name__)
_CONCURRENCY = 16
_TRIES = 3
_FIRST_PAUSE_S = 0.02
_LONGEST_S = 60.0  # for any part of a call; its deadline bounds the whole
_MEMORY = 1 << 16
_MOST_BYTES = 64 << 20
_SAID = 300
# The server says that it did nothing, and that it may be asked again.
_AGAIN = frozenset({429, 503})
_UNAUTHORIZED = 401
_READ_EVERY_S = 10.0  # a credential's file, whoever is refused meanwhile
# It read the rows, and cannot take them.
_ROWS = frozenset({400, 413, 415, 422})


class OpenInferencePredictor:
    """One model of one server. What it holds open belongs to the loop that asks first."""

    blocking = False
    concurrency = _CONCURRENCY
    memory = _MEMORY

    def __init__(
        self,
        remote: RemoteModel,
        inputs: Sequence[InputSpec],
        contract: Contract,
        served: ServedBy,
        credential: str,
        verify: ssl.SSLContext,
        read_again: Callable[[], str] | None = None,
    ) -> None:
        """``read_again`` gives the credential as it is by now; it may block."""
        self._url = f"{remote.path}/infer"
        self._remote = remote
        self._tensors = served.tensors or (_matrix(remote, len(inputs)),)
        self._shapes = {tensor.name: tensor.shape for tensor in remote.inputs}
        self._read = OutputReader(served.outputs, make_task(contract.task).outputs)
        self._wanted = [source for source in self._read.sources if source]
        self.encode = RowEncoder(inputs, contract.names, refuse_value)
        self._headers = request_headers(credential)
        self._verify = verify
        self._read_again = read_again
        self._read_after = 0.0  # of the loop's clock: not before
        self._client: httpx.AsyncClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def predict_async(self, rows: Sequence[Sequence[Any]], within_s: float) -> Outputs:
        most = self._remote.max_rows
        until = asyncio.get_running_loop().time() + within_s
        async with asyncio.timeout(within_s):
            parts = [await self._some(rows[i : i + most], until) for i in range(0, len(rows), most)]
        if len(parts) == 1:
            return parts[0]
        return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]

    async def _some(self, rows: Sequence[Sequence[Any]], until: float) -> Outputs:
        tensors = self._pack(rows)
        body, headers = write_request(tensors, self._wanted, binary=self._remote.binary)
        answered, found = await self._ask(body, headers, until)
        try:
            model, version = self._remote.model, self._remote.answers_as
            return self._read(read_answer(answered, found, len(rows), model, version))
        except (ValueError, OverflowError, RecursionError) as error:
            raise RuntimeFailed(f"its server's answer: {str(error)[:_SAID]}") from error

    def close(self) -> None:
        client, self._client = self._client, None
        loop = self._loop
        if client is not None and loop is not None and loop.is_running():
            asyncio.run_coroutine_threadsafe(client.aclose(), loop)

    def _pack(self, rows: Sequence[Sequence[Any]]) -> dict[str, NDArray[Any]]:
        columns = list(zip(*rows, strict=True))
        tensors: dict[str, NDArray[Any]] = {}
        for tensor in self._tensors:
            try:
                packed = pack_tensor([columns[place] for place in tensor.places], tensor.type)
            except (ValueError, OverflowError) as error:
                raise RowsRefused(f"input {tensor.name!r}: {error}") from error
            shape = self._shapes.get(tensor.name, (-1, packed.shape[1]))
            tensors[tensor.name] = packed.reshape(len(rows), *_sizes(shape, packed.shape[1]))
        return tensors

    async def _ask(
        self, body: bytes, headers: dict[str, str], until: float
    ) -> tuple[httpx.Headers, bytes]:
        """Asked again only where the server did nothing: it could not be reached, or said so, and
        there is time for the pause that it wants; and once where a renewed credential may help."""
        pause_s = _FIRST_PAUSE_S
        sent = self._headers
        for attempt in range(_TRIES):
            try:
                status, answered, found = await self._post(body, headers)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                failure: RuntimeFailed = _failed("cannot be reached", error)
                wait_s = pause_s
            except httpx.HTTPError as error:
                raise _failed("gave no answer", error) from error
            else:
                if status == 200:
                    return answered, found
                failure = self._refused(status, found)
                if status == _UNAUTHORIZED and attempt < _TRIES - 1 and await self._renewed(sent):
                    sent = self._headers
                    continue
                if status not in _AGAIN:
                    raise failure
                wait_s = max(pause_s, _retry_after_s(answered))
            wait_s *= random.uniform(1.0, 1.5)
            left_s = until - asyncio.get_running_loop().time()
            if attempt == _TRIES - 1 or wait_s >= left_s:
                raise failure
            await asyncio.sleep(wait_s)
            pause_s *= 2.0
        raise AssertionError("the last try returns or raises")

    async def _renewed(self, sent: dict[str, str]) -> bool:
        """Whether there is another credential than was ``sent``: its file is read again, at most
        once in a while."""
        now = asyncio.get_running_loop().time()
        if self._headers is sent and self._read_again is not None and now >= self._read_after:
            self._read_after = now + _READ_EVERY_S
            try:
                fresh = request_headers(await asyncio.to_thread(self._read_again))
            except WindvaneError as error:  # without the value
                _log.warning("the credential for %s cannot be read again: %s", self._url, error)
            else:
                if fresh != self._headers:
                    self._headers = fresh
        return self._headers != sent

    async def _post(self, body: bytes, headers: dict[str, str]) -> tuple[int, httpx.Headers, bytes]:
        client, trace = self._opened(), CALLING.get()
        headers = {**self._headers, **headers}
        if trace is not None:
            headers = {**headers, "traceparent": trace.traceparent().decode("ascii")}
            if state := trace.tracestate():
                headers["tracestate"] = state
        async with client.stream("POST", self._url, content=body, headers=headers) as answer:
            return answer.status_code, answer.headers, await read_bounded(answer, _MOST_BYTES)

    def _opened(self) -> httpx.AsyncClient:
        if self._client is None:
            self._loop = asyncio.get_running_loop()
            limits = httpx.Limits(
                max_connections=_CONCURRENCY, max_keepalive_connections=_CONCURRENCY
            )
            self._client = httpx.AsyncClient(
                limits=limits, timeout=_LONGEST_S, trust_env=False, verify=self._verify
            )
        return self._client

    def _refused(self, status: int, body: bytes) -> RuntimeFailed:
        """Its words go to the log only: who asks this gateway need not know whom it asks."""
        _log.info("%s answers %d: %s", self._url, status, body[:_SAID].decode("utf-8", "replace"))
        refusal = RowsRefused if status in _ROWS else RuntimeFailed
        return refusal(f"its server answers {status}")


class OpenInferenceRuntime:
    """``secret`` follows the reference of a credential; ``ca`` is a PEM file of authorities that
    are trusted beside the public ones, read for each version that is loaded. Nothing of a model
    is loaded here, so trust is not asked for."""

    def __init__(self, secret: Callable[[str], str], ca: Path | None = None) -> None:
        self._secret = secret
        self._ca = ca

    def load(
        self, artifact: Artifact, contract: Contract, *, trusted: bool
    ) -> OpenInferencePredictor:
        """Raises CannotLoad unless the server is ready and describes the model as it did when it
        was registered."""
        del trusted
        served = read_served(artifact)
        if served.runtime is not RuntimeName.OPEN_INFERENCE:
            raise CannotLoad(f"{served.runtime.value} serves this version, not another server")
        if served.task != contract.task.kind:
            raise CannotLoad(
                f"the version gives {served.task} outputs, the model's file says "
                f"{contract.task.kind}",
                hint="register the version again for the model as it is now",
            )
        inputs = read_inputs(artifact, contract.names)
        remote = decode(artifact.read(served.file))
        credential = self._secret(remote.authorization) if remote.authorization else ""
        verify = trust(self._ca)
        now = ask_about(remote, credential, verify)
        for what, then, today in (
            ("inputs", remote.inputs, now.inputs), ("outputs", remote.outputs, now.outputs),
        ):  # fmt: skip
            if then != today:
                raise CannotLoad(
                    f"{remote.path} had the {what} {_tensor_list(then)} when it was registered, "
                    f"and has {_tensor_list(today)} now",
                    hint="another model is served there by now: register it as a new version",
                )
        if now.only_version and remote.only_version not in ("", now.only_version):
            raise CannotLoad(
                f"{remote.path} had the version {remote.only_version!r} alone when it was "
                f"registered, and has {now.only_version!r} alone now",
                hint="register it as a new version, and name the server's version in the address",
            )
        reference = remote.authorization
        again = partial(self._secret, reference) if reference.startswith("file:") else None
        now = replace(now, only_version=remote.only_version)
        return OpenInferencePredictor(now, inputs, contract, served, credential, verify, again)


def _matrix(remote: RemoteModel, inputs: int) -> TensorInput:
    """All inputs in one tensor, of a server that takes any width, or describes no inputs at all:
    MLServer's runtimes ignore the name."""
    places = tuple(range(inputs))
    if not remote.inputs:
        return TensorInput("input-0", "float64", places)
    return TensorInput(remote.inputs[0].name, DTYPES[remote.inputs[0].datatype], places)


def _sizes(shape: Sequence[int], columns: int) -> list[int]:
    """Of a row, with at most one size that follows from its columns."""
    return [columns if size < 0 else size for size in shape[1:]]


def _tensor_list(tensors: Sequence[Any]) -> str:
    return ", ".join(f"{t.name} {t.datatype} {list(t.shape)}" for t in tensors) or "none"


def _failed(what: str, error: Exception) -> RuntimeFailed:
    """Without the error's own words, which may quote a header."""
    return RuntimeFailed(f"its server {what} ({type(error).__name__})")


def _retry_after_s(headers: httpx.Headers) -> float:
    """The whole seconds that it asks for."""
    given = headers.get("retry-after", "")
    return float(given) if given.isascii() and given.isdigit() and len(given) < 6 else 0.0
