"""``python -m windvane.apps.gateway.trial``: load one version as a worker would, answer one row,
and say what went wrong. The order comes on the standard input, see `windvane.ports.trial`."""

from __future__ import annotations

import os
import resource
import sys

import msgspec

from windvane.apps.gateway import wiring
from windvane.core.errors import WindvaneError
from windvane.core.task import make_task
from windvane.inference.failures import sentence_of
from windvane.inference.model_cache import warm_up
from windvane.ports.artifacts import Artifacts
from windvane.ports.runtime import Runtime
from windvane.ports.trial import TrialOrder
from windvane.usecases.load_version import load_to_ask


def main() -> int:
    answers = os.dup(1)  # libraries that print do not print into the answer
    os.dup2(2, 1)
    order = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=TrialOrder)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    given = wiring.settings()
    wrong = attempt(order, wiring.runtimes(given), wiring.artifacts())
    os.write(answers, wrong.encode())
    return 0


def attempt(order: TrialOrder, runtimes: Runtime, artifacts: Artifacts) -> str:
    """What went wrong, "" for nothing."""
    try:
        artifact = artifacts.open(order.artifact, order.manifest)
        predictor = load_to_ask(runtimes, artifact, order.contract, trusted=order.trusted)
        try:
            warm_up(predictor, make_task(order.contract.task), order.contract)
        finally:
            predictor.close()
    except WindvaneError as error:
        return error.message
    except Exception as error:  # whatever a library may raise
        return sentence_of(error)
    return ""


if __name__ == "__main__":
    sys.exit(main())
