"""The steward's adapters."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Collection
from zoneinfo import ZoneInfo

from windvane.adapters import logs
from windvane.adapters.clock import open_clock
from windvane.adapters.delta import DeltaEventLog
from windvane.adapters.files import (
    FileArtifacts,
    FileMetricsBoard,
    FilePendingRollbacks,
    FileRoutingFeed,
    WatchedFile,
)
from windvane.adapters.notify import (
    AlertmanagerSender,
    AppriseNotifier,
    JournaledNotifier,
    MailSender,
    PagerDutySender,
    Sender,
    WebhookSender,
)
from windvane.adapters.sql import SqlControlStore
from windvane.apps.steward.lanes import Lanes
from windvane.apps.steward.loop import Steward
from windvane.core.alerting.delivery import DEFAULT, Route
from windvane.ports.notifier import Notifier
from windvane.usecases.deliver_effects import make_lanes
from windvane.usecases.notify_people import Outlets
from windvane.usecases.office_hours import make_office_hours
from windvane.usecases.read_calendar import MOST_BYTES, OfficeCalendar, read_calendar
from windvane.usecases.read_settings import Channel, Settings, find_settings
from windvane.usecases.send_digest import DigestPlan
from windvane.usecases.watch_budget import WatchBudget


class LazyMirror:
    """MLflow takes a second to import and is wanted a few times a week."""

    def __init__(self, given: Settings) -> None:
        self._given = given

    def mirror_alias(self, model: str, alias: str, version: str) -> None:
        from windvane.adapters.mlflow import MlflowRegistry

        registry = MlflowRegistry(self._given.registry_uri, self._given.artifacts)
        registry.mirror_alias(model, alias, version)


def settings() -> Settings:
    return find_settings(os.environ)


def start_logging(given: Settings) -> None:
    logs.start_logging("steward", given.log_format, given.secrets)


def store(given: Settings) -> SqlControlStore:
    return SqlControlStore(given.store_url)


def outlets(given: Settings) -> Outlets:
    """The ways out that the settings name, each with the one journal of what was told."""
    journal = given.folder / "notifications.jsonl"
    channels: dict[str, Notifier] = {DEFAULT: AppriseNotifier(journal, given.notify)}
    for name, channel in given.channels.items():
        if channel.apprise:
            channels[name] = AppriseNotifier(journal, channel.apprise, name)
        else:
            channels[name] = JournaledNotifier(journal, _sender(given, channel), name)
    routes = [Route(route.severity, tuple(route.to), route.team) for route in given.routes]
    office = given.office_hours
    hours = None
    if office is not None:
        hours = make_office_hours(office.days, office.begins, office.ends, office.timezone)
    return Outlets(
        channels, routes, hours, updates=given.updates.policy,
        calendar=_calendar(given, channels), console_url=given.console_url,
    )  # fmt: skip


def _calendar(given: Settings, channels: Collection[str]) -> Callable[[], OfficeCalendar]:
    if not given.calendar:
        return OfficeCalendar
    zone = ZoneInfo(given.office_hours.timezone if given.office_hours is not None else "UTC")
    path = given.folder / given.calendar
    return WatchedFile(
        path, lambda text: read_calendar(text, zone, channels), OfficeCalendar(), MOST_BYTES
    )


def _sender(given: Settings, channel: Channel) -> Sender:
    if channel.pagerduty:
        return PagerDutySender(channel.pagerduty, channel.pagerduty_url)
    if channel.alertmanager:
        return AlertmanagerSender(channel.alertmanager)
    smtp = channel.smtp
    if smtp is None:
        return WebhookSender(channel.webhook, channel.token)
    return MailSender(
        smtp.host, smtp.port, sender=smtp.sender, to=smtp.to, user=smtp.user,
        password=smtp.password, encrypted=smtp.tls != "none",
        from_the_first_byte=smtp.tls == "implicit",
        authorities=given.folder / smtp.ca if smtp.ca else None,
    )  # fmt: skip


def lanes(given: Settings, held: SqlControlStore) -> Lanes:
    clock, feed = open_clock(given.clock), FileRoutingFeed(given.routing_file)
    made = make_lanes(held, clock, feed, outlets(given), LazyMirror(given), FileArtifacts())
    return Lanes(held, clock, made, given.steward_every_s)


def steward(
    given: Settings,
    held: SqlControlStore,
    wake: Callable[[], None],
    background: Callable[[Callable[[], None]], None],
) -> Steward:
    return Steward(
        f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}",
        held,
        DeltaEventLog(given.log_root, given.log_storage),
        open_clock(given.clock),
        FileRoutingFeed(given.routing_file),
        lease_s=given.lease_s,
        retention=given.retention,
        wake=wake,
        expire_after_s=given.spool_expire_after_s,
        pending=FilePendingRollbacks(given.pending_folder),
        upkeep_log=DeltaEventLog(given.log_root, given.log_storage),
        background=background,
        updates=given.updates.policy,
        digests=[
            DigestPlan(tuple(d.to), d.team, d.day, d.hour, ZoneInfo(d.timezone))
            for d in given.digests
        ],
        console_url=given.console_url,
        board=FileMetricsBoard(given.metrics_folder),
        watch_budget=WatchBudget(given.watching.cpu_s_per_hour or None),
    )
