"""Keys, limits, trust and the audit."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from windvane.apps.cli import show, wiring
from windvane.apps.cli.changes import publish
from windvane.apps.cli.options import (
    AsJson,
    Home,
    ModelName,
    NoWait,
    Reason,
    VersionName,
    cli_actor,
    duration,
    rate,
)
from windvane.apps.cli.output import err, out, print_json
from windvane.core.errors import did_you_mean
from windvane.core.routing import CLIENT_SCOPES, Scope, TenantLimit
from windvane.ports.control_store import UnknownName
from windvane.usecases.actions import About, Asked, action_named, perform
from windvane.usecases.issue_key import issue_keys
from windvane.usecases.limit_tenant import limit_tenant
from windvane.usecases.revoke_key import revoke_key, rotate_key

keys_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="API keys: issue, list, rotate, revoke. A key is shown once; only its hash is kept.",
)
_SCOPES = ", ".join(scope.value for scope in Scope)


@keys_app.command("issue")
def issue(
    tenant: Annotated[str, typer.Argument(help="Whose requests and data it is.")],
    scope: Annotated[
        list[str] | None, typer.Option(help=f"What the key may do, repeatable: {_SCOPES}.")
    ] = None,
    expires: Annotated[
        str, typer.Option(help="Its lifetime, such as `90d`; none by default.")
    ] = "",
    role: Annotated[
        list[str] | None,
        typer.Option(
            help="What it may do by the control API, repeatable: `viewer`, "
            "`operator@team:TEAM`, `approver@model:MODEL`."
        ),
    ] = None,
    name: Annotated[str, typer.Option(help="What it is for, in lists.")] = "cli",
    api_version: Annotated[
        str, typer.Option(help="The API version that its callers are pinned to.")
    ] = "",
    reason: Reason = "",
    no_wait: NoWait = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Issue a key for a tenant. Without `--scope` it may predict and send outcomes; with a
    `--role` alone, read."""
    settings = wiring.settings(home)
    store = wiring.store(settings)
    scopes = [Scope.READ.value] if role else CLIENT_SCOPES
    keys = issue_keys(
        store, wiring.clock(settings), [tenant], name, scopes=scope or scopes,
        expires_in_s=duration(expires, "--expires") if expires else None,
        api_version=api_version, grants=role or (), by=cli_actor(), reason=reason,
    )  # fmt: skip
    if as_json:
        print_json({"tenant": tenant, "key": keys[tenant], "id": key_id(keys[tenant])})
    else:
        out.print(keys[tenant])
    publish(settings, store, wait=not no_wait)


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
        keys = [k for k in tx.key_records() if tenant in ("", k.entry.tenant)]
    if as_json:
        print_json([show.key_row(k) for k in keys])
    elif keys:
        out.table(*show.keys_table(keys, wiring.clock(settings).wall()))
    else:
        out.print(f"no key of {tenant}" if tenant else "no key yet")


