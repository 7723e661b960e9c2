"""``python -m windvane.apps.demo``, with its options as JSON on the standard input: what
``windvane demo`` starts."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from types import FrameType

import msgspec
from rich.console import Console

from windvane.apps.demo.report import Report, show_report
from windvane.apps.demo.run import run_demo
from windvane.core.errors import WindvaneError

_INTERRUPTED = 130


class DemoOrder(msgspec.Struct, frozen=True):
    """``home`` is its folder, which is made anew; ``keep`` leaves everything up at the end."""

    home: str = ".windvane/demo"
    keep: bool = False
    as_json: bool = False


def main() -> int:
    signal.signal(signal.SIGINT, _interrupt_once)
    order = msgspec.json.decode(sys.stdin.buffer.read() or b"{}", type=DemoOrder)
    console = Console(stderr=order.as_json)

    def tell(report: Report) -> None:
        if order.as_json:
            print(json.dumps(report.to_dict(), indent=2), flush=True)
        else:
            show_report(report, console)

    try:
        report = run_demo(Path(order.home), console, tell, quiet=order.as_json, keep=order.keep)
    except WindvaneError as error:
        Console(stderr=True).print(str(error), style="red", highlight=False)
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED
    return 0 if report.ok else 1


def _interrupt_once(_number: int, _frame: FrameType | None) -> None:
    """The first ends the demo, and no other one its cleaning up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
