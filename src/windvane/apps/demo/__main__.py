"""``python -m windvane.apps.demo flights [--json] [--keep] [--home FOLDER]``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from rich.console import Console

from windvane.apps.demo.report import Report, show_report
from windvane.apps.demo.run import run_demo
from windvane.core.errors import WindvaneError


def main() -> int:
    parser = argparse.ArgumentParser(prog="windvane demo", description=__doc__)
    parser.add_argument("name", choices=["flights"])
    parser.add_argument("--json", action="store_true", help="the report, for machines")
    parser.add_argument("--keep", action="store_true", help="leave everything up at the end")
    parser.add_argument("--home", type=Path, default=Path(".windvane/demo"))
    given = parser.parse_args()
    console = Console(stderr=given.json)

    def tell(report: Report) -> None:
        if given.json:
            print(json.dumps(report.to_dict(), indent=2), flush=True)
        else:
            show_report(report, console)

    try:
        report = run_demo(given.home, console, tell, quiet=given.json, keep=given.keep)
    except WindvaneError as error:
        Console(stderr=True).print(str(error), style="red", highlight=False)
        return 1
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
