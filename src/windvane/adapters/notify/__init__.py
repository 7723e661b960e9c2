"""Telling people: by apprise, PagerDuty, Alertmanager, a webhook or mail, with a local journal."""

from windvane.adapters.notify.alertmanager import AlertmanagerSender, WebhookSender
from windvane.adapters.notify.apprise_notifier import AppriseNotifier
from windvane.adapters.notify.journal import JournaledNotifier, NotificationFailed, Sender
from windvane.adapters.notify.mail import MailSender
from windvane.adapters.notify.pagerduty import PagerDutySender

__all__ = [
    "AlertmanagerSender",
    "AppriseNotifier",
    "JournaledNotifier",
    "MailSender",
    "NotificationFailed",
    "PagerDutySender",
    "Sender",
    "WebhookSender",
]
