"""PagerDuty, by its Events API v2.

Source of the format: PagerDuty, "Send an alert event" (Events API v2).
"""

from __future__ import annotations

import datetime as dt
from typing import Any, ClassVar

from windvane.adapters.notify.post import post_json
from windvane.ports.notifier import Happening, Message

EVENTS_URL = "https://events.pagerduty.com/v2/enqueue"
_ACTIONS = {
    Happening.OPENED: "trigger",
    Happening.ACKNOWLEDGED: "acknowledge",
    Happening.RESOLVED: "resolve",
}
_SEVERITIES = {"high": "critical", "medium": "warning", "low": "info"}
_LONGEST_SUMMARY = 1_024
_LONGEST_KEY = 255


class PagerDutySender:
    """One incident of ours is one of theirs: by its id as the key that they deduplicate by."""

    follows: ClassVar[bool] = True

    def __init__(self, routing_key: str, url: str = "") -> None:
        self._routing_key = routing_key
        self._url = url or EVENTS_URL

    def send(self, message: Message) -> None:
        if message.happening not in _ACTIONS:
            return
        event: dict[str, Any] = {
            "routing_key": self._routing_key,
            "event_action": _ACTIONS[message.happening],
            "dedup_key": (message.incident or message.key)[:_LONGEST_KEY],
        }
        if message.happening is Happening.OPENED:
            first = message.body.partition("\n")[0]
            event |= {
                "client": "Windvane",
                "payload": {
                    "summary": f"{message.title}: {first}"[:_LONGEST_SUMMARY],
                    "source": message.labels.get("model", "windvane"),
                    "severity": _SEVERITIES.get(message.severity, "error"),
                    "timestamp": dt.datetime.fromtimestamp(message.at, dt.UTC).isoformat(),
                    "component": message.labels.get("model", ""),
                    "group": message.labels.get("team", ""),
                    "class": message.labels.get("kind", ""),
                    "custom_details": {"what": message.body, **message.labels},
                },
            }
            if message.link:
                event |= {
                    "client_url": message.link,
                    "links": [{"href": message.link, "text": "the incident"}],
                }
        post_json("PagerDuty", self._url, event)
