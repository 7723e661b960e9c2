"""`windvane user`: passwords by standard input only; what is changed is on record."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from windvane.adapters.argon2 import Argon2Hasher
from windvane.adapters.sql import SqlControlStore
from windvane.apps.cli import up, wiring
from windvane.apps.cli.main import app
from windvane.core.authorization import BadGrant
from windvane.core.errors import WindvaneError
from windvane.usecases.manage_users import (
    BadPassword,
    BadUser,
    LastAdmin,
    UnknownUser,
    add_first_user,
    add_user,
)

PASSWORD = "correct horse battery"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir(mode=0o755)
    (folder / "windvane.yaml").write_text("")
    return folder


def call(home: Path, *words: str, password: str = PASSWORD) -> Any:
    given = f"{password}\n"
    return CliRunner().invoke(app, ["user", *words, "--home", str(home)], input=given)


def users(home: Path) -> dict[str, list[str]]:
    found = json.loads(call(home, "list", "--json").stdout)
    return {one["name"]: one["roles"] for one in found}


def store(home: Path) -> SqlControlStore:
    return SqlControlStore(f"sqlite:///{home / 'control.db'}")


def test_users_are_added_changed_and_removed(home: Path) -> None:
    assert "no user yet" not in call(home, "add", "root", "--role", "admin").stdout
    done = call(home, "add", "ana", "--role", "operator@team:ops", "--role", "viewer")
    assert done.stdout == "user ana is added: operator@team:ops, viewer\n"
    assert users(home) == {"ana": ["operator@team:ops", "viewer"], "root": ["admin"]}
    call(home, "role", "ana", "approver@model:late", "--reason", "new duty")
    call(home, "password", "ana", password="another long sentence")
    call(home, "remove", "root")
    assert users(home) == {"ana": ["approver@model:late"], "root": ["admin"]}
    call(home, "role", "ana", "admin")
    call(home, "remove", "root")
    assert users(home) == {"ana": ["admin"]}
    opened = store(home)
    with opened.read() as tx:
        decisions = tx.decisions("", 50)
        user = tx.find_user("ana")
    opened.close()
    assert user is not None
    assert Argon2Hasher().verify(user.password_hash, "another long sentence")
    told = {(d.action, d.subject, d.reason) for d in decisions}
    assert ("set_roles", "user ana", "new duty") in told
    assert {d.actor.partition(":")[0] for d in decisions} == {"cli"}
    assert PASSWORD not in str(decisions)


@pytest.mark.parametrize(
    ("words", "password", "error"),
    [
        (("add", "ana"), "short", BadPassword),
        (("add", "ana"), "x" * 257, BadPassword),
        (("add", "ana"), "aaaaaaaaaaaaaaa", BadPassword),
        (("add", "anastasia-x"), "anastasia-x1", BadPassword),
        (("add", "-ana", "--"), PASSWORD, BadUser),
        (("add", "a b"), PASSWORD, BadUser),
        (("add", "root"), PASSWORD, BadUser),
        (("add", "ana", "--role", "boss"), PASSWORD, BadGrant),
        (("password", "anna"), PASSWORD, UnknownUser),
        (("role", "root", "viewer"), PASSWORD, None),
        (("remove", "nobody"), PASSWORD, UnknownUser),
    ],
)
def test_what_cannot_be_is_said_and_changes_nothing(
    home: Path, words: tuple[str, ...], password: str, error: type[WindvaneError] | None
) -> None:
    call(home, "add", "root", "--role", "admin")
    call(home, "add", "ben", "--role", "viewer")
    before = users(home)
    done = call(home, *words, password=password)
    assert users(home) == before
    if error is not None and done.exit_code == 1:
        assert isinstance(done.exception, error), done.output
        assert password not in str(done.exception)
    assert done.exit_code != 0


def test_the_last_admin_stays(home: Path) -> None:
    call(home, "add", "root", "--role", "admin")
    call(home, "add", "ben", "--role", "admin@team:ops")
    for words in (("remove", "root"), ("role", "root", "approver")):
        assert isinstance(call(home, *words).exception, LastAdmin)
    assert users(home)["root"] == ["admin"]


def test_an_admin_who_is_the_only_user_stays_unless_a_group_of_the_provider_is_admin(
    home: Path,
) -> None:
    call(home, "add", "root", "--role", "admin")
    done = call(home, "remove", "root")
    assert isinstance(done.exception, LastAdmin)
    assert done.exception.message == "user root is the only admin of 1 user"
    provider = "sign_in: {oidc: {issuer: 'https://id.example', client_id: w, roles: {g: [%s]}}}\n"
    for role, left in (("admin@team:ops", ["root"]), ("admin", [])):
        (home / "windvane.yaml").write_text(provider % f'"{role}"')
        call(home, "remove", "root")
        assert list(users(home)) == left


def test_no_password_is_an_argument(home: Path) -> None:
    for command in ("add", "password"):
        helped = CliRunner().invoke(app, ["user", command, "--help"]).output
        assert "--password" not in helped
    opened = call(home, "add", "ana")
    assert PASSWORD not in opened.output


def test_the_first_user_is_made_once_and_its_password_shown_once(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = wiring.settings(home)
    opened = wiring.store(settings, begin=True)
    hasher = Argon2Hasher(memory_kib=64, passes=1)
    password = add_first_user(opened, wiring.clock(settings), hasher)
    assert password is not None
    assert len(password) == 24
    assert add_first_user(opened, wiring.clock(settings), hasher) is None
    with opened.read() as tx:
        (admin,) = tx.users()
    assert hasher.verify(admin.password_hash, password)
    up._tell_first_user(settings, password)
    printed = capsys.readouterr()
    assert password not in printed.out + printed.err, "what is no terminal is a log"
    file = home / "first-password"
    assert file.read_text() == f"{password}\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    add_user(opened, wiring.clock(settings), hasher, "ana", PASSWORD, ["viewer"], by="t")
    opened.close()
    call(home, "password", "admin")
    assert not file.exists(), "it is another one now"


def test_a_home_is_for_its_user_alone(tmp_path: Path) -> None:
    home = tmp_path / "new"
    settings = wiring.settings(home)
    old = os.umask(0o022)
    try:
        wiring.store(settings, begin=True).close()
        assert stat.S_IMODE(home.stat().st_mode) == 0o700
        home.chmod(0o755)
        wiring.store(settings, begin=True).close()
        assert stat.S_IMODE(home.stat().st_mode) == 0o700
    finally:
        os.umask(old)
