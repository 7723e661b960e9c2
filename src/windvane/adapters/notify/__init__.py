"""Telling people by apprise, and always by a local journal."""

from windvane.adapters.notify.apprise_notifier import AppriseNotifier

__all__ = ["AppriseNotifier"]
