"""Has a feature changed, is the change large, and since when?"""

from windvane.core.drift.attribution import LEAST_ROWS, Part, blame, is_mix
from windvane.core.drift.axes import AxisIndex, axis_index
from windvane.core.drift.baseline import (
    Baseline,
    block_seconds,
    build_baseline,
    calibration_seconds,
)
from windvane.core.drift.budget import alarm_threshold
from windvane.core.drift.cell import (
    NO_VALUE,
    Cell,
    HealthyWindows,
    Look,
    begin_past,
    look,
    outage_readings,
    overdispersion,
    project_cell,
    readings,
    settle,
)
from windvane.core.drift.concentration import (
    LEAST_SHARE,
    Concentration,
    concentration_reading,
    follow_concentration,
)
from windvane.core.drift.dependence import (
    TOLD_APART,
    DependenceFacts,
    DependencePolicy,
    PairReading,
    association,
    describe_reading,
    group_bins,
    judge_dependence,
)
from windvane.core.drift.describe import change_sentence, describe_change
from windvane.core.drift.deviation import Measure, Reference, measure_deviations
from windvane.core.drift.domain_classifier import (
    FOLDS,
    MOST_TOLD,
    DomainReading,
    ScoredRows,
    rank_scores,
    tell_apart,
)
from windvane.core.drift.forecast import Forecast
from windvane.core.drift.judge import (
    Alarm,
    DriftFacts,
    DriftPolicy,
    Kind,
    Reading,
    StreamState,
    judge_drift,
    psi_words,
    windows_to_close,
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
from windvane.core.drift.null_stretch import NullStretch, find_null_stretch
from windvane.core.drift.packing import (
    pack_learned,
    pack_pending,
    pack_text,
    unpack_learned,
    unpack_pending,
    unpack_text,
)
from windvane.core.drift.past import accept_change, take_as_past
from windvane.core.drift.pending import Pending, gather, rows_of
from windvane.core.drift.readings import baseline_readings
from windvane.core.drift.sensitivity import looks_to_alarm
from windvane.core.drift.timeline import EffectSizes, decimate, effect_sizes
from windvane.core.drift.watch import PAST_LOOKS, Watched, Watching, is_due, watch

__all__ = [
    "FOLDS",
    "LEAST_ROWS",
    "LEAST_SHARE",
    "MOST_TOLD",
    "NO_VALUE",
    "PAST_LOOKS",
    "TOLD_APART",
    "Alarm",
    "AxisIndex",
    "Baseline",
    "Cell",
    "Concentration",
    "DependenceFacts",
    "DependencePolicy",
    "DomainReading",
    "DriftFacts",
    "DriftPolicy",
    "EffectSizes",
    "Forecast",
    "HealthyWindows",
    "Kind",
    "Look",
    "Measure",
    "NullStretch",
    "PairReading",
    "Part",
    "Pending",
    "Reading",
    "Reference",
    "ScoredRows",
    "StreamState",
    "Watched",
    "Watching",
    "accept_change",
    "alarm_threshold",
    "association",
    "axis_index",
    "baseline_readings",
    "begin_past",
    "blame",
    "block_seconds",
    "build_baseline",
    "calibration_seconds",
    "change_sentence",
    "concentration_reading",
    "decimate",
    "describe_change",
    "describe_reading",
    "effect_sizes",
    "find_null_stretch",
    "follow_concentration",
    "gather",
    "group_bins",
    "is_due",
    "is_mix",
    "js_divergence",
    "judge_dependence",
    "judge_drift",
    "kl_divergence",
    "ks_distance",
    "look",
    "looks_to_alarm",
    "measure_deviations",
    "null_rate",
    "outage_readings",
    "overdispersion",
    "pack_learned",
    "pack_pending",
    "pack_text",
    "project_cell",
    "psi",
    "psi_words",
    "rank_scores",
    "rank_shift",
    "readings",
    "rows_of",
    "settle",
    "take_as_past",
    "tell_apart",
    "total_variation",
    "unpack_learned",
    "unpack_pending",
    "unpack_text",
    "watch",
    "windows_to_close",
]
