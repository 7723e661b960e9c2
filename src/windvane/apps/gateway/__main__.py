"""Run one gateway worker."""

from __future__ import annotations

import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")

from windvane.apps.gateway import wiring
from windvane.apps.gateway.http_server import serve
from windvane.core.errors import WindvaneError
from windvane.usecases.read_settings import Settings

# A thread that works on a slow version hands the interpreter back within half a millisecond.
_SWITCH_S = 0.0005


def main() -> None:
    os.umask(0o077)  # what people sent is for this user alone
    given = wiring.settings()
    wiring.start_logging(given)
    try:
        _serve(given)
    except WindvaneError as error:  # `windvane restart` shows the end of this log
        sys.exit(f"{error.code} {error.message}; {error.advice}")


def _serve(given: Settings) -> None:
    sys.setswitchinterval(_SWITCH_S)
    worker = wiring.gateway(given)
    tls = wiring.certificate(given)
    share = wiring.file_share(given)
    serve(
        worker,
        wiring.http_config(given, worker, tls, share),
        wiring.other_transports(given, worker, tls, share),
    )


if __name__ == "__main__":
    main()
