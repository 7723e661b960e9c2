"""An update of an open incident is for who reads: services that page get nothing of it."""

from __future__ import annotations

import pytest

from windvane.adapters.notify.alertmanager import AlertmanagerSender, WebhookSender
from windvane.adapters.notify.journal import Sender
from windvane.adapters.notify.pagerduty import PagerDutySender
from windvane.ports.notifier import Happening, Message

NOBODY = "http://127.0.0.1:9"  # the discard port: whatever is sent there fails


@pytest.mark.parametrize(
    "sender", [PagerDutySender("key", NOBODY), AlertmanagerSender(NOBODY), WebhookSender(NOBODY)]
)
def test_it_is_sent_to_no_pager(sender: Sender) -> None:
    sender.send(Message("k", "t", "b", "late-1", happening=Happening.UPDATED))
