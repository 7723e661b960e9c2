"""Alertmanager: alerts posted to its API v2, and its webhook's format (version 4) to others.

Source of the formats: Prometheus Alertmanager, "Alerts API" (openapi.yaml of api/v2) and
"Configuration", webhook_config.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from typing import Any, ClassVar

from windvane.adapters.notify.post import post_json
from windvane.ports.notifier import Happening, Message

# An alert without an end is taken for over after minutes: it is told once, not each minute.
_LASTS_S = 30 * 86_400.0
_SEVERITIES = ("low", "medium", "high")
_NO_ALERT = (Happening.ACKNOWLEDGED, Happening.UPDATED)
_NEVER = "0001-01-01T00:00:00Z"


class AlertmanagerSender:
    """An alert for each incident, which ends with it. An alert is known by its labels, and so one
    whose severity rose ends as another begins."""

    follows: ClassVar[bool] = True

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/") + "/api/v2/alerts"

    def send(self, message: Message) -> None:
        if message.happening in _NO_ALERT:
            return
        over = message.happening is Happening.RESOLVED
        rank = _SEVERITIES.index(message.severity) if message.severity in _SEVERITIES else 0
        lower = [_alert(message, severity, ends=message.at) for severity in _SEVERITIES[:rank]]
        ends = message.at if over else message.at + _LASTS_S
        own = _alert(message, message.severity, ends=ends)
        post_json("Alertmanager", self._url, [*lower, own])


class WebhookSender:
    """What Alertmanager posts to its receivers, to whoever understands that."""

    follows: ClassVar[bool] = True

    def __init__(self, url: str, token: str = "") -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def send(self, message: Message) -> None:
        if message.happening in _NO_ALERT:
            return
        over = message.happening is Happening.RESOLVED
        status = "resolved" if over else "firing"
        alert = _alert(message, message.severity, ends=message.at if over else None)
        labels = alert["labels"]
        text = json.dumps(labels, sort_keys=True).encode()
        fingerprint = hashlib.blake2b(text, digest_size=8).hexdigest()
        body = {
            "version": "4",
            "groupKey": f"{{}}:{{incident={json.dumps(labels['incident'])}}}",
            "truncatedAlerts": 0,
            "status": status,
            "receiver": "windvane",
            "groupLabels": {"incident": labels["incident"]},
            "commonLabels": labels,
            "commonAnnotations": alert["annotations"],
            "externalURL": message.link,
            "alerts": [{**alert, "status": status, "fingerprint": fingerprint}],
        }
        post_json("the webhook", self._url, body, self._headers)


def _alert(message: Message, severity: str, ends: float | None) -> dict[str, Any]:
    labels = {
        "alertname": "WindvaneIncident",
        "incident": message.incident or message.key,
        "severity": severity,
        **message.labels,
    }
    return {
        "labels": {name: value for name, value in labels.items() if value},
        "annotations": {"summary": message.title, "description": message.body},
        "startsAt": _moment(message.at) if ends is None or ends > message.at else _moment(ends),
        "endsAt": _NEVER if ends is None else _moment(ends),
        "generatorURL": message.link,
    }


def _moment(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat().replace("+00:00", "Z")
