"""The installation's settings: one small file, every field with a default."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import unquote, urlsplit

import msgspec
import yaml

from windvane.core.alerting import Severity
from windvane.core.alerting.delivery import DEFAULT
from windvane.core.alerting.updates import UpdatePolicy
from windvane.core.authorization import BadGrant, parse_grants
from windvane.core.errors import WindvaneError, did_you_mean
from windvane.inference.type_errors import find_type_error
from windvane.ports.bounded_yaml import BadYaml, load_yaml
from windvane.ports.regular_file import read_regular_file
from windvane.ports.sandbox import Protection
from windvane.usecases.office_hours import make_office_hours

FILE = "windvane.yaml"
HOME_VARIABLE = "WINDVANE_HOME"
# What the supervisor tells a gateway worker.
WORKER_VARIABLE = "WINDVANE_WORKER"  # its number among those of the machine
SHARED_FD_VARIABLE = "WINDVANE_SHARED_FD"  # memory that the workers share
LISTEN_FD_VARIABLE = "WINDVANE_LISTEN_FD"  # the socket that they all accept from
READY_FD_VARIABLE = "WINDVANE_READY_FD"  # where to say that it accepts connections
PREDECESSOR_VARIABLE = "WINDVANE_PREDECESSOR"  # the worker that answers and that it replaces


class BadSettings(WindvaneError):
    """windvane.yaml has a field that is unknown or of the wrong type."""

    code: ClassVar[str] = "SET-101"
    hint = "docs/reference/settings.md describes every field"


class BadReference(WindvaneError):
    """A setting refers to an environment variable or a file that is not there."""

    code: ClassVar[str] = "SET-102"
    hint = "`env:NAME` takes an environment variable, `file:/path` the text of a file"


class MissingExtra(WindvaneError):
    """A setting asks for what an extra of the package brings, and it is not installed."""

    code: ClassVar[str] = "SET-103"
    hint = "docs/reference/extras.md lists the extras: `pip install windvane[grpc]`, say"


_MOST_REFERENCED = 65_536
# Their own addresses may begin so.
_FILE_IS_AN_ADDRESS = frozenset({"log", "registry"})
# By the one process that needs them, see `read_secret`.
_FOLLOWED_LATER = frozenset({"invocations"})
_FOR_READING = ("smtp", "apprise")
_SECRET_WORDS = ("secret", "password", "token", "key", "sas", "credential")

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
HostName = Annotated[str, msgspec.Meta(pattern=r"^(\*|(\*\.)?[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+)$")]
Bytes = Annotated[int, msgspec.Meta(gt=0, le=1 << 50)]
Count = Annotated[int, msgspec.Meta(gt=0, le=10_000_000)]
Seconds = Annotated[float, msgspec.Meta(gt=0.0, le=315_576_000.0)]  # ten years


class Oidc(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The issuer whose tokens are taken beside API keys. ``jwks``: where its keys lie, an
    address or a file. ``tenant_claim`` names the tenant, ``scopes_claim`` what it may do."""

    issuer: str
    audience: str
    jwks: str
    tenant_claim: str = "tenant"
    scopes_claim: str = "scope"


