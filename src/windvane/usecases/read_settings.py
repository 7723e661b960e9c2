"""The installation's settings: one small file, every field with a default."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar

import msgspec
import yaml

from windvane.core.errors import WindvaneError, did_you_mean
from windvane.ports.sandbox import Protection

FILE = "windvane.yaml"
HOME_VARIABLE = "WINDVANE_HOME"
# What the supervisor tells a gateway worker.
WORKER_VARIABLE = "WINDVANE_WORKER"  # its number among those of the machine
SHARED_FD_VARIABLE = "WINDVANE_SHARED_FD"  # memory that the workers share
LISTEN_FD_VARIABLE = "WINDVANE_LISTEN_FD"  # the socket that they all accept from
READY_FD_VARIABLE = "WINDVANE_READY_FD"  # where to say that it accepts connections


class BadSettings(WindvaneError):
    """windvane.yaml has a field that is unknown or of the wrong type."""

    code: ClassVar[str] = "SET-101"
    hint = "docs/reference/settings.md describes every field"


Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Positive = Annotated[int, msgspec.Meta(gt=0)]
Seconds = Annotated[float, msgspec.Meta(gt=0.0)]


class Oidc(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The issuer whose tokens are taken beside API keys. ``jwks``: where its keys lie, an
    address or a file. ``tenant_claim`` names the tenant, ``scopes_claim`` what it may do."""

    issuer: str
    audience: str
    jwks: str
    tenant_claim: str = "tenant"
    scopes_claim: str = "scope"


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where things lie and how often they are looked at.

    Paths are relative to the home folder; "" takes the embedded default.
    """

    host: str = "127.0.0.1"
    port: Port = 8700
    console_port: Port = 8701
    store: str = ""
    log: str = ""
    log_storage: dict[str, str] = {}
    registry: str = ""
    notify: list[str] = []
    clock: str = ""
    spool_max_bytes: Positive = 1 << 30
    recorder_every_s: Seconds = 1.0
    steward_every_s: Seconds = 0.5
    lease_s: Seconds = 10.0
    sync_every_s: Seconds = 1.0
    max_body_bytes: Positive = 1 << 20
    max_rows: Positive = 1_000
    workers: Annotated[int, msgspec.Meta(ge=1, le=32)] = 1
    max_under_way: Positive = 2_000
    max_deadline_s: Seconds = 60.0
    cache_max_bytes: Annotated[int, msgspec.Meta(ge=0)] = 16 << 20
    model_memory_bytes: Positive = 1 << 30
    drain_s: Seconds = 5.0
    redis: str = ""
    idempotency_ttl_s: Seconds = 86_400.0
    events_max_age_s: Seconds = 604_800.0
    oidc: Oidc | None = None
    sandbox_memory_bytes: Positive = 4 << 30
    sandbox_timeout_s: Seconds = 5.0
    sandbox_total_memory: Positive = 64 << 30
    sandbox_require: list[Protection] = []
    home: str = "."

    @property
    def folder(self) -> Path:
        return Path(self.home)

    @property
    def store_url(self) -> str:
        return self.store or f"sqlite:///{self.folder / 'control.db'}"

    @property
    def log_root(self) -> str:
        return self.log or str(self.folder / "log")

    @property
    def registry_uri(self) -> str:
        return self.registry or f"sqlite:///{self.folder / 'mlflow.db'}"

    @property
    def artifacts(self) -> Path:
        return self.folder / "artifacts"

    @property
    def spool_root(self) -> Path:
        return self.folder / "spool"

    @property
    def metrics_folder(self) -> Path:
        return self.folder / "metrics"

    @property
    def routing_file(self) -> Path:
        return self.folder / "routing.json"


def read_settings(text: str, home: Path) -> Settings:
    """Parse windvane.yaml ("" for all defaults); raises BadSettings."""
    try:
        body: Any = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise BadSettings(f"{FILE} is not YAML: {error}") from error
    if not isinstance(body, dict):
        raise BadSettings(f"{FILE} must be a mapping of settings")
    for name in body:
        if name not in Settings.__struct_fields__ or name == "home":
            hint = did_you_mean(str(name), [f for f in Settings.__struct_fields__ if f != "home"])
            raise BadSettings(f"{FILE}: unknown setting {name!r}", hint=hint)
    given = body.get("oidc")
    for name in given if isinstance(given, dict) else ():
        if name not in Oidc.__struct_fields__:
            hint = did_you_mean(str(name), Oidc.__struct_fields__)
            raise BadSettings(f"{FILE}: unknown setting {f'oidc.{name}'!r}", hint=hint)
    try:
        return msgspec.convert({**body, "home": str(home.resolve())}, Settings)
    except msgspec.ValidationError as error:
        raise BadSettings(f"{FILE}: {error}") from error


def find_settings(environ: Mapping[str, str], home: Path | None = None) -> Settings:
    """The settings of ``home``, else of $WINDVANE_HOME, else of ./.windvane."""
    folder = home or Path(environ.get(HOME_VARIABLE) or ".windvane")
    file = folder / FILE
    return read_settings(file.read_text() if file.is_file() else "", folder)
