"""windvane.yaml: defaults, where it is looked for, and mistakes that say their fix."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from windvane.usecases.read_settings import (
    FILE,
    HOME_VARIABLE,
    BadReference,
    BadSettings,
    Invocations,
    Oidc,
    Settings,
    Tracing,
    find_settings,
    read_secret,
    read_settings,
)


def test_an_empty_file_takes_the_embedded_defaults(tmp_path: Path) -> None:
    found = read_settings("", tmp_path)
    assert found == Settings(home=str(tmp_path))
    assert found.store_url == f"sqlite:///{tmp_path / 'control.db'}"
    assert found.registry_uri == f"sqlite:///{tmp_path / 'mlflow.db'}"
    assert found.log_root == str(tmp_path / "log")
    assert (found.artifacts, found.spool_root) == (tmp_path / "artifacts", tmp_path / "spool")
    assert found.routing_file == tmp_path / "routing.json"
    assert found.metrics_folder == tmp_path / "metrics"
    assert (found.workers, found.redis, found.oidc) == (1, "", None)


def test_scaled_parts_replace_the_embedded_ones(tmp_path: Path) -> None:
    text = "store: postgresql://db/windvane\nlog: s3://bucket/log\nlog_storage: {region: eu}\n"
    found = read_settings(text + "registry: http://mlflow\nport: 9000\n", tmp_path)
    assert found.store_url == "postgresql://db/windvane"
    assert (found.log_root, found.log_storage) == ("s3://bucket/log", {"region": "eu"})
    assert (found.registry_uri, found.port) == ("http://mlflow", 9000)


def test_tokens_are_taken_from_an_issuer(tmp_path: Path) -> None:
    text = "oidc: {issuer: 'https://id.example.com/', audience: windvane, jwks: keys.json}"
    assert read_settings(text, tmp_path).oidc == Oidc(
        "https://id.example.com/", "windvane", "keys.json", "tenant", "scope"
    )
    text = text.replace("}", ", tenant_claim: org, scopes_claim: roles}")
    found = read_settings(text, tmp_path).oidc
    assert found is not None
    assert (found.tenant_claim, found.scopes_claim) == ("org", "roles")


def test_traces_go_to_a_collector_if_one_is_named(tmp_path: Path) -> None:
    assert read_settings("", tmp_path).tracing is None
    text = "tracing: {endpoint: 'http://c:4318/v1/traces'}"
    assert read_settings(text, tmp_path).tracing == Tracing("http://c:4318/v1/traces", 0.01, {})
    text = """
tracing:
  endpoint: env:COLLECTOR
  ratio: 1
  headers: {Authorization: "file:token", x-org: acme}
"""
    (tmp_path / "token").write_text("Bearer of-the-collector\n")
    found = read_settings(text, tmp_path, {"COLLECTOR": "https://u:of-the-address@c/v1/traces"})
    assert found.tracing == Tracing(
        "https://u:of-the-address@c/v1/traces", 1.0,
        {"Authorization": "Bearer of-the-collector", "x-org": "acme"},
    )  # fmt: skip
    assert found.secrets == {
        "of-the-address", "Bearer of-the-collector", "of-the-collector", "acme"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("tracing", "said", "hint"),
    [
        ("{ratio: 0.5}", "endpoint", "settings.md"),
        ("{endpoint: 'http://c', rate: 0.5}", "tracing.rate", "'ratio'"),
        ("{endpoint: 'http://c', ratio: 1.5}", "tracing.ratio", "settings.md"),
        ("{endpoint: 'http://c', ratio: -0.1}", "tracing.ratio", "settings.md"),
        ("{endpoint: 'http://c', headers: {a: 1}}", "tracing.headers", "settings.md"),
        ("{endpoint: 'c:4318'}", "tracing.endpoint", "settings.md"),
        ("{endpoint: 'grpc://c:4317'}", "tracing.endpoint", "settings.md"),
        ("{endpoint: ''}", "tracing.endpoint", "settings.md"),
        ("true", "tracing", "settings.md"),
    ],
)
def test_a_mistake_about_traces_names_the_field(
    tracing: str, said: str, hint: str, tmp_path: Path
) -> None:
    with pytest.raises(BadSettings, match="SET-101") as raised:
        read_settings(f"tracing: {tracing}", tmp_path)
    assert said in raised.value.message
    assert hint in raised.value.advice


@pytest.mark.parametrize(
    ("oidc", "said", "hint"),
    [
        ("{issuer: i, audience: a}", "jwks", "settings.md"),
        ("{issuer: i, jwks: k}", "audience", "settings.md"),
        ("{issuer: i, audience: a, jwks: k, tenant_clam: org}", "tenant_clam", "'tenant_claim'"),
        ("{isuer: i, audience: a, jwks: k}", "isuer", "'issuer'"),
        ("{issuer: i, audience: a, jwks: k, algorithms: [none]}", "algorithms", "known: audience"),
        ("{issuer: [i], audience: a, jwks: k}", "oidc.issuer", "settings.md"),
        ("https://id.example.com", "oidc", "settings.md"),
    ],
)
def test_a_mistake_about_the_issuer_names_the_field(
    oidc: str, said: str, hint: str, tmp_path: Path
) -> None:
    with pytest.raises(BadSettings, match="SET-101") as raised:
        read_settings(f"oidc: {oidc}", tmp_path)
    assert said in raised.value.message
    assert hint in raised.value.advice


def test_a_relative_home_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes may start in another folder."""
    monkeypatch.chdir(tmp_path)
    assert read_settings("", Path("here")).folder == tmp_path / "here"


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("prot: 1", "'prot'", "did you mean 'port'?"),
        ("home: /x", "'home'", "known:"),
        ("1: 2", "1", "known:"),
        ("port: many", "port", "settings.md"),
        ("port: '8700'", "port", "settings.md"),
        ("notify: json://x", "notify", "settings.md"),
        ("log_storage: [a]", "log_storage", "settings.md"),
        ("- port", "mapping", "settings.md"),
        ("port: [", "not YAML", "settings.md"),
        ("!!python/object/apply:os.system ['true']", "not YAML", "settings.md"),
    ],
)
def test_a_mistake_names_the_setting_and_the_fix(
    text: str, said: str, hint: str, tmp_path: Path
) -> None:
    with pytest.raises(BadSettings, match="SET-101") as raised:
        read_settings(text, tmp_path)
    assert FILE in raised.value.message
    assert said in raised.value.message
    assert hint in raised.value.advice