@keys_app.command("rotate")
def rotate(
    key: Annotated[str, typer.Argument(help="The key's id, as `key list` shows it.")],
    grace: Annotated[str, typer.Option(help="How long the old key still works.")] = "1d",
    reason: Reason = "",
    no_wait: NoWait = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Issue the key's successor; the old one ends after the grace."""
    settings = wiring.settings(home)
    store = wiring.store(settings)
    fresh, record = rotate_key(
        store,
        wiring.clock(settings),
        key,
        grace_s=duration(grace, "--grace"),
        by=cli_actor(),
        reason=reason,
    )
    if as_json:
        print_json({"tenant": record.entry.tenant, "key": fresh, "id": record.entry.id})
    else:
        out.print(fresh)
    publish(settings, store, wait=not no_wait)


@keys_app.command("revoke")
def revoke(
    key: Annotated[str, typer.Argument(help="The key's id, as `key list` shows it.")],
    reason: Reason = "",
    no_wait: NoWait = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """End a key now: every worker refuses it within two seconds."""
    settings = wiring.settings(home)
    store = wiring.store(settings)
    ended = revoke_key(store, wiring.clock(settings), key, by=cli_actor(), reason=reason)
    if as_json:
        print_json(show.key_row(ended))
    else:
        out.print(f"key {ended.entry.id} of {ended.entry.tenant} is revoked")
    publish(settings, store, wait=not no_wait)


def limit(
    tenant: Annotated[
        str, typer.Argument(help="A tenant, or `*` for all that have no line; all by default.")
    ] = "",
    rate_: Annotated[
        str | None,
        typer.Option("--rate", help="Such as `600 per minute`; `none` for no bound."),
    ] = None,
    concurrent: Annotated[
        int | None,
        typer.Option(min=0, help="Requests under way at one time; 0 for no bound."),
    ] = None,
    model: Annotated[str, typer.Option(help="On this model only.")] = "",
    remove: Annotated[
        bool, typer.Option("--remove", help="Take the tenant's line back, with both bounds.")
    ] = False,
    reason: Reason = "",
    no_wait: NoWait = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Bound what a tenant may ask for; with no bound named, show the bounds.

    A bound that is not named stays as it is. It holds over all workers of the machine, and
    over all machines with `redis`.
    """
    changes = rate_ is not None or concurrent is not None
    if remove and changes:
        raise typer.BadParameter("--remove goes with neither --rate nor --concurrent")
    if (remove or changes) and not tenant:
        raise typer.BadParameter("a tenant is needed, or `*` for all that have no line")
    settings = wiring.settings(home)
    store = wiring.store(settings)
    with store.read() as tx:
        limits = tx.limits()
    before = next((x for x in limits if (x.tenant, x.model) == (tenant, model)), None)
    if remove and before is None:
        on = f" on {model}" if model else ""
        raise UnknownName(
            f"there is no limit of {tenant}{on}",
            hint=did_you_mean(tenant, {x.tenant for x in limits}),
        )
    if remove or changes:
        fresh = before or TenantLimit(tenant, model, 0, 60.0, 0)
        if remove:
            fresh = replace(fresh, rate=0, concurrent=0)
        if rate_ is not None:
            requests, per_s = rate(rate_)
            fresh = replace(fresh, rate=requests, per_s=per_s)
        if concurrent is not None:
            fresh = replace(fresh, concurrent=concurrent)
        if not remove and not fresh.rate and not fresh.concurrent:
            raise typer.BadParameter("neither bound would be left; --remove takes the line back")
        limit_tenant(store, wiring.clock(settings), fresh, by=cli_actor(), reason=reason)
        with store.read() as tx:
            limits = tx.limits()
        err.print(f"  the limit of {tenant} is {'removed' if remove else 'set'}")
        publish(settings, store, wait=not no_wait)
    if not (remove or changes):
        limits = [x for x in limits if tenant in ("", x.tenant) and model in ("", x.model)]
    if as_json:
        print_json(limits)
    elif limits:
        out.table(*show.limits_table(limits))
    else:
        out.print(f"no limit of {tenant}" if tenant else "no limit")


def trust(
    model: ModelName,
    version: VersionName,
    revoke: Annotated[bool, typer.Option("--revoke", help="Take the trust back.")] = False,
    reason: Reason = "",
    no_wait: NoWait = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Vouch for a version whose files can run code when they are loaded.

    It is these very files that are trusted: a change of one byte ends it. They run in a
    process of their own with bounded memory and time.
    """
    settings = wiring.settings(home)
    store = wiring.store(settings)
    action = action_named("distrust" if revoke else "trust", About.VERSION)
    asked = Asked(model, cli_actor(), reason, version)
    manifest = perform(store, wiring.clock(settings), action, asked).facts["manifest"]
    if as_json:
        print_json(
            {"model": model, "version": version, "manifest": manifest,
             "trusted": not revoke}
        )  # fmt: skip
    else:
        state = "no longer trusted" if revoke else "trusted"
        out.print(f"{model} version {version} ({manifest[:12]}) is {state}")
    publish(settings, store, wait=not no_wait)


def audit(
    tenant: Annotated[str, typer.Argument(help="One tenant; all by default.")] = "",
    since: Annotated[str, typer.Option(help="How far back, such as `7d`.")] = "7d",
    limit_: Annotated[
        int, typer.Option("--limit", min=1, max=10_000, help="The most lines.")
    ] = 100,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Who called what, under which key, from when to when; newest first."""
    settings = wiring.settings(home)
    begin = wiring.clock(settings).now() - duration(since, "--since")
    with wiring.store(settings).read() as tx:
        accesses = tx.access(tenant, begin, limit_)
    if as_json:
        print_json(accesses)
    elif accesses:
        out.table(*show.access_table(accesses))
    else:
        out.print(f"no call{f' of {tenant}' if tenant else ''} in {since}")
