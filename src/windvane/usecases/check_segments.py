"""Whether the segments of a model's file can be watched."""

from __future__ import annotations

from windvane.core.errors import did_you_mean
from windvane.core.signature import FeatureType
from windvane.core.sketch import MOST_SEGMENTS
from windvane.usecases.read_model_file import BY_TENANT, BadModelFile, ModelFile

MOST_SEGMENTED = 8
"""Features whose values are watched as segments."""
_FITTING = (FeatureType.CATEGORY, FeatureType.BOOLEAN, FeatureType.INTEGER)


def check_segments(file: ModelFile) -> None:
    """Raises BadModelFile."""
    given = file.watch.segments
    if len(file.segments) > MOST_SEGMENTED:
        message = f"watch.segments: {len(file.segments)} features, {MOST_SEGMENTED} allowed"
        raise BadModelFile(message, hint="name those by which you would look for a fault")
    specs = {spec.name: spec for spec in file.schema}
    for i, name in enumerate(given):
        where = f"watch.segments[{i}]"
        if name in given[:i]:
            raise BadModelFile(f"{where}: {name[:80]!r} is there twice", hint="name it once")
        if name == BY_TENANT:
            continue
        spec = specs.get(name)
        if spec is None:
            hint = did_you_mean(name, [BY_TENANT, *specs])
            raise BadModelFile(f"{where}: {name[:80]!r} is no feature", hint=hint)
        if spec.type not in _FITTING:
            fitting = ", ".join(kind.value for kind in _FITTING)
            message = f"{where}: {name!r} is a {spec.type.value}; a segment is one value of a type"
            raise BadModelFile(f"{message} among {fitting}", hint="name a feature of few values")
        if name in file.pii:
            message = f"{where}: the values of {name!r} are shown to nobody (tag pii)"
            raise BadModelFile(message, hint="name another feature")
        if len(spec.known) > MOST_SEGMENTS:
            message = f"{where}: {name!r} has {len(spec.known)} names, {MOST_SEGMENTS} are watched"
            raise BadModelFile(f"{message} at most", hint="name a coarser feature")
