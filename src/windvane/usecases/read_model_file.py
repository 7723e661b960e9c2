"""The one YAML file of a model: parse it, check it, say what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any, ClassVar

import msgspec
import yaml

from windvane.core.alerting import Response, Severity
from windvane.core.drift import Kind
from windvane.core.errors import WindvaneError, did_you_mean
from windvane.core.routing import RuleStep
from windvane.core.sketch import FeatureSpec, FeatureType

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_TIERS = ("critical", "standard", "low")
_TAKEN = ("output", "label_", "time_")
_PERIODS = {"hour": 3600.0, "day": 86400.0, "week": 604800.0, "month": 30 * 86400.0}


class BadModelFile(WindvaneError):
    """The model's file breaks the schema; the message names the field and the fix."""

    code: ClassVar[str] = "MOD-101"
    hint = "docs/reference/model-file.md describes every field"


class Owner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who is told."""

    team: str
    contact: str = ""


class Predicts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``kind`` of prediction and the ``outcome`` that later proves it."""

    kind: str = "binary"
    outcome: str = ""


class Feature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One input: type, whether it may be null, its range or its closed set of names."""

    type: FeatureType
    nullable: bool = False
    range: tuple[float, float] | None = None
    known: list[str] = []


class Cache(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long an answer may be given again to the same tenant for the same row."""

    ttl: str = "10m"


