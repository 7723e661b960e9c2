"""Keys, limits, trust and the audit."""

from __future__ import annotations

import getpass
import os
from typing import Annotated

import typer
from rich.console import Console

from windvane.apps.cli import show, wiring
from windvane.apps.cli.options import AsJson, Home, duration, print_json, rate
from windvane.core.routing import CLIENT_SCOPES, Scope, TenantLimit
from windvane.usecases.issue_key import issue_keys
from windvane.usecases.limit_tenant import limit_tenant
from windvane.usecases.publish_routing import publish_latest
from windvane.usecases.revoke_key import revoke_key, rotate_key
from windvane.usecases.trust_version import trust_version

keys_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="API keys: issue, list, rotate, revoke. A key is shown once; only its hash is kept.",
)
_out = Console()
_SCOPES = ", ".join(scope.value for scope in Scope)


def _by() -> str:
    """Who stands at this terminal, for the record."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):
        return f"cli:{os.getuid()}"


@keys_app.command("issue")
def issue(
    tenant: Annotated[str, typer.Argument(help="Whose requests and data it is.")],
    scope: Annotated[list[str] | None, typer.Option(help=f"May be repeated: {_SCOPES}.")] = None,
    expires: Annotated[
        str, typer.Option(help="Its lifetime, such as `90d`; none by default.")
    ] = "",
    name: Annotated[str, typer.Option(help="What it is for, in lists.")] = "cli",
    api_version: Annotated[
        str, typer.Option(help="The API version that its callers are pinned to.")
    ] = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Issue a key for a tenant. Without `--scope` it may predict and send outcomes."""
    settings = wiring.settings(home)
    store = wiring.store(settings)
    keys = issue_keys(
        store, wiring.clock(settings), [tenant], name, scopes=scope or CLIENT_SCOPES,
        expires_in_s=duration(expires, "--expires") if expires else None,
        api_version=api_version, by=_by(),
    )  # fmt: skip
    publish_latest(store, wiring.routing_feed(settings))
    if as_json:
        print_json({"tenant": tenant, "key": keys[tenant], "id": key_id(keys[tenant])})
    else:
        print(keys[tenant])


def key_id(key: str) -> str:
    """The part of a key that names it; no secret."""
    return key.split("_")[1]


@keys_app.command("list")
def list_keys(
    tenant: Annotated[str, typer.Argument(help="One tenant's; all by default.")] = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Every key that ever was: tenant, scopes, and when it ends or ended."""
    settings = wiring.settings(home)
    with wiring.store(settings).read() as tx:
        found = [k for k in tx.key_records() if tenant in ("", k.entry.tenant)]
    if as_json:
        print_json([show.key_row(k) for k in found])
        return
    _out.print(show.keys_table(found, wiring.clock(settings).wall()))


@keys_app.command("rotate")
def rotate(
    key: Annotated[str, typer.Argument(help="The key's id, as `key list` shows it.")],
    grace: Annotated[str, typer.Option(help="How long the old key still works.")] = "1d",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Issue the key's successor; the old one ends after the grace."""
    settings = wiring.settings(home)
    store = wiring.store(settings)
    fresh, record = rotate_key(
        store, wiring.clock(settings), key, grace_s=duration(grace, "--grace"), by=_by()
    )
    publish_latest(store, wiring.routing_feed(settings))
    if as_json:
        print_json({"tenant": record.entry.tenant, "key": fresh, "id": record.entry.id})
    else:
        print(fresh)


@keys_app.command("revoke")
def revoke(
    key: Annotated[str, typer.Argument(help="The key's id, as `key list` shows it.")],
    home: Home = None,
) -> None:
    """End a key now: every worker refuses it within two seconds."""
    settings = wiring.settings(home)
    store = wiring.store(settings)
    ended = revoke_key(store, wiring.clock(settings), key, by=_by())
    publish_latest(store, wiring.routing_feed(settings))
    _out.print(f"key {ended.entry.id} of {ended.entry.tenant} is revoked")


def limit(
    tenant: Annotated[str, typer.Argument(help="A tenant, or `*` for all that have no line.")] = "",
    rate_: Annotated[
        str, typer.Option("--rate", help="Such as `600 per minute`; `none` for no bound.")
    ] = "none",
    concurrent: Annotated[int, typer.Option(min=0, help="At one time; 0 for no bound.")] = 0,
    model: Annotated[str, typer.Option(help="On this model only.")] = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Bound what a tenant may ask for; without a tenant, list the bounds.

    With neither `--rate` nor `--concurrent` the tenant's bound is removed. It holds over all
    workers of the machine, and over all machines with `redis`.
    """
    settings = wiring.settings(home)
    store = wiring.store(settings)
    if tenant:
        requests, per_s = rate(rate_)
        given = TenantLimit(tenant, model, requests, per_s, concurrent)
        limit_tenant(store, wiring.clock(settings), given, by=_by())
        publish_latest(store, wiring.routing_feed(settings))
    with store.read() as tx:
        found = tx.limits()
    if as_json:
        print_json(found)
    else:
        _out.print(show.limits_table(found))


def trust(
    model: str,
    version: str,
    revoke: Annotated[bool, typer.Option(help="Take the trust back.")] = False,
    home: Home = None,
) -> None:
    """Vouch for a version whose files can run code when they are loaded.

    It is these very files that are trusted: a change of one byte ends it. They run in a
    process of their own with bounded memory and time.
    """
    settings = wiring.settings(home)
    store = wiring.store(settings)
    given = trust_version(store, wiring.clock(settings), model, version, by=_by(), revoke=revoke)
    publish_latest(store, wiring.routing_feed(settings))
    now = "no longer trusted" if revoke else "trusted"
    _out.print(f"{model} version {version} ({given.manifest[:12]}) is {now}")


def audit(
    tenant: Annotated[str, typer.Argument(help="One tenant; all by default.")] = "",
    since: Annotated[str, typer.Option(help="How far back, such as `7d`.")] = "7d",
    limit_: Annotated[int, typer.Option("--limit", min=1, max=10_000)] = 100,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Who called what, under which key, from when to when; newest first."""
    settings = wiring.settings(home)
    begin = wiring.clock(settings).now() - duration(since, "--since")
    with wiring.store(settings).read() as tx:
        found = tx.access(tenant, begin, limit_)
    if as_json:
        print_json(found)
    else:
        _out.print(show.access_table(found))


def tenants_commands(app: typer.Typer) -> None:
    """Add the commands that are not below ``key``."""
    for command in (limit, trust, audit):
        app.command()(command)
