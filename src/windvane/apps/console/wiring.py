"""The console's adapters."""

from __future__ import annotations

import os

from fastapi import FastAPI

from windvane.adapters import logs
from windvane.adapters.argon2 import Argon2Hasher
from windvane.adapters.clock import open_clock
from windvane.adapters.delta import DeltaEventLog
from windvane.adapters.files import FileCertificate, FileMetricsBoard, FileRoutingFeed, free_bytes
from windvane.adapters.pip import PipEnvironments
from windvane.adapters.sql import SqlControlStore
from windvane.adapters.trial import TrialProcess
from windvane.apps.console.app import make_app
from windvane.apps.console.curl import GatewayAddress
from windvane.apps.console.hosts import AllowedHosts
from windvane.apps.console.signing_in import SignInWays
from windvane.apps.console.visiting import Cookies
from windvane.ports.certificate import Certificate
from windvane.ports.openid import OpenIdProvider
from windvane.usecases.actions.serving_checks import checks_here
from windvane.usecases.read_settings import HOME_VARIABLE, Settings, find_settings
from windvane.usecases.sign_in import SessionLimits


def settings() -> Settings:
    return find_settings(os.environ)


def start_logging(given: Settings) -> None:
    logs.start_logging("console", given.log_format, given.secrets)


def certificate(given: Settings) -> Certificate | None:
    """Raises BadCertificate."""
    return FileCertificate.of(given.certificate)


def console(given: Settings) -> FastAPI:
    """The application over the installation's control store."""
    store = SqlControlStore(given.store_url)
    return make_app(
        store,
        open_clock(given.clock),
        feed=FileRoutingFeed(given.routing_file),
        board=FileMetricsBoard(given.metrics_folder),
        disk=lambda: free_bytes(given.disks),
        log=DeltaEventLog(given.log_root, given.log_storage),
        retention=given.retention,
        disk_warning_days=given.disk_warning_days,
        hosts=AllowedHosts(given.host, given.console_hosts),
        expire_after_s=given.spool_expire_after_s,
        updates=given.updates.policy,
        ways=_sign_in_ways(given),
        open_metrics=given.metrics_without_sign_in,
        gateway=_gateway(given),
        checks=checks_here(
            PipEnvironments(given.environments), TrialProcess((HOME_VARIABLE, given.folder))
        ),
        close=store.close,
    )


def _gateway(given: Settings) -> GatewayAddress:
    everywhere = given.host in ("0.0.0.0", "::", "")
    return GatewayAddress(given.scheme, "" if everywhere else given.host, given.port)


def _sign_in_ways(given: Settings) -> SignInWays:
    asked = given.sign_in
    secure = given.tls is not None or asked.secure_cookies
    return SignInWays(
        hasher=Argon2Hasher(),
        provider=_provider(given),
        roles=asked.oidc.roles if asked.oidc is not None else {},
        redirect_uri=asked.oidc.redirect_uri if asked.oidc is not None else "",
        limits=SessionLimits(asked.idle_s, asked.lifetime_s),
        cookies=Cookies(f"windvane-{given.console_port}", secure),
    )


def _provider(given: Settings) -> OpenIdProvider | None:
    asked = given.sign_in.oidc
    if asked is None:
        return None
    from windvane.adapters.jwt import OidcProvider  # with an HTTP client and cryptography

    return OidcProvider(
        issuer=asked.issuer, client_id=asked.client_id, client_secret=asked.client_secret,
        scopes=asked.scopes, name_claim=asked.name_claim, groups_claim=asked.groups_claim,
    )  # fmt: skip