NAMES = [field.name for field in msgspec.structs.fields(Settings)]


@given(
    st.dictionaries(
        st.sampled_from(NAMES) | st.text("abc", max_size=3),
        st.none() | st.booleans() | st.integers() | st.text("ab", max_size=3) | st.lists(st.none()),
        max_size=3,
    )
)
def test_any_mapping_is_read_or_ours_to_explain(body: dict[str, object]) -> None:
    text = msgspec.json.encode(body).decode()
    try:
        found: Settings | BadSettings = read_settings(text, Path("/x"))
    except BadSettings as error:
        found = error
    if isinstance(found, BadSettings):
        assert found.advice
    else:
        assert "home" not in body
        assert all(getattr(found, name) == value for name, value in body.items())


def test_no_cache_is_a_setting(tmp_path: Path) -> None:
    assert read_settings("cache_max_bytes: 0", tmp_path).cache_max_bytes == 0


def test_it_is_looked_for_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given_home, variable, here = (tmp_path / name for name in ("given", "variable", ".windvane"))
    for at, folder in enumerate((given_home, variable, here)):
        folder.mkdir()
        (folder / FILE).write_text(f"port: {9000 + at}")
    monkeypatch.chdir(tmp_path)
    environ = {HOME_VARIABLE: str(variable)}
    assert find_settings(environ, given_home).port == 9000
    assert find_settings(environ).port == 9001
    assert find_settings({}).port == 9002
    assert find_settings({HOME_VARIABLE: ""}).port == 9002
    assert find_settings({HOME_VARIABLE: str(tmp_path / "fresh")}).port == Settings().port


@pytest.mark.parametrize(
    "text",
    ["port: -1", "port: 70000", "lease_s: 0", "lease_s: -3", "spool_max_bytes: 0",
     "max_body_bytes: -1", "max_rows: 0", "recorder_every_s: -1", "workers: 0", "workers: 33",
     "max_under_way: 0", "max_deadline_s: 0", "cache_max_bytes: -1", "model_memory_bytes: 0",
     "drain_s: -1", "sandbox_memory_bytes: 0", "sandbox_timeout_s: 0", "redis: 6379",
     "sandbox_total_memory: 0", "sandbox_require: [moon]", "sandbox_require: files"],
)  # fmt: skip
def test_what_cannot_work_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(BadSettings):
        read_settings(text, tmp_path)


def test_a_port_is_bound_to_a_model_and_to_a_key_that_lies_elsewhere(tmp_path: Path) -> None:
    text = "invocations: [{port: 8710, model: late, key: 'env:LATE_KEY'}]"
    assert read_settings(text, tmp_path).invocations == [Invocations(8710, "late", "env:LATE_KEY")]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{port: 8710, model: late, key: wv_secret}", "key"),
        ("{port: 8710, model: late}", "key"),
        ("{port: 0, model: late, key: 'env:K'}", "port"),
        ("{port: 8700, model: late, key: 'env:K'}", "port and invocations have the same port 8700"),
        ("{port: 8701, model: late, key: 'env:K'}", "console_port and invocations have"),
        ("{port: 9, model: a, key: 'env:K'}, {port: 9, model: b, key: 'env:K'}", "port 9"),
        ("{port: 9, model: a, key: 'env:K', tenant: t}", "tenant"),
    ],
)
def test_a_port_that_cannot_be_bound_is_refused(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(BadSettings, match=said) as caught:
        read_settings(f"invocations: [{line}]", tmp_path)
    assert "wv_secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("grpc_port: 8700", "port and grpc_port have the same port 8700"),
        ("grpc_port: 0", "grpc_port"),
        ("tls: {certificate: a.pem}", "key"),
        ("tls: {certificates: a.pem, key: b.pem}", r"unknown setting 'tls\.certificates'"),
    ],
)
def test_what_cannot_be_listened_to_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(BadSettings, match=said):
        read_settings(text, tmp_path)


