"""Which runtime serves a version, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from windvane.core.execution.runtimes import RUNTIMES, Place, RuntimeName


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
        place = RUNTIMES[offer.runtime].place
        return RuntimeChoice(
            offer.runtime,
            _reason(offer, place),
            place is Place.SANDBOX,
            offer.runs_code,
            passed,
        )
    return None


def _reason(offer: Offer, place: Place) -> str:
    name = offer.runtime.value
    match place:
        case Place.SERVER:
            return f"a server of its own runs it, which the gateway asks ({name})"
        case Place.ELSEWHERE:
            return f"it is served {name}, and watched here by the events that are told"
        case Place.GATEWAY:
            return f"{name} reads its files as data, so it runs in the gateway's process"
        case Place.SANDBOX if not offer.runs_code:
            return f"these files of {name} hold nothing but data; it runs in a sandbox"
        case Place.SANDBOX:
            return (
                f"{name} can run code when it loads: an admin has to trust these files, and it "
                "runs in a sandbox"
            )
