"""Which runtime serves a version, and why."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


class RuntimeName(enum.StrEnum):
    """In the order of preference."""

    ONNX = "onnx"
    XGBOOST = "xgboost"
    LIGHTGBM = "lightgbm"
    OPEN_INFERENCE = "open_inference"
    ELSEWHERE = "elsewhere"
    CATBOOST = "catboost"
    SKLEARN = "sklearn"
    TORCHSCRIPT = "torchscript"
    TORCH_EXPORT = "torch_export"
    PYFUNC = "pyfunc"


# Their files are data to their loaders. All others can run code: those run in a sandbox.
DATA_ONLY = frozenset(
    {
        RuntimeName.ONNX, RuntimeName.XGBOOST, RuntimeName.LIGHTGBM, RuntimeName.CATBOOST,
        RuntimeName.OPEN_INFERENCE, RuntimeName.ELSEWHERE,
    }
)  # fmt: skip
# CatBoost has no library but its Python package, which has no place in a gateway's process.
SANDBOXED = frozenset(RuntimeName) - DATA_ONLY | {RuntimeName.CATBOOST}


@dataclass(frozen=True, slots=True)
class Offer:
    """One way to serve the files: ``missing`` says what keeps it from being taken ("" if
    nothing does); ``runs_code`` whether loading these very files can run code of theirs."""

    runtime: RuntimeName
    runs_code: bool
    missing: str = ""


@dataclass(frozen=True, slots=True)
class RuntimeChoice:
    """The runtime that was taken, the sentence that says why, and why not each other one."""

    runtime: RuntimeName
    reason: str
    sandboxed: bool
    needs_trust: bool
    passed_over: Mapping[str, str]


def choose_runtime(offers: Sequence[Offer]) -> RuntimeChoice | None:
    """The most preferred offer that nothing keeps from being taken; None if there is none."""
    order = list(RuntimeName)
    passed: dict[str, str] = {}
    for offer in sorted(offers, key=lambda o: order.index(o.runtime)):
        if offer.missing:
            passed[offer.runtime.value] = offer.missing
            continue
        for other in offers:
            if order.index(other.runtime) > order.index(offer.runtime):
                passed[other.runtime.value] = f"slower here than {offer.runtime.value}"
        sandboxed = offer.runtime in SANDBOXED
        return RuntimeChoice(
            offer.runtime, _reason(offer, sandboxed), sandboxed, offer.runs_code, passed
        )
    return None


def _reason(offer: Offer, sandboxed: bool) -> str:
    name = offer.runtime.value
    if offer.runtime is RuntimeName.OPEN_INFERENCE:
        return f"a server of its own runs it, which the gateway asks ({name})"
    if offer.runtime is RuntimeName.ELSEWHERE:
        return f"it is served {name}, and watched here by the events that are told"
    if not sandboxed:
        return f"{name} reads its files as data, so it runs in the gateway's process"
    apart = "it runs in a sandbox"
    if not offer.runs_code:
        return f"these files of {name} hold nothing but data; {apart}"
    return f"{name} can run code when it loads: an admin has to trust these files, and {apart}"
