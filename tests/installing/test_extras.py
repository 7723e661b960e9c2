"""What each role installs: light where it serves, whole where it works on the control state."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
HEAVY = {
    "pandas", "mlflow", "mlflow-skinny", "alembic", "sqlalchemy", "duckdb", "deltalake", "pyarrow",
    "scikit-learn", "apprise", "fastapi", "psycopg", "onnx",
}  # fmt: skip


def direct(*extras: str) -> list[Requirement]:
    """The requirements of the project with these extras, its own extras resolved."""
    out: list[Requirement] = [Requirement(text) for text in PROJECT["dependencies"]]
    waiting, seen = list(extras), set[str]()
    while waiting:
        extra = waiting.pop()
        if extra in seen:
            continue
        seen.add(extra)
        for text in EXTRAS[extra]:
            found = Requirement(text)
            if found.name == "windvane":
                waiting += found.extras
            else:
                out.append(found)
    return out


def installed(wanted: Iterable[Requirement]) -> set[str]:
    """The names of all that these bring with them, by what is installed here says of itself."""
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [(canonicalize_name(r.name), frozenset(r.extras)) for r in wanted]
    while waiting:
        place = waiting.pop()
        if place in seen:
            continue
        seen.add(place)
        name, extras = place
        for text in metadata.requires(name) or []:
            found = Requirement(text)
            environments = [{"extra": extra} for extra in extras] or [{"extra": ""}]
            if found.marker is None or any(found.marker.evaluate(e) for e in environments):
                waiting.append((canonicalize_name(found.name), frozenset(found.extras)))
    return {name for name, _ in seen}


def test_the_client_alone_is_two_packages_and_what_they_need() -> None:
    assert {r.name for r in direct()} == {"httpx", "msgspec"}
    assert installed(direct()) <= {
        "httpx", "msgspec", "anyio", "certifi", "httpcore", "h11", "idna", "sniffio",
        "typing-extensions",
    }  # fmt: skip


def test_a_gateway_installs_no_pandas_mlflow_or_database() -> None:
    names = installed(direct("gateway"))
    assert {"onnxruntime", "uvloop", "numpy", "xxhash", "pyjwt", "cryptography"} <= names
    assert names & HEAVY == set()
    assert installed(direct("gateway", "redis", "grpc", "xgboost", "lightgbm")) & HEAVY == set()


def test_all_is_every_role_and_dev_every_extra_but_the_demos_data() -> None:
    roles = {r.name for role in ("gateway", "control", "console", "train") for r in direct(role)}
    assert {r.name for r in direct("all")} == roles
    every = {r.name for extra in EXTRAS if extra not in ("demo", "build") for r in direct(extra)}
    assert every <= {r.name for r in direct("dev")}


@pytest.mark.parametrize("lock", ["dev", "demo"])
def test_a_lock_has_what_its_extras_name_with_hashes_and_no_address(lock: str) -> None:
    text = (ROOT / "requirements" / f"{lock}.txt").read_text()
    pins = [line for line in text.splitlines() if line and line[0].isalnum()]
    named = {canonicalize_name(line.partition("==")[0].partition("[")[0]) for line in pins}
    wanted = {canonicalize_name(r.name) for r in direct("build", "demo", lock)}
    assert wanted - named == set()
    assert all("==" in pin for pin in pins)
    assert text.count("--hash=sha256:") >= len(pins)
    for address in ("://", "--index", "--extra-index", "--find-links"):
        assert address not in text


def test_the_models_of_the_tests_are_pinned_apart_with_hashes_and_no_address() -> None:
    """Without what they depend on: what dev.txt pins is never installed twice."""
    folder = ROOT / "requirements"
    wanted = {
        Requirement(line.partition("#")[0]).name
        for line in (folder / "models.in").read_text().splitlines()
        if line and not line.startswith("#")
    }
    text, others = (folder / "models.txt").read_text(), (folder / "dev.txt").read_text()
    pins = {line.partition("==")[0] for line in text.splitlines() if line and line[0].isalnum()}
    assert pins == wanted
    assert text.count("--hash=sha256:") >= len(pins)
    for address in ("://", "--index", "--extra-index", "--find-links"):
        assert address not in text
    both = [line for line in others.splitlines() if line.partition("==")[0] in pins]
    assert both == []


_BLOCKED = """
import sys

class Refused:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Refused())
"""


def without(blocked: set[str], code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """``code`` in a process that lacks these packages."""
    return subprocess.run(
        [sys.executable, "-c", _BLOCKED.format(blocked=blocked) + code],
        env={**os.environ, **environment}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


CONTROL = {
    "pandas", "mlflow", "alembic", "sqlalchemy", "duckdb", "deltalake", "pyarrow", "sklearn",
    "apprise", "fastapi", "psycopg", "onnx", "typer", "rich", "jinja2",
}  # fmt: skip


def test_a_gateway_starts_and_answers_without_them(tmp_path: Path) -> None:
    code = """
import asyncio
from windvane.apps.gateway import wiring
from windvane.apps.gateway import __main__, http_server
from windvane.apps.gateway.openapi import document

async def run():
    worker = wiring.gateway(wiring.settings())
    await worker.start()
    await worker.stop()

asyncio.run(run())
assert document()
from windvane.apps.sandbox import serve, wiring
print("ready")
"""
    (tmp_path / "windvane.yaml").write_text(
        "oidc: {issuer: 'https://i', audience: a, jwks: keys.json}\n"
    )
    (tmp_path / "keys.json").write_text('{"keys": []}')
    done = without(CONTROL, code, WINDVANE_HOME=str(tmp_path))
    assert done.stdout.strip() == "ready", done.stderr


def test_the_client_works_without_anything_else() -> None:
    code = """
from windvane.client import Client, AsyncClient, NoResponse
with Client("http://127.0.0.1:9", "wv_x", retries=0) as client:
    try:
        client.predict("m", [{"x": 1.0}])
    except NoResponse:
        print("ready")
"""
    server = {"numpy", "onnxruntime", "uvicorn", "httptools", "xxhash", "yaml", "scipy", "jwt"}
    done = without(CONTROL | server, code)
    assert done.stdout.strip() == "ready", done.stderr


def test_the_command_says_what_to_install() -> None:
    done = without({"typer"}, "from windvane.apps.cli.entry import main; main()")
    assert done.returncode == 1
    assert "typer is not installed" in done.stderr
    assert "windvane[all]" in done.stderr
    assert "Traceback" not in done.stderr
