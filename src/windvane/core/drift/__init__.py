"""Has a feature changed, is the change large, and since when?"""

from windvane.core.drift.attribution import Part, blame, is_mix
from windvane.core.drift.axes import AxisIndex, axis_index
from windvane.core.drift.baseline import (
    Baseline,
    block_seconds,
    build_baseline,
    calibration_seconds,
)
from windvane.core.drift.budget import alarm_threshold
from windvane.core.drift.cell import (
    Cell,
    Look,
    accept_change,
    gather,
    look,
    outage_readings,
    project_cell,
    readings,
    rows_of,
    settle,
)
from windvane.core.drift.describe import change_sentence, describe_change
from windvane.core.drift.deviation import Measure, Reference, measure_deviations
from windvane.core.drift.judge import (
    Alarm,
    DriftFacts,
    DriftPolicy,
    Kind,
    Reading,
    StreamState,
    judge_drift,
)
from windvane.core.drift.measure import (
    js_divergence,
    kl_divergence,
    ks_distance,
    null_rate,
    psi,
    rank_shift,
    total_variation,
)
from windvane.core.drift.packing import pack_arrays, pack_cell, unpack_arrays, unpack_cell
from windvane.core.drift.readings import baseline_readings
from windvane.core.drift.sensitivity import looks_to_alarm
from windvane.core.drift.timeline import EffectSizes, decimate, effect_sizes
from windvane.core.drift.watch import PAST_LOOKS, Watched, Watching, watch

__all__ = [
    "PAST_LOOKS",
    "Alarm",
    "AxisIndex",
    "Baseline",
    "Cell",
    "DriftFacts",
    "DriftPolicy",
    "EffectSizes",
    "Kind",
    "Look",
    "Measure",
    "Part",
    "Reading",
    "Reference",
    "StreamState",
    "Watched",
    "Watching",
    "accept_change",
    "alarm_threshold",
    "axis_index",
    "baseline_readings",
    "blame",
    "block_seconds",
    "build_baseline",
    "calibration_seconds",
    "change_sentence",
    "decimate",
    "describe_change",
    "effect_sizes",
    "gather",
    "is_mix",
    "js_divergence",
    "judge_drift",
    "kl_divergence",
    "ks_distance",
    "look",
    "looks_to_alarm",
    "measure_deviations",
    "null_rate",
    "outage_readings",
    "pack_arrays",
    "pack_cell",
    "project_cell",
    "psi",
    "rank_shift",
    "readings",
    "rows_of",
    "settle",
    "total_variation",
    "unpack_arrays",
    "unpack_cell",
    "watch",
]
