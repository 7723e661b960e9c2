"""From the settings to what a service receives."""

from __future__ import annotations

from pathlib import Path

import pytest
from contracts.notifier.receivers import http_receiver, mail_receiver, make_certificate

from windvane.apps.steward.wiring import outlets
from windvane.core.alerting import Severity
from windvane.core.alerting.delivery import Route
from windvane.ports.notifier import Message
from windvane.usecases.read_settings import read_settings

pytestmark = pytest.mark.filterwarnings("ignore:.imghdr.:DeprecationWarning")  # apprise, on 3.11


def test_every_kind_of_channel_tells(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    with http_receiver(200) as got, mail_receiver(certificate) as box:
        bare = got.url.removeprefix("http://")
        given = read_settings(
            f"""
channels:
  pager: {{pagerduty: key, pagerduty_url: "{got.url}/pd"}}
  chat: {{apprise: ["json://{bare}/apprise"]}}
  alerts: {{alertmanager: "{got.url}"}}
  hook: {{webhook: "{got.url}/hook"}}
  mail: {{smtp: {{host: 127.0.0.1, port: {box.port}, sender: a@x.org, to: [b@x.org],
          ca: cert.pem}}}}
routes: [{{severity: high, team: ops, to: [pager, mail]}}]
office_hours: {{}}
""",
            tmp_path,
        )
        made = outlets(given)
        for channel in made.channels.values():
            channel.send(Message("d#0", "[high] delay", "it fails", "i", "high", at=1.0))
    assert got.paths == ["/pd", "/apprise", "/api/v2/alerts", "/hook"]
    assert len(box.mails) == 1
    assert made.routes == [Route(Severity.HIGH, ("pager", "mail"), "ops")]
    assert made.office is not None
    follows = {name for name, channel in made.channels.items() if channel.follows}
    assert follows == {"pager", "alerts", "hook"}
