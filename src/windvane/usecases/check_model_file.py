"""Whether a model's file makes sense: every number, name and reference in it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import ceil, floor, inf, isfinite, prod
from typing import Any

import msgspec
import numpy as np

from windvane.core.alerting import Tier
from windvane.core.drift import Kind
from windvane.core.errors import did_you_mean
from windvane.core.signature import MAX_INTEGER, FeatureType
from windvane.core.signature.kinds import MAX_IMAGE_BYTES, MAX_TEXT, MAX_VECTOR
from windvane.core.task import KINDS, BadTask, is_output_axis, make_task
from windvane.inference.type_errors import find_type_error
from windvane.usecases.check_fresh import check_fresh
from windvane.usecases.check_segments import check_segments
from windvane.usecases.check_slo import check_slo
from windvane.usecases.outcome_metric import PRECISION_AT
from windvane.usecases.read_model_file import (
    BadModelFile,
    Cache,
    Feature,
    GivenStep,
    ModelFile,
    as_label,
    parse_budget,
    parse_duration,
    parse_share,
)
from windvane.usecases.rollout_policy import gate_policy, slow_from

_OF_OUTCOMES = ["metric", "at", "floor", "margin", "arrive_within"]
_TIERS = tuple(tier.value for tier in Tier)
_MOST_NUMBERS = 1 << 20  # of one output of one row
_MOST_ROWS = 1_000_000_000
_LEAST_WINDOWS = 2  # of a span that is merged from windows
_LONGEST_NAME = 200
_MOST_PEOPLE = 100
_TAKEN = ("output", "label_", "time_")


def check_model_file(file: ModelFile) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,62}", file.model):
        sides = f"model: {file.model!r} must be lower-case letters, digits and dashes"
        raise BadModelFile(sides, hint="for example `flight-delay`")
    if not file.schema:
        raise BadModelFile("features: none is given", hint="name at least one view and feature")
    for name, times in Counter(spec.name for spec in file.schema).items():
        if times > 1:
            raise BadModelFile(f"features: {name!r} is in more than one view", hint="rename one")
    _check_task(file)
    durations = {
        "serve.deadline": file.serve.deadline,
        "serve.cache.ttl": file.serve.cache.ttl if isinstance(file.serve.cache, Cache) else "0s",
        "watch.window": file.watch.window,
        "watch.grace": file.watch.grace,
        "watch.recent": file.watch.recent,
        "watch.drift_over": file.watch.drift_over,
        "watch.latency": file.watch.latency,
        "rollout.soak": file.rollout.soak,
        "serve.circuit.pause": file.serve.circuit.pause,
    }
    shares = {
        "watch.refused": file.watch.refused,
        "watch.errors": file.watch.errors,
        **({"watch.fallbacks": file.watch.fallbacks} if file.watch.fallbacks else {}),
        **{f"rollout.steps[{i}]": s for i, s in enumerate(file.rollout.steps)},
    }
    for parse, fields in ((parse_duration, durations), (parse_share, shares)):
        for field, value in fields.items():
            _field(field, parse, value)
    _field("watch.false_alarms", parse_budget, file.watch.false_alarms)
    for field, given, known in (
        ("watch.material", file.watch.material, [kind.value for kind in Kind]),
        ("watch.outcomes", file.watch.outcomes, _OF_OUTCOMES),
    ):
        for name in given:
            if name not in known:
                raise BadModelFile(
                    f"{field}: {name!r} is not known", hint=did_you_mean(name, known)
                )
    for group, responses in file.respond.items():
        if not responses:
            hint = "`log` does nothing but record it"
            raise BadModelFile(f"watch.respond.{group}: no response is named", hint=hint)
    least = file.watch.outcomes.get("floor", 0.5)
    if not isinstance(least, int | float) or isinstance(least, bool) or not isfinite(least):
        raise BadModelFile("watch.outcomes: floor must be a number", hint="for example 0.62")
    margin = file.watch.outcomes.get("margin", 0.05)
    if not isinstance(margin, int | float) or isinstance(margin, bool) or not 0 <= margin < inf:
        raise BadModelFile(
            "watch.outcomes: margin must be a number from 0 on", hint="for example 0.05"
        )
    _check_acted_on(file)
    if (within := file.watch.outcomes.get("arrive_within")) is not None:
        _field("watch.outcomes.arrive_within", parse_duration, within)
        if not parse_duration(within) > 0.0:
            raise BadModelFile("watch.outcomes.arrive_within: must be more than no time")
    for name, size in file.watch.material.items():
        if not 0.0 < size < inf:
            raise BadModelFile(f"watch.material: {name} must be a number over 0, got {size:g}")
    bands = file.watch.bands
    if not 0.0 < bands.look <= bands.investigate <= bands.alert < inf:
        raise BadModelFile(
            f"watch.bands: look {bands.look:g}, investigate {bands.investigate:g}, alert "
            f"{bands.alert:g} must be over 0 and in this order",
            hint="0.1, 0.2 and 0.25 are what most people use",
        )
    _check_words(file)
    _check_numbers(file)
    check_fresh(file)
    check_slo(file)
    check_segments(file)
    _check_off(file)
    _check_cascade(file)
    for view, features in file.features.items():
        for name, feature in features.items():
            _check_feature(f"features.{view}.{name}", name, feature)
    _check_steps(file)
    gate_policy(file)
    slow_from(file.rollout)
    for step in file.serve.fallback:
        _check_fallback(step, file)
    for word in ("rule", "constant"):
        if sum(isinstance(step, Mapping) and word in step for step in file.serve.fallback) > 1:
            raise BadModelFile(f"serve.fallback: {word} is there twice", hint="keep one of them")


def _check_cascade(file: ModelFile) -> None:
    """What the file alone can tell; whether the other model fits is for ``apply_model``."""
    cascade = file.cascade
    if cascade is None:
        return
    if not 0.0 < cascade.below <= 1.0:
        raise BadModelFile(
            f"serve.cascade.below: {cascade.below:g} is not in (0, 1]",
            hint="of a classifier, the confidence is the probability of the answer: 0.8",
        )
    if cascade.to == file.model:
        raise BadModelFile("serve.cascade.to: a model cannot answer in its own place")
    if not make_task(file.contract.task).has_confidence:
        raise BadModelFile(
            f"serve.cascade: {file.predicts.kind} answers do not say how sure they are",
            hint="a cascade is for binary, multiclass and multilabel models",
        )


def _check_numbers(file: ModelFile) -> None:
    """What no judge could work with."""
    watch, rollout, train = file.watch, file.rollout, file.train
    for field, fits, wanted in (
        ("watch.window", parse_duration(watch.window) > 0.0, "more than no time"),
        ("watch.recent", parse_duration(watch.recent) > 0.0, "more than no time"),
        (
            "watch.drift_over",
            parse_duration(watch.drift_over) >= _LEAST_WINDOWS * parse_duration(watch.window),
            f"at least {_LEAST_WINDOWS} windows (watch.window is {watch.window})",
        ),
        ("watch.refused", 0.0 < parse_share(watch.refused) < 1.0, "between 0% and 100%"),
        ("watch.errors", 0.0 < parse_share(watch.errors) < 1.0, "between 0% and 100%"),
        (
            "watch.fallbacks",
            not watch.fallbacks or 0.0 < parse_share(watch.fallbacks) < 1.0,
            "between 0% and 100%",
        ),
        ("watch.min_rows", 0 < watch.min_rows <= _MOST_ROWS, f"from 1 to {_MOST_ROWS:,}"),
        ("rollout.alpha", 0.0 < rollout.alpha < 1.0, "between 0 and 1"),
        ("serve.circuit.failures", 1 <= file.serve.circuit.failures <= 1_000, "from 1 to 1000"),
        ("serve.circuit.probes", 1 <= file.serve.circuit.probes <= 100, "from 1 to 100"),
        ("train.min_rows", 0 < train.min_rows <= _MOST_ROWS, f"from 1 to {_MOST_ROWS:,}"),
        (
            "train.auc_floor",
            train.auc_floor is None or 0.0 <= train.auc_floor < 1.0,
            "from 0 to below 1",
        ),
        ("train.floor", train.floor is None or isfinite(train.floor), "a finite number"),
        (
            "train",
            train.floor is None or train.auc_floor is None,
            "given a floor or an auc_floor, not both",
        ),
        ("tier", file.tier in _TIERS, f"one of {', '.join(_TIERS)}"),
    ):
        if not fits:
            raise BadModelFile(f"{field} must be {wanted}")


def _is_name(word: str) -> bool:
    """What a person can read on one line, and a client write in a header of a table."""
    return bool(word) and word == word.strip() and word.isprintable() and len(word) <= _LONGEST_NAME


def _check_off(file: ModelFile) -> None:
    if not file.watch.off:
        return
    from windvane.usecases.monitors import MONITORS  # which read files themselves

    known = [monitor.name for monitor in MONITORS]
    for i, name in enumerate(file.watch.off):
        if name not in known:
            message = f"watch.off[{i}]: {name[:80]!r} is no monitor"
            raise BadModelFile(message, hint=did_you_mean(name, known))
        if name in file.watch.off[:i]:
            raise BadModelFile(f"watch.off[{i}]: {name!r} is there twice", hint="name it once")


def _check_words(file: ModelFile) -> None:
    """Names of views and of people are shown; they are one line each."""
    hint = f"1 to {_LONGEST_NAME} printable characters"
    for view in file.features:
        if not _is_name(view):
            raise BadModelFile(f"features: {view[:80]!r} cannot be a view's name", hint=hint)
    for field, word in (
        ("predicts.outcome", file.predicts.outcome),
        ("unit", file.unit),
        ("owner.team", file.owner.team),
        ("owner.contact", file.owner.contact),
        ("runbook", file.runbook),
        *((f"owner.decides[{i}]", name or " ") for i, name in enumerate(file.owner.decides)),
        *((f"consumers[{i}]", team or " ") for i, team in enumerate(file.consumers)),
        *((f"serve.tenants[{i}]", tenant or " ") for i, tenant in enumerate(file.serve.tenants)),
    ):
        if word and not _is_name(word):
            raise BadModelFile(f"{field}: {word[:80]!r} is no name", hint=hint)
    for field, names in (("owner.decides", file.owner.decides), ("consumers", file.consumers)):
        if len(names) > _MOST_PEOPLE:
            raise BadModelFile(f"{field}: {len(names)} names, {_MOST_PEOPLE} allowed")
        _check_names(field, names)


def _check_names(field: str, names: Sequence[str]) -> None:
    """Of classes or outputs: clients find them as keys and columns of an answer."""
    for name, times in Counter(names).items():
        if times > 1:
            raise BadModelFile(
                f"{field}: {name[:80]!r} is there {times} times", hint="name it once"
            )
        if not _is_name(name):
            hint = f"1 to {_LONGEST_NAME} printable characters, no space at either end"
            raise BadModelFile(f"{field}: {name[:80]!r} is no name", hint=hint)


def _check_task(file: ModelFile) -> None:
    given = file.predicts
    if given.kind not in KINDS:
        hint = did_you_mean(given.kind, KINDS)
        raise BadModelFile(f"predicts.kind: {given.kind!r} is not known", hint=hint)
    takes = {"kind", "outcome", *_TAKES[given.kind]}
    for name in given.__struct_fields__:
        value = getattr(given, name)
        if name not in takes and value not in (None, "", [], 10):
            message = f"predicts.{name}: a {given.kind} model has none"
            raise BadModelFile(message, hint=f"it has {', '.join(sorted(takes))}")
    for name, shape in given.outputs.items() if isinstance(given.outputs, dict) else ():
        if any(n == 0 or n < -1 for n in shape) or len(shape) > 8:
            message = f"predicts.outputs.{name}: {shape} is no shape"
            raise BadModelFile(message, hint="for example [384], or [-1] for any length")
        size = prod(max(n, 1) for n in shape)
        if size > _MOST_NUMBERS:
            message = f"predicts.outputs.{name}: {shape} are {size:,} numbers a row"
            raise BadModelFile(message, hint=f"at most {_MOST_NUMBERS:,}")
    for bound in given.range or ():
        if not isfinite(bound):
            raise BadModelFile(f"predicts.range: {bound} is not finite")
    _check_horizons(given.horizons)
    _check_names("predicts.classes", [as_label(name) for name in given.classes])
    _check_names("predicts.outputs", list(given.outputs))
    if given.positive is not None:
        _check_names("predicts.positive", [as_label(given.positive)])
    if given.positive is not None and given.classes:
        names = [as_label(name) for name in given.classes]
        if len(names) != 2 or as_label(given.positive) not in names:
            message = f"predicts.classes: {names} must be two, one of them the positive"
            raise BadModelFile(message, hint=f"positive is {as_label(given.positive)!r}")
    if not 1 <= given.at <= 1_000:
        raise BadModelFile("predicts.at must be from 1 to 1000")
    try:
        task = make_task(file.contract.task)
    except BadTask as error:
        raise BadModelFile(f"predicts: {error.message}", hint=error.advice) from error
    size = sum(prod(max(n, 1) for n in spec.shape) for spec in task.outputs)
    if size > _MOST_NUMBERS:
        raise BadModelFile(f"predicts: {size:,} numbers a row", hint=f"at most {_MOST_NUMBERS:,}")


def _check_horizons(given: Sequence[str]) -> None:
    seen: dict[float, str] = {}
    for horizon in given:
        _field("predicts.horizons", parse_duration, horizon)
        seconds = parse_duration(horizon)
        if seconds <= 0.0:
            hint = "for example [1h, 24h]"
            raise BadModelFile(f"predicts.horizons: {horizon!r} is no time ahead", hint=hint)
        if seconds in seen:
            message = f"predicts.horizons: {seen[seconds]!r} and {horizon!r} are the same"
            raise BadModelFile(message, hint="name each once")
        seen[seconds] = horizon


_TAKES: Mapping[str, tuple[str, ...]] = {
    "binary": ("positive", "classes"),
    "multiclass": ("classes",),
    "multilabel": ("classes",),
    "regression": ("outputs", "quantiles", "horizons", "range"),
    "ranking": ("at",),
    "tensor": ("outputs", "score"),
}


def _check_feature(where: str, name: str, feature: Feature) -> None:
    odd = not name or name != name.strip() or not name.isprintable() or len(name) > 200
    if odd or name in _TAKEN or is_output_axis(name):
        hint = f"1 to 200 printable characters, and none of {', '.join(_TAKEN)}"
        raise BadModelFile(f"{where}: {name[:80]!r} cannot be a feature's name", hint=hint)
    kind = feature.type
    category = kind is FeatureType.CATEGORY
    ranged = kind in (FeatureType.NUMBER, FeatureType.INTEGER)
    if feature.known and not category:
        raise BadModelFile(f"{where}.known: a {kind} has no list of names")
    if feature.range and not ranged:
        message = "a category has known names" if category else f"a {kind} has none"
        raise BadModelFile(
            f"{where}.range: {message}, not a range" if category else f"{where}.range: {message}"
        )
    if feature.range and not all(map(isfinite, feature.range)):
        raise BadModelFile(f"{where}.range: its bounds must be finite")
    if feature.range and feature.range[0] > feature.range[1]:
        low, high = feature.range
        raise BadModelFile(f"{where}.range: [{low:g}, {high:g}] must grow")
    if feature.range and kind is FeatureType.INTEGER:
        low, high = feature.range
        if max(ceil(low), -MAX_INTEGER) > min(floor(high), MAX_INTEGER):
            hint = f"whole numbers from -{MAX_INTEGER:,} to {MAX_INTEGER:,} are exact"
            raise BadModelFile(f"{where}.range: no integer lies in [{low:g}, {high:g}]", hint=hint)
    for value, times in Counter(feature.known).items():
        if times > 1:
            raise BadModelFile(f"{where}.known: {value[:80]!r} is there {times} times")
        if len(value) > MAX_TEXT:
            message = f"{where}.known: a name of {len(value):,} characters"
            raise BadModelFile(message, hint=f"at most {MAX_TEXT:,}")
    if (kind is FeatureType.VECTOR) != bool(feature.length):
        hint = "length: 384 for a vector of 384 numbers, and for nothing else"
        raise BadModelFile(f"{where}.length: {feature.length} for a {kind}", hint=hint)
    if not 0 <= feature.length <= MAX_VECTOR:
        raise BadModelFile(f"{where}.length must be from 1 to {MAX_VECTOR:,}")
    most = {FeatureType.TEXT: MAX_TEXT, FeatureType.IMAGE: MAX_IMAGE_BYTES}.get(kind)
    if feature.longest is not None and (most is None or not 1 <= feature.longest <= most):
        hint = f"1 to {most:,}" if most else "texts and images have one"
        raise BadModelFile(f"{where}.longest: {feature.longest} for a {kind}", hint=hint)


def _check_steps(file: ModelFile) -> None:
    shares = [parse_share(step) for step in file.rollout.steps]
    if not shares or shares[0] <= 0.0 or any(b <= a for a, b in pairwise(shares)):
        hint = "for example [5%, 25%, 100%]"
        raise BadModelFile(f"rollout.steps: {file.rollout.steps} must grow from over 0%", hint=hint)


def _check_fallback(step: Any, file: ModelFile) -> None:
    match step:
        case "previous":
            return
        case {"constant": value, **rest} if not rest:
            _check_constant("serve.fallback: constant", value, file)
        case {"without": str() as view, **rest} if not rest:
            if view not in file.features:
                hint = did_you_mean(view, file.features)
                raise BadModelFile(f"serve.fallback: there is no view {view!r}", hint=hint)
        case {"version": str() | int(), **rest} if not rest:
            return
        case {"rule": list() as rule, **rest} if not rest:
            _check_rule(rule, file)
        case _:
            hint = "`previous`, {version: N}, {without: VIEW}, {rule: [...]} or {constant: VALUE}"
            raise BadModelFile(f"serve.fallback: {repr(step)[:80]} is not known", hint=hint)


def _check_constant(where: str, value: Any, file: ModelFile) -> None:
    try:
        make_task(file.contract.task).constant(value)
    except (BadTask, TypeError, ValueError) as error:
        message = error.message if isinstance(error, BadTask) else str(error)
        advice = error.advice if isinstance(error, BadTask) else ""
        raise BadModelFile(f"{where}: {message}", hint=advice) from error


def _check_rule(rule: list[Any], file: ModelFile) -> None:
    where = "serve.fallback: rule"
    fault = find_type_error(rule, tuple[GivenStep, ...])
    if fault is not None:
        hint = "for example [{feature: items, above: 20, give: 0.6}, {give: 0.2}]"
        raise BadModelFile(f"{where}: {fault}", hint=fault.hint or hint)
    steps = msgspec.convert(rule, tuple[GivenStep, ...])
    schema = {spec.name: spec for spec in file.schema}
    for step in steps:
        _check_constant(f"{where}: give", step.give, file)
        if step.feature and step.feature not in schema:
            hint = did_you_mean(step.feature, schema)
            raise BadModelFile(f"{where}: there is no feature {step.feature!r}", hint=hint)
        for bound in (step.above, step.below):
            if bound is not None and not isfinite(bound):
                raise BadModelFile(f"{where}: the bound {bound} is not finite")
        if step.above is not None and step.below is not None and step.above >= step.below:
            message = f"nothing is above {step.above:g} and below {step.below:g}"
            raise BadModelFile(f"{where}: {message}")
        known = schema[step.feature].known_set if step.feature else frozenset[str]()
        for value in step.among if known else ():
            if value not in known:
                hint = did_you_mean(value, known)
                raise BadModelFile(f"{where}: {step.feature} is never {value[:80]!r}", hint=hint)
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
        numeric = step.feature and schema[step.feature].type in (
            FeatureType.NUMBER, FeatureType.INTEGER, FeatureType.DATETIME,
        )  # fmt: skip
        if step.feature and not category and not numeric:
            kind = schema[step.feature].type
            raise BadModelFile(
                f"{where}: {step.feature} is a {kind}", hint="numbers and categories"
            )
        if numeric and step.among:
            raise BadModelFile(f"{where}: {step.feature} is a number", hint="`above` and `below`")


def _check_acted_on(file: ModelFile) -> None:
    given, field = file.watch.outcomes, "watch.outcomes.at"
    if given.get("metric") != PRECISION_AT:
        if "at" in given:
            hint = f"`metric: {PRECISION_AT}` is of those alone"
            raise BadModelFile(f"{field}: nothing asks for the rows that are acted on", hint=hint)
        return
    hint = "how many rows are acted on, for example `100 per day`"
    try:
        count, per_s = parse_budget(str(given.get("at", "")))
    except ValueError as error:
        raise BadModelFile(f"{field}: {str(given.get('at', ''))[:40]!r} is no number of rows in a "
                           "time", hint=hint) from error  # fmt: skip
    if count != int(count):
        raise BadModelFile(f"{field}: {count:g} is no number of rows", hint=hint)
    if 2.0 * per_s > parse_duration(file.watch.drift_over):
        message = f"{field}: watch.drift_over need not have a whole one of its time in it"
        raise BadModelFile(message, hint="make watch.drift_over at least twice as long")
    if make_task(file.contract.task).ranked(np.zeros(0)) is None:
        kind = file.predicts.kind
        raise BadModelFile(f"watch.outcomes.metric: answers of a {kind} rank no rows", hint=(
            f"{PRECISION_AT} is of binary and ranking models"
        ))  # fmt: skip


def _field(name: str, parse: Any, value: str) -> None:
    try:
        parse(value)
    except ValueError as error:
        raise BadModelFile(f"{name}: {error}") from error
