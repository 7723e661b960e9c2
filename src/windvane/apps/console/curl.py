"""The commands that a model's page shows, to be copied as they are."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from urllib.parse import quote

from windvane.apps.console.reading import ModelPage
from windvane.usecases.example_request import example_events, example_request

_MOST_LINES = 4_000


@dataclass(frozen=True, slots=True)
class GatewayAddress:
    """Where clients reach the gateway; ``host`` is "" where it listens on every address: then by
    the name that the console is asked under."""

    scheme: str = "http"
    host: str = "127.0.0.1"
    port: int = 8700

    def url(self, asked_under: str) -> str:
        host = self.host or asked_under
        return f"{self.scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"


def curl_command(page: ModelPage, gateway_url: str) -> str:
    """Issues a key, and asks for a prediction, or tells of one that was made elsewhere."""
    file = page.glance.file
    path = f"/v1/models/{quote(file.model, safe='')}/{'events' if page.watched else 'predict'}"
    scopes = " --scope events --scope outcomes" if page.watched else ""
    make = example_events if page.watched else example_request
    body = make(file, page.layout, page.baseline)
    text = json.dumps(body, ensure_ascii=False, indent=1)
    if len(text) > _MOST_LINES:
        text = json.dumps(body, ensure_ascii=False)
    return "\n".join(
        (
            f"KEY=$(windvane key issue example{scopes})",
            f"curl {shlex.quote(gateway_url + path)} \\",
            '  -H "Authorization: Bearer $KEY" \\',
            "  -H 'Content-Type: application/json' \\",
            f"  -d {shlex.quote(text)}",
        )
    )


def file_command(root: str, path: str) -> str:
    """Asks this console for what a table or chart was made of; ``root`` is its address."""
    return f'curl -H "Authorization: Bearer $KEY" {shlex.quote(root.rstrip("/") + path)}'