class Serve(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``deadline`` of a request; ``fallback``: versions, a rule and at last a constant;
    ``cache`` or False for none; ``tenants`` that may see the model, all if none is named."""

    deadline: str = "500ms"
    fallback: list[Any] = msgspec.field(default_factory=lambda: ["previous"])
    cache: Cache | bool = True
    tenants: list[str] = []


class Watch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is watched, how closely, and what is done by severity."""

    window: str = "60s"
    grace: str = "0s"
    min_rows: int = 50
    recent: str = "14d"
    drift_over: str = "7d"
    false_alarms: str = "1 per week"
    refused: str = "2%"
    errors: str = "1%"
    latency: str = "100ms"
    material: dict[str, float] = {}
    outcomes: dict[str, Any] = {}
    respond: dict[Severity, Response] = {}


class Rollout(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Canary steps, the least time in each, and the guards."""

    steps: list[str] = msgspec.field(default_factory=lambda: ["5%", "25%", "50%", "100%"])
    soak: str = "30m"
    alpha: float = 0.05
    max_error_rate: str = "5%"
    max_loss_increase: float = 0.02


class Train(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Acceptance of a candidate: least rows, least AUC on the holdout."""

    min_rows: int = 1_000
    auc_floor: float = 0.6


class ModelFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model, as its owners describe it. Features are grouped by the view they come from."""

    model: str
    features: dict[str, dict[str, Feature]]
    owner: Owner = Owner("unowned")
    tier: str = "standard"
    runbook: str = "docs/runbooks/"
    predicts: Predicts = Predicts()
    unit: str = ""
    serve: Serve = Serve()
    watch: Watch = Watch()
    rollout: Rollout = Rollout()
    train: Train = Train()

    @property
    def schema(self) -> tuple[FeatureSpec, ...]:
        """The features in the file's order; events and layouts keep that order."""
        return tuple(
            FeatureSpec(
                name,
                view,
                f.type,
                f.nullable,
                f.range[0] if f.range else None,
                f.range[1] if f.range else None,
                tuple(f.known),
            )
            for view, features in self.features.items()
            for name, f in features.items()
        )

    @property
    def respond(self) -> dict[Severity, Response]:
        defaults = {
            Severity.LOW: Response.LOG,
            Severity.MEDIUM: Response.NOTIFY,
            Severity.HIGH: Response.ROLLBACK,
        }
        return {**defaults, **self.watch.respond}

    @property
    def constant(self) -> float | None:
        for step in self.serve.fallback:
            if isinstance(step, Mapping) and "constant" in step:
                return float(step["constant"])  # pyright: ignore[reportUnknownArgumentType]
        return None

    @property
    def rule(self) -> tuple[RuleStep, ...]:
        """The steps of the fallback chain's rule, none if it has no rule."""
        for step in self.serve.fallback:
            if isinstance(step, Mapping) and "rule" in step:
                return msgspec.convert(step["rule"], tuple[RuleStep, ...])
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


def parse_duration(text: str) -> float:
    """Seconds of ``500ms``, ``60s``, ``3h``, ``14d``."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)\s*", str(text))
    if not found:
        raise ValueError(f"{text!r} is not a duration such as 500ms, 60s, 3h or 14d")
    return float(found[1]) * _UNITS[found[2]]


def parse_share(text: str) -> float:
    """A fraction from ``5%`` or ``0.05``."""
    word = str(text).strip()
    try:
        share = float(word[:-1]) / 100.0 if word.endswith("%") else float(word)
    except ValueError:
        share = -1.0
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"{text!r} is not a share between 0% and 100%")
    return share


def parse_budget(text: str) -> tuple[float, float]:
    """(allowed, seconds) of ``1 per week``."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s+per\s+(hour|day|week|month)\s*", str(text))
    if not found or float(found[1]) <= 0.0:
        raise ValueError(f"{text!r} is not a budget such as `1 per week`")
    return float(found[1]), _PERIODS[found[2]]


class _Loader(yaml.SafeLoader):
    """Refuses a key that is written twice, of which YAML would silently drop the first."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in seen:
                line = key.start_mark.line + 1
                raise BadModelFile(f"{name!r} is written twice", hint=f"look at line {line}")
            seen.add(name)
        return super().construct_mapping(node, deep)


@lru_cache(maxsize=256)
def read_model_file(text: str) -> ModelFile:
    """Parse and check a model's file; raises BadModelFile.

    The same text is parsed once: every look of every judge begins here.
    """
    try:
        body = yaml.load(text, _Loader)  # noqa: S506, a safe loader that minds repeated keys
    except yaml.YAMLError as error:
        raise BadModelFile(f"not YAML: {error}") from error
    if not isinstance(body, dict):
        raise BadModelFile("the file must be a mapping that starts with `model: NAME`")
    _check_features(body.get("features"))
    _check_respond(body.get("watch"))
    try:
        parsed = msgspec.convert(body, ModelFile, strict=False)
    except msgspec.ValidationError as error:
        raise BadModelFile(str(error), hint=_suggest(str(error))) from error
    _check(parsed)
    return parsed


def _check_features(given: Any) -> None:
    """Each feature by itself, so that a message names it."""
    for view, features in given.items() if isinstance(given, dict) else ():
        for name, body in features.items() if isinstance(features, dict) else ():
            where = f"features.{view}.{name}"
            kind = body.get("type") if isinstance(body, dict) else None
            types = [t.value for t in FeatureType]
            if isinstance(kind, str) and kind not in types:
                hint = did_you_mean(kind, types)
                raise BadModelFile(f"{where}.type: {kind!r} is not known", hint=hint)
            try:
                msgspec.convert(body, Feature, strict=False)
            except msgspec.ValidationError as error:
                found = re.search(r"unknown field `(\w+)`", str(error))
                known = Feature.__struct_fields__
                hint = did_you_mean(found[1], known) if found else None
                raise BadModelFile(f"{where}: {error}", hint=hint) from error


def _check_respond(watch: Any) -> None:
    given = watch.get("respond") if isinstance(watch, dict) else None
    for severity, response in given.items() if isinstance(given, dict) else ():
        for word, known in ((severity, list(Severity)), (response, list(Response))):
            if word not in known:
                hint = did_you_mean(str(word), [k.value for k in known])
                said = f"watch.respond: {severity}: {response}: {word!r} is not known"
                raise BadModelFile(said, hint=hint)


def json_schema() -> dict[str, Any]:
    """The published JSON Schema of the file, for editors."""
    return msgspec.json.schema(ModelFile)


def _check(file: ModelFile) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,62}", file.model):
        sides = f"model: {file.model!r} must be lower-case letters, digits and dashes"
        raise BadModelFile(sides, hint="for example `flight-delay`")
    if not file.schema:
        raise BadModelFile("features: none is given", hint="name at least one view and feature")
    names = [spec.name for spec in file.schema]
    for name in names:
        if names.count(name) > 1:
            raise BadModelFile(f"features: {name!r} is in more than one view", hint="rename one")
    if file.predicts.kind != "binary":
        hint = "binary is the kind that this release serves"
        raise BadModelFile(f"predicts.kind: {file.predicts.kind!r} is not known", hint=hint)
    durations = {
        "serve.deadline": file.serve.deadline,
        "serve.cache.ttl": file.serve.cache.ttl if isinstance(file.serve.cache, Cache) else "0s",
        "watch.window": file.watch.window,
        "watch.grace": file.watch.grace,
        "watch.recent": file.watch.recent,
        "watch.drift_over": file.watch.drift_over,
        "watch.latency": file.watch.latency,
        "rollout.soak": file.rollout.soak,
    }
    shares = {
        "watch.refused": file.watch.refused,
        "watch.errors": file.watch.errors,
        "rollout.max_error_rate": file.rollout.max_error_rate,
        **{f"rollout.steps[{i}]": s for i, s in enumerate(file.rollout.steps)},
    }
    for parse, fields in ((parse_duration, durations), (parse_share, shares)):
        for field, value in fields.items():
            _field(field, parse, value)
    _field("watch.false_alarms", parse_budget, file.watch.false_alarms)
    for field, given, known in (
        ("watch.material", file.watch.material, [kind.value for kind in Kind]),
        ("watch.outcomes", file.watch.outcomes, ["metric", "floor", "arrive_within"]),
    ):
        for name in given:
            if name not in known:
                raise BadModelFile(
                    f"{field}: {name!r} is not known", hint=did_you_mean(name, known)
                )
    if not isinstance(file.watch.outcomes.get("floor", 0.5), int | float):
        raise BadModelFile("watch.outcomes: floor must be a number", hint="for example 0.62")
    _check_numbers(file)
    for view, features in file.features.items():
        for name, feature in features.items():
            _check_feature(f"features.{view}.{name}", name, feature)
    _check_steps(file)
    for step in file.serve.fallback:
        _check_fallback(step, file)
    for word in ("rule", "constant"):
        if sum(isinstance(step, Mapping) and word in step for step in file.serve.fallback) > 1:
            raise BadModelFile(f"serve.fallback: {word} is there twice", hint="keep one of them")


def _check_numbers(file: ModelFile) -> None:
    """What no judge could work with."""
    watch, rollout, train = file.watch, file.rollout, file.train
    for field, fits, wanted in (
        ("watch.window", parse_duration(watch.window) > 0.0, "more than no time"),
        ("watch.recent", parse_duration(watch.recent) > 0.0, "more than no time"),
        ("watch.drift_over", parse_duration(watch.drift_over) > 0.0, "more than no time"),
        ("watch.refused", 0.0 < parse_share(watch.refused) < 1.0, "between 0% and 100%"),
        ("watch.errors", 0.0 < parse_share(watch.errors) < 1.0, "between 0% and 100%"),
        ("watch.min_rows", watch.min_rows > 0, "at least 1"),
        (
            "rollout.max_error_rate",
            0.0 < parse_share(rollout.max_error_rate) < 1.0,
            "between 0% and 100%",
        ),
        ("rollout.alpha", 0.0 < rollout.alpha < 1.0, "between 0 and 1"),
        ("train.min_rows", train.min_rows > 0, "at least 1"),
        ("train.auc_floor", 0.0 <= train.auc_floor < 1.0, "from 0 to below 1"),
        ("tier", file.tier in _TIERS, f"one of {', '.join(_TIERS)}"),
    ):
        if not fits:
            raise BadModelFile(f"{field} must be {wanted}")


def _check_feature(where: str, name: str, feature: Feature) -> None:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]{0,62}", name) or name in _TAKEN:
        hint = f"letters, digits, `_`, `.` and `-`, and none of {', '.join(_TAKEN)}"
        raise BadModelFile(f"{where}: {name!r} cannot be a feature's name", hint=hint)
    category = feature.type is FeatureType.CATEGORY
    if feature.known and not category:
        raise BadModelFile(f"{where}.known: a {feature.type} has a range, not known names")
    if feature.range and category:
        raise BadModelFile(f"{where}.range: a category has known names, not a range")
    if feature.range and feature.range[0] > feature.range[1]:
        low, high = feature.range
        raise BadModelFile(f"{where}.range: [{low:g}, {high:g}] must grow")


def _check_steps(file: ModelFile) -> None:
    shares = [parse_share(step) for step in file.rollout.steps]
    if not shares or shares[0] <= 0.0 or any(b <= a for a, b in pairwise(shares)):
        hint = "for example [5%, 25%, 100%]"
        raise BadModelFile(f"rollout.steps: {file.rollout.steps} must grow from over 0%", hint=hint)


def _check_fallback(step: Any, file: ModelFile) -> None:
    match step:
        case "previous":
            return
        case {"constant": int() | float() as value, **rest} if not rest and 0 <= value <= 1:
            return
        case {"without": str() as view, **rest} if not rest:
            if view not in file.features:
                hint = did_you_mean(view, file.features)
                raise BadModelFile(f"serve.fallback: there is no view {view!r}", hint=hint)
        case {"version": str() | int(), **rest} if not rest:
            return
        case {"rule": list() as rule, **rest} if not rest:
            _check_rule(rule, file)
        case _:
            hint = "`previous`, {version: N}, {without: VIEW}, {rule: [...]} or {constant: P}"
            raise BadModelFile(f"serve.fallback: {step!r} is not known", hint=hint)


def _check_rule(rule: list[Any], file: ModelFile) -> None:
    where = "serve.fallback: rule"
    try:
        steps = msgspec.convert(rule, tuple[RuleStep, ...])
    except msgspec.ValidationError as error:
        hint = "for example [{feature: items, above: 20, give: 0.6}, {give: 0.2}]"
        raise BadModelFile(f"{where}: {error}", hint=hint) from error
    schema = {spec.name: spec for spec in file.schema}
    for given, step in zip(rule, steps, strict=True):
        for name in given:
            if name not in RuleStep.__dataclass_fields__:
                hint = did_you_mean(str(name), RuleStep.__dataclass_fields__)
                raise BadModelFile(f"{where}: {name!r} is not known", hint=hint)
        if not 0.0 <= step.give <= 1.0:
            raise BadModelFile(f"{where}: give {step.give:g} is no probability")
        if step.feature and step.feature not in schema:
            hint = did_you_mean(step.feature, schema)
            raise BadModelFile(f"{where}: there is no feature {step.feature!r}", hint=hint)
        bounds = [n for n in ("above", "below", "among") if getattr(step, n) not in (None, ())]
        if bounds and not step.feature:
            hint = "`feature: NAME` says what is bounded"
            raise BadModelFile(f"{where}: {bounds[0]} needs a feature", hint=hint)
        if step.feature and not bounds:
            hint = "`above`, `below` or `among: [...]`; without a feature it always gives"
            raise BadModelFile(f"{where}: {step.feature} has no bound", hint=hint)
        category = step.feature and schema[step.feature].type is FeatureType.CATEGORY
        if category and (step.above is not None or step.below is not None):
            hint = "`among: [...]` names values"
            raise BadModelFile(f"{where}: {step.feature} is a category", hint=hint)
        if step.feature and not category and step.among:
            raise BadModelFile(f"{where}: {step.feature} is a number", hint="`above` and `below`")


def _field(name: str, parse: Any, value: str) -> None:
    try:
        parse(value)
    except ValueError as error:
        raise BadModelFile(f"{name}: {error}") from error


def _suggest(message: str) -> str | None:
    found = re.search(r"unknown field `(\w+)`(?: - at `\$\.?([^`]*)`)?", message)
    if not found:
        return None
    places: dict[str, type[msgspec.Struct]] = {
        "": ModelFile,
        "owner": Owner,
        "predicts": Predicts,
        "serve": Serve,
        "serve.cache": Cache,
        "watch": Watch,
        "rollout": Rollout,
        "train": Train,
    }
    place = places.get(found[2] or "", Feature)
    return did_you_mean(found[1], place.__struct_fields__)
