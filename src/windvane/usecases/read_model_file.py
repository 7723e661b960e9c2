"""The one YAML file of a model: parse it, check it, say what is wrong with it."""

from __future__ import annotations

import datetime as dt
import enum
import re
from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import Annotated, Any, ClassVar, cast

import msgspec

from windvane.core.alerting import DEFAULT_RESPONSES, CauseGroup, Response, Responses, Tier
from windvane.core.errors import WindvaneError
from windvane.core.routing import CascadeSpec, CircuitSpec, RuleStep
from windvane.core.signature import FeatureSpec, FeatureType
from windvane.core.task import Contract, OutputRow, TaskSpec, make_task
from windvane.inference.type_errors import find_type_error
from windvane.usecases.read_yaml import BadYaml, like, read_yaml

DISAGREEMENT = "disagreement"
"""The monitor that answers of stand-ins are collected for."""
_COMPARED_SHARES: Mapping[str, float] = {Tier.CRITICAL: 0.05, Tier.STANDARD: 0.02, Tier.LOW: 0.01}
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_LONGEST_S = 10 * 366 * 86_400.0
_PERIODS = {"hour": 3600.0, "day": 86400.0, "week": 604800.0, "month": 30 * 86400.0}


class BadModelFile(WindvaneError):
    """The model's file breaks the schema; the message names the field and the fix."""

    code: ClassVar[str] = "MOD-101"
    hint = "docs/reference/model-file.md describes every field"


class Owner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who is told, and who ``decides``: names of users, or ``team:NAME``, who alone may roll the
    model back by hand; none leaves that to the roles."""

    team: str
    contact: str = ""
    decides: list[str] = []


class Predicts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``kind`` of prediction, the ``outcome`` that later proves it, and what the kind needs: the
    ``positive`` label of a binary model, the ``classes`` of a multiclass or multilabel one, the
    ``outputs``, ``quantiles``, ``horizons`` and ``range`` of a regression, the ``outputs`` (with
    their shapes) and the ``score`` of a tensor model, the depth ``at`` that a ranking is judged
    to."""

    kind: str = "binary"
    outcome: str = ""
    positive: str | int | bool | None = None
    classes: list[str | int | bool] = []
    outputs: list[str] | dict[str, list[int]] = []
    quantiles: list[float] = []
    horizons: list[str] = []
    range: tuple[float, float] | None = None
    score: str = ""
    at: int = 10


class FeatureTag(enum.StrEnum):
    """What a feature's values are, beyond their type. ``pii``: they tell about a person, and are
    shown to nobody."""

    PII = "pii"


class Feature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One input: type, whether it may be null, its range or its closed set of names, the
    ``length`` of a vector, the ``longest`` text in characters or image in bytes, and its
    ``tags``."""

    type: FeatureType
    nullable: bool = False
    range: tuple[float, float] | None = None
    known: list[str] = []
    length: int = 0
    longest: int | None = None
    tags: list[FeatureTag] = []


class Cache(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long an answer may be given again to the same tenant for the same row."""

    ttl: str = "10m"


class Circuit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A version is not tried for ``pause`` after ``failures`` of its last executions failed; then
    ``probes`` of them decide."""

    failures: int = 5
    pause: str = "30s"
    probes: int = 3


class Cascade(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rows of which this model is less sure than ``below`` are answered by the model ``to``."""

    to: str
    below: float


