"""What commands print: sentences and tables for people, JSON for machines."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from windvane.apps.cli.wiring import Output

out = Output()
err = Output(stderr=True)


def print_json(body: Any) -> None:
    out.print(json.dumps(msgspec.to_builtins(body), indent=2), soft_wrap=True)
