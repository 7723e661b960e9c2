"""Whether what a model's file asks of the freshness of its views can be judged."""

from __future__ import annotations

from collections import Counter

from windvane.core.errors import did_you_mean
from windvane.core.freshness import LONGEST_AGE_S, SHORTEST_AGE_S
from windvane.core.signature import FeatureType
from windvane.usecases.derived_axes import age_name, fingerprint_name
from windvane.usecases.read_model_file import (
    BadModelFile,
    Fresh,
    ModelFile,
    as_duration,
    parse_duration,
    parse_share,
)

_LONGEST_S = LONGEST_AGE_S // 86_400.0 * 86_400.0


def check_fresh(file: ModelFile) -> None:
    """Raises BadModelFile."""
    for view, asked in file.watch.fresh.items():
        if view not in file.features:
            hint = did_you_mean(view, file.features)
            raise BadModelFile(f"watch.fresh: there is no view {view[:80]!r}", hint=hint)
        _check_time(f"watch.fresh.{view}.time", file, view, asked.time)
        _check_limits(f"watch.fresh.{view}", asked)
    for view, times in Counter(file.watch.repeats).items():
        if view not in file.features:
            hint = did_you_mean(view, file.features)
            raise BadModelFile(f"watch.repeats: there is no view {view[:80]!r}", hint=hint)
        if times > 1:
            message = f"watch.repeats: {view[:80]!r} is there {times} times"
            raise BadModelFile(message, hint="name it once")
        _check_axis("watch.repeats", file, fingerprint_name(view))


def _check_time(field: str, file: ModelFile, view: str, name: str) -> None:
    features = file.features[view]
    times = [n for n, feature in features.items() if feature.type is FeatureType.DATETIME]
    if name not in features:
        hint = did_you_mean(name, times) if times else f"{view} has no datetime: add one"
        raise BadModelFile(f"{field}: {view} has no feature {name[:80]!r}", hint=hint)
    if name not in times:
        hint = f"one of {', '.join(times)}" if times else "`type: datetime` says when it was seen"
        raise BadModelFile(f"{field}: {name} is a {features[name].type}, no datetime", hint=hint)
    _check_axis(field, file, age_name(name))


def _check_axis(field: str, file: ModelFile, name: str) -> None:
    """An axis has its feature's name, and one that is derived a name that no feature has."""
    if any(name in features for features in file.features.values()):
        raise BadModelFile(f"{field}: {name} is a feature, too", hint="rename that feature")


def _check_limits(field: str, asked: Fresh) -> None:
    try:
        within_s = parse_duration(asked.within)
    except ValueError as error:
        raise BadModelFile(f"{field}.within: {error}", hint="for example 2h") from error
    if not SHORTEST_AGE_S <= within_s <= _LONGEST_S:
        sides = f"{as_duration(SHORTEST_AGE_S)} to {as_duration(_LONGEST_S)}"
        raise BadModelFile(f"{field}.within: {asked.within} is not from {sides}")
    try:
        allowed = parse_share(asked.allowed)
    except ValueError as error:
        raise BadModelFile(f"{field}.allowed: {error}", hint="for example 5%") from error
    if not 0.0 < allowed < 1.0:
        raise BadModelFile(f"{field}.allowed must be between 0% and 100%")