class SignInOidc(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The identity provider that people sign in by. ``roles`` are those of its groups: a group's
    name, and roles such as ``viewer`` or ``operator@team:ops``. ``redirect_uri`` "" follows from
    the name that the console was asked under."""

    issuer: Annotated[str, msgspec.Meta(pattern=r"^https?://[^/\s]")]
    client_id: str
    client_secret: str = ""
    roles: dict[str, list[str]] = {}
    scopes: list[str] = []
    name_claim: str = "sub"
    groups_claim: str = "groups"
    redirect_uri: str = ""


class SignIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How people sign in to the console. A session ends ``idle_s`` after its last request and
    ``lifetime_s`` after its begin. ``secure_cookies``: browsers reach the console by TLS, though
    what makes it is a proxy in front."""

    idle_s: Seconds = 28_800.0
    lifetime_s: Seconds = 604_800.0
    secure_cookies: bool = False
    oidc: SignInOidc | None = None


class Invocations(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A port that is bound to one model and, by a key, to one tenant. ``key`` says where that
    key is: ``env:NAME`` or ``file:PATH``."""

    port: Annotated[int, msgspec.Meta(ge=1, le=65535)]
    model: str
    key: Annotated[str, msgspec.Meta(pattern="^(env|file):.+$")]


class Tls(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The certificate, with its chain, and its key: two PEM files, which are read again when they
    change."""

    certificate: str
    key: str


class Tracing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where traces of requests go, by OTLP over HTTP. ``endpoint`` is the whole address, with
    its path; ``headers`` go with every export. Of requests whose client began no trace,
    ``ratio`` are traced."""

    endpoint: Annotated[str, msgspec.Meta(pattern=r"^https?://[^/\s]")]
    ratio: Annotated[float, msgspec.Meta(ge=0.0, le=1.0)] = 0.01
    headers: dict[str, str] = {}


class Smtp(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A mail server, and from whom to whom. ``tls``: by STARTTLS, from the first byte, or none;
    ``ca`` is a file of authorities that are trusted beside the public ones."""

    host: str
    sender: str
    to: Annotated[list[str], msgspec.Meta(min_length=1, max_length=50)]
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 587
    user: str = ""
    password: str = ""
    tls: Literal["starttls", "implicit", "none"] = "starttls"
    ca: str = ""


Address = Annotated[str, msgspec.Meta(pattern=r"^(https?://[^/\s].*)?$")]


class Channel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A way to tell people, by one of: addresses of ``apprise``, a routing key of ``pagerduty``
    (``pagerduty_url``: of another region), the address of an ``alertmanager``, a ``webhook`` that
    takes Alertmanager's format (with a bearer ``token``), a mail server."""

    apprise: list[str] = []
    pagerduty: str = ""
    pagerduty_url: Address = ""
    alertmanager: Address = ""
    webhook: Address = ""
    token: str = ""
    smtp: Smtp | None = None

    @property
    def kinds(self) -> list[str]:
        named = ("apprise", "pagerduty", "alertmanager", "webhook", "smtp")
        return [name for name in named if getattr(self, name)]

    @property
    def secrets(self) -> set[str]:
        """What no log line may hold."""
        out = {*self.apprise, self.pagerduty, self.webhook, self.token}
        for url in (*self.apprise, self.alertmanager, self.webhook, self.pagerduty_url):
            out |= _passwords(url)
        return out | ({self.smtp.password} if self.smtp is not None else set())


class NotifyRoute(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who is told of a severity, of a team's models or ("") of all: channels in this order."""

    severity: Severity
    to: Annotated[list[str], msgspec.Meta(min_length=1, max_length=20)]
    team: str = ""


class DigestWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who gets the weekly digest: ``to`` these channels, about models of ``team`` or ("") of all,
    on ``day`` at the full ``hour`` of ``timezone``."""

    to: Annotated[list[str], msgspec.Meta(min_length=1, max_length=20)]
    team: str = ""
    day: Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"] = "mon"
    hour: Annotated[int, msgspec.Meta(ge=0, le=23)] = 8
    timezone: str = "UTC"


class Office(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When somebody is there, in local time of ``timezone``."""

    days: list[str] = msgspec.field(default_factory=lambda: ["mon", "tue", "wed", "thu", "fri"])
    begins: str = "09:00"
    ends: str = "17:00"
    timezone: str = "UTC"


UpdateSeconds = Annotated[float, msgspec.Meta(ge=60.0, le=604_800.0)]


class Updates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How often an open incident of each severity wants an update (s)."""

    high_s: UpdateSeconds = 900.0
    medium_s: UpdateSeconds = 1_800.0
    low_s: UpdateSeconds = 3_600.0

    @property
    def policy(self) -> UpdatePolicy:
        return UpdatePolicy(self.high_s, self.medium_s, self.low_s)


Days = Annotated[float, msgspec.Meta(gt=0.0, le=36_600.0)]


class Retention(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For how many days each kind of thing is kept. Predictions and outcomes of the log stay at
    least as long as a model waits for outcomes. Sketches of windows are kept one by one for
    ``windows``, then by the hour for ``hours``, then by the day for ``sketches``; what drift pages
    draw for ``details``."""

    predictions: Days = 90.0
    refusals: Days = 30.0
    outcomes: Days = 400.0
    windows: Days = 3.0
    hours: Days = 60.0
    sketches: Days = 800.0
    details: Days = 3.0
    verdicts: Days = 90.0
    decisions: Days = 800.0
    access: Days = 400.0


class Watching(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What watching may cost: seconds of CPU in an hour of one steward, 0 for as many as it
    takes."""

    cpu_s_per_hour: Annotated[float, msgspec.Meta(ge=0.0, le=360_000.0)] = 1_800.0


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where things lie and how often they are looked at.

    A text may be a reference, `env:NAME` or `file:/path`; here it is what that gave. Paths are
    relative to the home folder; "" takes the embedded default.
    """

    host: str = "127.0.0.1"
    port: Port = 8700
    console_port: Port = 8701
    console_hosts: list[HostName] = []
    sign_in: SignIn = SignIn()
    metrics_without_sign_in: bool = False
    store: str = ""
    log: str = ""
    retention: Retention = Retention()
    log_storage: dict[str, str] = {}
    registry: str = ""
    notify: list[str] = []
    channels: dict[str, Channel] = {}
    routes: list[NotifyRoute] = []
    office_hours: Office | None = None
    calendar: str = ""
    updates: Updates = Updates()
    digests: Annotated[list[DigestWanted], msgspec.Meta(max_length=100)] = []
    console_url: Address = ""
    clock: str = ""
    disk_warning_days: Days = 14.0
    spool_max_bytes: Bytes = 1 << 30
    spool_expire_after_s: Annotated[float, msgspec.Meta(ge=60.0, le=31_622_400.0)] = 600.0
    recorder_every_s: Seconds = 1.0
    log_commit_every_s: Annotated[float, msgspec.Meta(ge=0.0, le=3_600.0)] = 60.0
    log_commit_bytes: Bytes = 64 << 20
    steward_every_s: Seconds = 0.5
    watching: Watching = Watching()
    lease_s: Seconds = 10.0
    sync_every_s: Seconds = 1.0
    max_body_bytes: Bytes = 1 << 20
    max_rows: Count = 1_000
    workers: Annotated[int, msgspec.Meta(ge=1, le=32)] = 1
    max_under_way: Count = 2_000
    max_deadline_s: Seconds = 60.0
    cache_max_bytes: Annotated[int, msgspec.Meta(ge=0, le=1 << 50)] = 16 << 20
    model_memory_bytes: Bytes = 1 << 30
    drain_s: Seconds = 5.0
    redis: str = ""
    idempotency_ttl_s: Seconds = 86_400.0
    events_max_age_s: Seconds = 604_800.0
    oidc: Oidc | None = None
    invocations: list[Invocations] = []
    grpc_port: Annotated[int, msgspec.Meta(ge=1, le=65535)] | None = None
    tls: Tls | None = None
    sandbox_memory_bytes: Bytes = 4 << 30
    sandbox_timeout_s: Seconds = 5.0
    sandbox_total_memory: Bytes = 64 << 30
    sandbox_require: list[Protection] = []
    remote_ca: str = ""
    log_format: Literal["text", "json"] = "text"
    tracing: Tracing | None = None
    home: str = "."

    def __repr__(self) -> str:
        """Without the rest: some of it is secret."""
        return f"Settings(home={self.home!r})"

    def __rich_repr__(self) -> Iterator[tuple[str, str]]:
        yield "home", self.home

    @property
    def secrets(self) -> frozenset[str]:
        """What no log line may hold: passwords of addresses, addresses that are themselves
        secret, credentials of the log's storage, and what goes with exported traces."""
        out = set(self.notify)
        for url in (self.store, self.registry, self.redis, self.log, *self.notify):
            out |= _passwords(url)
        for channel in self.channels.values():
            out |= channel.secrets
        for name, value in self.log_storage.items():
            if any(word in name.lower() for word in _SECRET_WORDS):
                out.add(value)
        if self.sign_in.oidc is not None:
            out.add(self.sign_in.oidc.client_secret)
        if self.tracing is not None:
            out |= _passwords(self.tracing.endpoint)
            for value in self.tracing.headers.values():
                out |= {value, value.rpartition(" ")[2]}  # with and without its scheme
        return frozenset(out - {""})

    @property
    def folder(self) -> Path:
        return Path(self.home)

    @property
    def certificate(self) -> tuple[Path, Path] | None:
        """The files of the certificate and of its key."""
        if self.tls is None:
            return None
        return self.folder / self.tls.certificate, self.folder / self.tls.key

    @property
    def remote_authorities(self) -> Path | None:
        """The file of authorities that are trusted of servers of models."""
        return self.folder / self.remote_ca if self.remote_ca else None

    @property
    def scheme(self) -> str:
        return "http" if self.tls is None else "https"

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
    def environments(self) -> Path:
        """Where packages of models' own lie."""
        return self.folder / "environments"

    @property
    def spool_root(self) -> Path:
        return self.folder / "spool"

    @property
    def disks(self) -> tuple[Path, ...]:
        """Folders on every disk of this machine that is written to."""
        remote = "://" in self.log_root and not self.log_root.startswith("file://")
        log = () if remote else (Path(self.log_root.removeprefix("file://")),)
        return (self.folder, self.spool_root, *log)

    @property
    def metrics_folder(self) -> Path:
        return self.folder / "metrics"

    @property
    def pending_folder(self) -> Path:
        """What was done while the control database did not answer."""
        return self.folder / "pending"

    @property
    def routing_file(self) -> Path:
        return self.folder / "routing.json"


def read_settings(text: str, home: Path, environ: Mapping[str, str] | None = None) -> Settings:
    """Parse windvane.yaml ("" for all defaults), with the references in it followed. A file is
    relative to ``home``. Raises BadSettings, BadReference."""
    try:
        body: Any = load_yaml(text) or {}
    except yaml.YAMLError as error:
        # Not the text around it, which may hold a password.
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark is not None else ""
        message = getattr(error, "problem", None) or type(error).__name__
        raise BadSettings(f"{FILE} is not YAML{where}: {message}") from None
    except BadYaml as error:
        raise BadSettings(f"{FILE}: {error}") from None
    except ValueError:
        raise BadSettings(f"{FILE} has a number or a time that cannot be read") from None
    if not isinstance(body, dict):
        raise BadSettings(f"{FILE} must be a mapping of settings")
    for name in body:
        if name not in Settings.__struct_fields__ or name == "home":
            hint = did_you_mean(str(name), [f for f in Settings.__struct_fields__ if f != "home"])
            raise BadSettings(f"{FILE}: unknown setting {name!r}", hint=hint)
    for outer, kind in (("oidc", Oidc), ("tls", Tls), ("tracing", Tracing), ("sign_in", SignIn),
                        ("office_hours", Office), ("updates", Updates)):  # fmt: skip
        given, known = body.get(outer), kind.__struct_fields__
        for name in given if isinstance(given, dict) else ():
            if name not in known:
                hint = did_you_mean(str(name), known)
                raise BadSettings(f"{FILE}: unknown setting {f'{outer}.{name}'!r}", hint=hint)
    followed = {
        name: _follow(name, value, home, environ or {}, file=name not in _FILE_IS_AN_ADDRESS)
        if name not in _FOLLOWED_LATER
        else value
        for name, value in body.items()
    }
    given = {**followed, "home": str(home.resolve())}
    fault = find_type_error(given, Settings, secret=True)
    if fault is not None:
        raise BadSettings(f"{FILE}: {fault}", hint=fault.hint or None)
    found = msgspec.convert(given, Settings)
    _check_ports(found)
    _check_roles(found)
    _check_routes(found)
    _check_digests(found)
    return found


def _check_routes(found: Settings) -> None:
    """Raises BadSettings for a channel or a route that could tell nobody."""
    for name, channel in found.channels.items():
        where = f"{FILE}: channels.{name[:80]}"
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,62}", name) or name == DEFAULT:
            hint = f"lower-case letters, digits and dashes; {DEFAULT!r} is the setting of that name"
            raise BadSettings(f"{where}: this cannot be a channel's name", hint=hint)
        if len(channel.kinds) != 1:
            sides = " and ".join(channel.kinds) or "none"
            hint = "apprise, pagerduty, alertmanager, webhook or smtp"
            raise BadSettings(f"{where} is of one kind, here is {sides}", hint=hint)
    known = [DEFAULT, *found.channels]
    for i, route in enumerate(found.routes):
        for name in route.to:
            if name not in known:
                hint = did_you_mean(name, known)
                raise BadSettings(f"{FILE}: routes[{i}]: no channel {name[:80]!r}", hint=hint)
        if len(set(route.to)) < len(route.to):
            raise BadSettings(f"{FILE}: routes[{i}]: a channel is there twice", hint="name it once")
    office = found.office_hours
    if office is not None:
        try:
            make_office_hours(office.days, office.begins, office.ends, office.timezone)
        except ValueError as error:
            raise BadSettings(f"{FILE}: office_hours: {error}") from None


def _check_digests(found: Settings) -> None:
    """Raises BadSettings for one that could reach nobody, or would wake somebody."""
    known = [DEFAULT, *found.channels]
    for i, wanted in enumerate(found.digests):
        where = f"{FILE}: digests[{i}]"
        for name in wanted.to:
            if name not in known:
                raise BadSettings(
                    f"{where}: no channel {name[:80]!r}", hint=did_you_mean(name, known)
                )
            kinds = [] if name == DEFAULT else found.channels[name].kinds
            if kinds and kinds[0] not in _FOR_READING:
                hint = f"one of {' or '.join(_FOR_READING)}, or {DEFAULT!r}"
                raise BadSettings(f"{where}: {name[:80]!r} is for alarms ({kinds[0]})", hint=hint)
        if len(set(wanted.to)) < len(wanted.to):
            raise BadSettings(f"{where}: a channel is there twice", hint="name it once")
        try:
            make_office_hours([wanted.day], "00:00", "23:59", wanted.timezone)
        except ValueError as error:
            raise BadSettings(f"{where}: {error}") from None


def _check_roles(found: Settings) -> None:
    """Raises BadSettings, naming the group whose roles cannot be read."""
    oidc = found.sign_in.oidc
    for group, roles in oidc.roles.items() if oidc is not None else ():
        try:
            parse_grants(roles)
        except BadGrant as error:
            where = f"{FILE}: sign_in.oidc.roles.{group[:80]}"
            raise BadSettings(f"{where}: {error.message}", hint=error.advice) from error


def _check_ports(found: Settings) -> None:
    given = [("port", found.port), ("console_port", found.console_port)]
    if found.grpc_port is not None:
        given.append(("grpc_port", found.grpc_port))
    given += [("invocations", one.port) for one in found.invocations]
    taken: dict[int, str] = {}
    for name, port in given:
        if port in taken:
            raise BadSettings(f"{FILE}: {taken[port]} and {name} have the same port {port}")
        if port:  # 0 is whichever is free
            taken[port] = name


def read_secret(reference: str, environ: Mapping[str, str], folder: Path) -> str:
    """What ``env:NAME`` or ``file:PATH`` (of the home folder, if it is relative) holds, without
    the white space around it. Raises BadReference, which never has the secret itself."""
    found: str = _follow("key", reference, folder, environ, file=True)
    return found.strip()


def find_settings(environ: Mapping[str, str], home: Path | None = None) -> Settings:
    """The settings of ``home``, else of $WINDVANE_HOME, else of ./.windvane."""
    folder = home or Path(environ.get(HOME_VARIABLE) or ".windvane")
    file = folder / FILE
    return read_settings(file.read_text() if file.is_file() else "", folder, environ)


def _follow(name: str, value: Any, home: Path, environ: Mapping[str, str], *, file: bool) -> Any:
    """``value`` with each text in it that is a reference replaced. Raises BadReference."""
    if isinstance(value, dict):
        held: dict[Any, Any] = value
        return {
            key: _follow(f"{name}.{key}", one, home, environ, file=file)
            for key, one in held.items()
        }
    if isinstance(value, list):
        items: list[Any] = value
        return [
            _follow(f"{name}[{i}]", one, home, environ, file=file) for i, one in enumerate(items)
        ]
    if not isinstance(value, str):
        return value
    if value.startswith("env:"):
        found = environ.get(value[4:])
        if not found:
            raise BadReference(f"{FILE}: {name} is {value!r}, which is not set")
        return found
    if file and value.startswith("file:"):
        path = home / value[5:].removeprefix("//")
        try:
            text = read_regular_file(path, _MOST_REFERENCED).decode().strip()
        except (OSError, UnicodeDecodeError, ValueError) as error:
            message = getattr(error, "strerror", None) or "it is no text"
            raise BadReference(f"{FILE}: {name} is {value!r}: {message}") from None
        if not text:
            sides = f"0 characters, of 1 to {_MOST_REFERENCED:,}"
            raise BadReference(f"{FILE}: {name} is {value!r}, which has {sides}")
        return text
    return value


def _passwords(url: str) -> set[str]:
    """Of an address, as it is written and as it is meant."""
    try:
        given = urlsplit(url).password
    except ValueError:
        return {url}
    return {given, unquote(given)} if given else set()
