"""Who is told, as the settings have it: channels, routes and office hours."""

from __future__ import annotations

from pathlib import Path

import pytest

from windvane.core.alerting import Severity
from windvane.usecases.read_settings import BadReference, BadSettings, read_settings

WHOLE = """
console_url: https://vane.example.org
channels:
  pager: {pagerduty: env:PAGER}
  chat: {apprise: ["slack://a-secret/b/c"]}
  alerts: {alertmanager: "http://ana:alert-pass@am:9093"}
  hook: {webhook: "https://hooks.example.org/hook-secret", token: hook-token}
  mail: {smtp: {host: mail.example.org, sender: a@example.org, to: [b@example.org], user: w,
         password: mail-pass}}
routes:
  - {severity: high, to: [pager, chat, notify]}
  - {severity: medium, team: ops, to: [mail]}
office_hours: {timezone: Europe/Berlin}
"""


def test_channels_and_routes_are_read_and_none_of_their_secrets_is_logged(tmp_path: Path) -> None:
    found = read_settings(WHOLE, tmp_path, {"PAGER": "pager-key"})
    assert [c.kinds for c in found.channels.values()] == [
        ["pagerduty"], ["apprise"], ["alertmanager"], ["webhook"], ["smtp"],
    ]  # fmt: skip
    assert found.routes[0].severity is Severity.HIGH
    assert (found.routes[1].team, found.routes[1].to) == ("ops", ["mail"])
    for secret in ("pager-key", "slack://a-secret/b/c", "alert-pass", "hook-token", "mail-pass",
                   "https://hooks.example.org/hook-secret"):  # fmt: skip
        assert secret in found.secrets, secret
    assert "" not in found.secrets


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("channels: {pager: {}}", "channels.pager is of one kind, here is none"),
        ("channels: {pager: {pagerduty: k, webhook: 'http://x'}}", "pagerduty and webhook"),
        ("channels: {notify: {pagerduty: k}}", "channels.notify"),
        ("channels: {'a b': {pagerduty: k}}", "channels.a b"),
        ("channels: {pager: {pagerdty: k}}", "pagerdty"),
        ("channels: {am: {alertmanager: 'file:///etc/passwd'}}", "channels.am.alertmanager"),
        ("channels: {hook: {webhook: 'ftp://x/y'}}", "channels.hook.webhook"),
        ("channels: {mail: {smtp: {host: h, sender: s, to: []}}}", "channels.mail.smtp.to"),
        ("routes: [{severity: high, to: [pagr]}]\nchannels: {pager: {pagerduty: k}}", "pager"),
        ("routes: [{severity: high, to: [notify, notify]}]", "twice"),
        ("routes: [{severity: high, to: []}]", "routes[0].to"),
        ("routes: [{severity: page, to: [notify]}]", "severity"),
        ("digests: [{to: [pagr]}]", "digests[0]: no channel 'pagr'"),
        ("digests: [{to: [notify, notify]}]", "digests[0]: a channel is there twice"),
        ("digests: [{to: []}]", "digests[0].to"),
        ("digests: [{to: [notify], day: monday}]", "digests[0].day"),
        ("digests: [{to: [notify], hour: 24}]", "digests[0].hour"),
        ("digests: [{to: [notify], timezone: Mars/Olympus}]", "digests[0]: timezone"),
        ("digests: [{to: [p]}]\nchannels: {p: {pagerduty: k}}", "is for alarms (pagerduty)"),
        ("office_hours: {timezone: Mars/Olympus}", "timezone"),
        ("office_hours: {days: [mo]}", "mo"),
        ("office_hours: {begns: '09:00'}", "begins"),
        ("office_hours: {begins: '18:00'}", "before"),
    ],
)
def test_what_could_tell_nobody_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises((BadSettings, BadReference)) as raised:
        read_settings(text, tmp_path)
    assert said in str(raised.value)


def test_a_digest_has_its_day_and_hour_by_default(tmp_path: Path) -> None:
    text = "digests: [{to: [notify, mail], team: ops}]\nchannels: {mail: {apprise: ['json://x']}}"
    (wanted,) = read_settings(text, tmp_path).digests
    assert (wanted.to, wanted.team) == (["notify", "mail"], "ops")
    assert (wanted.day, wanted.hour, wanted.timezone) == ("mon", 8, "UTC")