def test_a_secret_is_read_from_where_it_lies(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(" wv_1\n")
    assert read_secret("env:K", {"K": "wv_2"}, tmp_path) == "wv_2"
    assert read_secret("file:key", {}, tmp_path) == "wv_1"
    assert read_secret(f"file:{tmp_path / 'key'}", {}, tmp_path / "other") == "wv_1"
    (tmp_path / "blank").write_text("\n")
    for reference in ("env:NONE", "file:none", "file:blank", "file:."):
        with pytest.raises(BadReference, match=re.escape(reference)):
            read_secret(reference, {}, tmp_path)


# References


def test_a_text_may_come_from_the_environment_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "redis.txt").write_text("redis://u:one@h\n")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("postgresql://u:two@h/x")
    text = f"""
redis: file:redis.txt
store: file:{elsewhere}
notify: ["env:SLACK", "mailto://me"]
log: env:LOG
log_storage: {{aws_secret_access_key: "env:AWS", region: eu}}
oidc: {{issuer: "env:ISSUER", audience: a, jwks: keys.json}}
port: 9000
"""
    environ = {"SLACK": "slack://t", "LOG": "s3://b", "AWS": "three", "ISSUER": "https://i"}
    found = read_settings(text, tmp_path, environ)
    assert (found.redis, found.store) == ("redis://u:one@h", "postgresql://u:two@h/x")
    assert found.notify == ["slack://t", "mailto://me"]
    assert found.log_storage == {"aws_secret_access_key": "three", "region": "eu"}
    assert found.oidc is not None
    assert (found.oidc.issuer, found.log, found.port) == ("https://i", "s3://b", 9000)
    (tmp_path / FILE).write_text("redis: env:CACHE\n")
    assert find_settings({"CACHE": "redis://h"}, tmp_path).redis == "redis://h"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("redis: env:NOWHERE", "redis is 'env:NOWHERE', which is not set"),
        ("redis: env:EMPTY", "redis is 'env:EMPTY', which is not set"),
        ("store: file:nowhere", "store is 'file:nowhere': No such file"),
        ("store: file:empty", "has 0 characters"),
        ("store: file:large", "store is 'file:large': more than 65,536 bytes"),
        ("store: file:bytes", "it is no text"),
        ('notify: [a, "env:NOWHERE"]', "notify[1] is 'env:NOWHERE'"),
        ("oidc: {issuer: 'env:NOWHERE', audience: a, jwks: k}", "oidc.issuer is"),
        ("log_storage: {key: 'env:NOWHERE'}", "log_storage.key is"),
        ("tracing: {endpoint: 'http://c', headers: {a: 'env:NOWHERE'}}", "tracing.headers.a is"),
    ],
)
def test_a_reference_to_nothing_is_an_error_that_names_it(
    tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "empty").write_text(" \n")
    (tmp_path / "large").write_text("x" * 65_537)
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    with pytest.raises(BadReference) as raised:
        read_settings(text, tmp_path, {"EMPTY": ""})
    assert said in raised.value.message


def test_an_address_of_a_file_is_no_reference_where_addresses_begin_so(tmp_path: Path) -> None:
    found = read_settings("registry: file:///mlruns\nlog: file:///log\n", tmp_path)
    assert (found.registry, found.log) == ("file:///mlruns", "file:///log")


SECRET = "pass-of-nobody"


def test_settings_never_show_what_is_secret(tmp_path: Path) -> None:
    text = f"""
redis: redis://u:{SECRET}-1@h
store: postgresql://u:{SECRET}%2D2@h/x
notify: ["slack://{SECRET}-3"]
log_storage: {{aws_secret_access_key: {SECRET}-4, region: eu}}
"""
    found = read_settings(text, tmp_path)
    assert SECRET not in repr(found)
    assert SECRET not in str(list(found.__rich_repr__()))
    passwords = {f"{SECRET}-1", f"{SECRET}%2D2", f"{SECRET}-2"}
    assert found.secrets == passwords | {f"slack://{SECRET}-3", f"{SECRET}-4"}
    for wrong in (
        f"redis: redis://u:{SECRET}@h\n x: y", f"redis: [redis://u:{SECRET}@h]",
        f"port: {SECRET}", f'redis: "redis://u:{SECRET}@h', f"{{redis: {SECRET}: x}}",
    ):  # fmt: skip
        with pytest.raises(BadSettings) as raised:
            read_settings(wrong, tmp_path)
        assert SECRET not in str(raised.value)
        assert raised.value.__cause__ is None or SECRET not in str(raised.value.__cause__)