class GivenStep(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A step of a rule as the file has it: ``give`` if ``feature`` fits."""

    give: Any
    feature: str = ""
    above: float | None = None
    below: float | None = None
    among: tuple[str, ...] = ()


class GivenFallback(msgspec.Struct, frozen=True):
    """Where a step of the fallback chain has texts."""

    constant: Any = None
    without: str = ""
    rule: tuple[GivenStep, ...] = ()


class Serve(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``deadline`` of a request; ``fallback``: versions, a rule and at last a constant;
    ``cache`` or False for none; ``tenants`` that may see the model, all if none is named;
    ``circuit``: when a failing version is left alone; ``cascade``: who answers where this model
    is unsure."""

    deadline: str = "500ms"
    fallback: list[Annotated[Any, like(GivenFallback)]] = msgspec.field(
        default_factory=lambda: ["previous"]
    )
    cache: Cache | bool = True
    tenants: list[str] = []
    circuit: Circuit = Circuit()
    cascade: Cascade | None = None


class Bands(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Population stability indices from which a change of a feature is worth a ``look``, a person's
    time to ``investigate``, and an ``alert``."""

    look: float = 0.1
    investigate: float = 0.2
    alert: float = 0.25


BY_TENANT = "tenant"
"""Among segments: what is always watched, and may be named."""


class Fresh(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How old the rows of a view may be: the datetime feature ``time`` of it says when the source
    observed a row, ``within`` how long ago that may be, and ``allowed`` which share of the rows
    may be older."""

    time: str
    within: str
    allowed: str = "5%"


class Watch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is watched, how closely, and what is done by cause; ``segments`` are features whose
    values are watched each by itself, as tenants always are; ``off``: monitors that do not look
    at this model."""

    window: str = "60s"
    grace: str = "0s"
    min_rows: int = 50
    recent: str = "14d"
    drift_over: str = "7d"
    false_alarms: str = "1 per week"
    refused: str = "2%"
    errors: str = "1%"
    fallbacks: str = ""
    latency: str = "100ms"
    material: dict[str, float] = {}
    bands: Bands = Bands()
    segments: list[str] = []
    off: list[str] = []
    fresh: dict[str, Fresh] = {}
    repeats: list[str] = []
    outcomes: dict[str, Any] = {}
    respond: dict[CauseGroup, Response | list[Response]] = {}


class Slo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the service promises ``over`` a span that moves: the share of rows that get their
    answer (``availability``), by quantile the time that answers take at most (``latency``), by view
    the share of rows that are as fresh as ``watch.fresh`` has it (``freshness``), and the share of
    labelled rows whose answer was right (``quality``): that cost at most ``max_loss``, where that
    is given."""

    availability: str = ""
    latency: dict[str, str] = {}
    freshness: dict[str, str] = {}
    quality: str = ""
    max_loss: float | None = None
    over: str = "30d"


class RollBackIf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What takes a version back, by evidence, where it is worse than the champion as well: the
    share of first requests that fail, its p99, and what it loses of the champion's gain over a
    constant."""

    error_rate: str = "> 5%"
    latency_p99: str = "> 2x champion"
    loss: str = "> 25% of gain"


class AdvanceIf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a version needs evidence of before it goes on: a rate of errors below one of the two."""

    error_rate: str = "< 1%"
    errors: str = "< 2x champion"


class Rollout(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Canary steps, the least time in each, and the guards."""

    steps: list[str] = msgspec.field(default_factory=lambda: ["5%", "25%", "50%", "100%"])
    soak: str = "30m"
    alpha: float = 0.05
    roll_back_if: RollBackIf = RollBackIf()
    advance_if: AdvanceIf = AdvanceIf()


class Train(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Acceptance of a candidate: least rows, and the least good value of the task's metric on
    the holdout (``floor``; of a binary model also ``auc_floor``). Without one it has to be
    better than the best constant."""

    min_rows: int = 1_000
    floor: float | None = None
    auc_floor: float | None = None


class ModelFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """A model, as its owners describe it. Features are grouped by the view they come from.
    ``consumers`` are the teams that depend on its answers, and are told too."""

    model: str
    features: dict[str, dict[str, Feature]]
    owner: Owner = Owner("unowned")
    consumers: list[str] = []
    tier: str = "standard"
    runbook: str = "docs/runbooks/"
    predicts: Predicts = Predicts()
    unit: str = ""
    serve: Serve = Serve()
    slo: Slo | None = None
    watch: Watch = Watch()
    rollout: Rollout = Rollout()
    train: Train = Train()

    @property
    def schema(self) -> tuple[FeatureSpec, ...]:
        """The features in the file's order; events and layouts keep that order."""
        return self.contract.features

    @cached_property
    def contract(self) -> Contract:
        """What the file promises to clients."""
        return make_contract(self)

    @cached_property
    def pii(self) -> frozenset[str]:
        """The features whose values are shown to nobody."""
        return frozenset(
            name
            for features in self.features.values()
            for name, feature in features.items()
            if FeatureTag.PII in feature.tags
        )

    @property
    def segments(self) -> tuple[str, ...]:
        """The features whose values are watched each by itself."""
        return tuple(name for name in self.watch.segments if name != BY_TENANT)

    @cached_property
    def clocks(self) -> frozenset[str]:
        """The features that say when a source observed a row."""
        return frozenset(asked.time for asked in self.watch.fresh.values())

    @property
    def floor(self) -> float | None:
        """The least good value of the task's metric that a candidate may have."""
        return self.train.floor if self.train.floor is not None else self.train.auc_floor

    @property
    def compared_share(self) -> float:
        """Of how many of the requests that a version answered its stand-in is asked as well."""
        wanted = self.serve.fallback and DISAGREEMENT not in self.watch.off
        return _COMPARED_SHARES.get(self.tier, 0.0) if wanted else 0.0

    @property
    def circuit(self) -> CircuitSpec:
        held = self.serve.circuit
        return CircuitSpec(held.failures, parse_duration(held.pause), held.probes)

    @property
    def cascade(self) -> CascadeSpec | None:
        held = self.serve.cascade
        return CascadeSpec(held.to, held.below) if held is not None else None

    @property
    def respond(self) -> Mapping[CauseGroup, Responses]:
        given = {
            group: tuple(named) if isinstance(named, list) else (named,)
            for group, named in self.watch.respond.items()
        }
        return {**DEFAULT_RESPONSES, **given}

    @property
    def constant(self) -> OutputRow | None:
        """Outputs in the task's order."""
        for step in self.serve.fallback:
            if isinstance(step, Mapping) and "constant" in step:
                return make_task(self.contract.task).constant(step["constant"])  # pyright: ignore[reportUnknownArgumentType]
        return None

    @property
    def rule(self) -> tuple[RuleStep, ...]:
        """The steps of the fallback chain's rule, none if it has no rule."""
        for step in self.serve.fallback:
            if isinstance(step, Mapping) and "rule" in step:
                task = make_task(self.contract.task)
                given = msgspec.convert(step["rule"], tuple[GivenStep, ...])
                return tuple(
                    RuleStep(task.constant(g.give), g.feature, g.above, g.below, g.among)
                    for g in given
                )
        return ()

    @property
    def cache_all(self) -> bool:
        """Whether the file wants a cache however fast a version is: it says for how long."""
        return isinstance(self.serve.cache, Cache)

    @property
    def cache_ttl_s(self) -> float:
        """Seconds that an answer may be given again; 0.0 for no cache."""
        if self.serve.cache is False:
            return 0.0
        kept = Cache() if self.serve.cache is True else self.serve.cache
        return parse_duration(kept.ttl)


def make_contract(file: ModelFile) -> Contract:
    """The features and the task of a file."""
    features = tuple(
        FeatureSpec(
            name,
            view,
            f.type,
            f.nullable,
            f.range[0] if f.range else None,
            f.range[1] if f.range else (None if f.longest is None else float(f.longest)),
            tuple(f.known),
            f.length,
        )
        for view, features in file.features.items()
        for name, f in features.items()
    )
    given = file.predicts
    outputs = given.outputs
    shapes = (
        {name: tuple(shape) for name, shape in outputs.items()}
        if isinstance(outputs, dict)
        else dict.fromkeys(outputs, ())
    )
    task = TaskSpec(
        kind=given.kind,
        positive="" if given.positive is None else as_label(given.positive),
        classes=tuple(as_label(name) for name in given.classes),
        outputs=shapes,
        quantiles=tuple(given.quantiles),
        horizons=tuple(given.horizons),
        low=given.range[0] if given.range else None,
        high=given.range[1] if given.range else None,
        score=given.score,
        at=given.at,
    )
    return Contract(features, task)


def as_label(given: str | int | bool) -> str:
    """A label as it is written; true and false are there in any case."""
    if isinstance(given, bool):
        return "true" if given else "false"
    return str(given)


def parse_moment(text: str) -> float:
    """Seconds since the epoch of `2026-01-31T12:00`, UTC where it names no zone. Raises
    ValueError."""
    given = dt.datetime.fromisoformat(text)
    try:
        return given.replace(tzinfo=given.tzinfo or dt.UTC).timestamp()
    except OverflowError as error:
        raise ValueError(f"{text!r} lies beyond all times") from error


def parse_duration(text: str) -> float:
    """Seconds of ``500ms``, ``60s``, ``3h``, ``14d``; at most ten years."""
    word = str(text)
    found = re.fullmatch(r"\s*(\d{1,12}(?:\.\d{1,9})?)\s*(ms|s|m|h|d|w)\s*", word[:64])
    if not found or len(word) > 64:
        raise ValueError(f"{word[:40]!r} is not a duration such as 500ms, 60s, 3h or 14d")
    seconds = float(found[1]) * _UNITS[found[2]]
    if seconds > _LONGEST_S:
        raise ValueError(f"{word!r} is longer than ten years")
    return seconds


def as_duration(seconds: float) -> str:
    """As durations are typed, exactly: ``7d``, ``90m``, ``2.5s``."""
    for unit, word in ((86400.0, "d"), (3600.0, "h"), (60.0, "m")):
        if seconds >= unit and seconds % unit == 0.0:
            return f"{seconds / unit:.0f}{word}"
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"


def parse_share(text: str) -> float:
    """A fraction from ``5%`` or ``0.05``."""
    word = str(text).strip()
    try:
        share = float(word[:-1]) / 100.0 if word.endswith("%") else float(word)
    except ValueError:
        share = -1.0
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"{word[:40]!r} is not a share between 0% and 100%")
    return share


def parse_quantile(text: str) -> float:
    """A share from ``p50``, ``p99`` or ``p99.9``: from p50 to p99.9."""
    found = re.fullmatch(r"p(\d{2}(?:\.\d)?)", text)
    share = round(float(found[1]) / 100.0, 6) if found else 0.0
    if not 0.5 <= share <= 0.999:
        raise ValueError(f"{text[:40]!r} is not a quantile from p50 to p99.9")
    return share


def parse_budget(text: str) -> tuple[float, float]:
    """(allowed, seconds) of ``1 per week``."""
    word = str(text)
    found = re.fullmatch(r"\s*(\d{1,6}(?:\.\d{1,9})?)\s+per\s+(hour|day|week|month)\s*", word[:64])
    if not found or len(word) > 64 or float(found[1]) <= 0.0:
        raise ValueError(f"{word[:40]!r} is not a budget such as `1 per week`")
    return float(found[1]), _PERIODS[found[2]]


@lru_cache(maxsize=4_096)
def read_model_file(text: str) -> ModelFile:
    """Parse and check a model's file; raises BadModelFile.

    The same text is parsed once: every look of every judge begins here.
    """
    try:
        body = read_yaml(text, ModelFile)
    except BadYaml as error:
        raise BadModelFile(str(error), hint=error.hint) from error
    if not isinstance(body, dict):
        raise BadModelFile("the file must be a mapping that starts with `model: NAME`")
    _refuse_severities(body)  # pyright: ignore[reportUnknownArgumentType]
    fault = find_type_error(body, ModelFile, strict=False)
    if fault is not None:
        raise BadModelFile(str(fault), hint=fault.hint or None)
    parsed = msgspec.convert(body, ModelFile, strict=False)
    from windvane.usecases.check_model_file import check_model_file

    check_model_file(parsed)
    return parsed


# Files once said by severity what is done; it follows from the cause and the tier since.
_CAUSES_OF: Mapping[str, tuple[CauseGroup, ...]] = {
    "low": (CauseGroup.DRIFT,),
    "medium": (CauseGroup.TENANT, CauseGroup.QUALITY),
    "high": (CauseGroup.BROKEN_INPUT, CauseGroup.FAILING),
}


def _refuse_severities(body: Mapping[str, Any]) -> None:
    watch = body.get("watch")
    given = cast("Mapping[Any, Any]", watch).get("respond") if isinstance(watch, Mapping) else None
    for severity, causes in _CAUSES_OF.items():
        if isinstance(given, Mapping) and severity in given:
            keys = " and ".join(f"`{cause}`" for cause in causes)
            raise BadModelFile(
                f"watch.respond.{severity}: what is done follows the cause, not the severity",
                hint=f"write {keys} instead of `{severity}`",
            )


def json_schema() -> dict[str, Any]:
    """The published JSON Schema of the file, for editors."""
    return msgspec.json.schema(ModelFile)
