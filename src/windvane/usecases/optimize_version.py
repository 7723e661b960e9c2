"""Make a version cheaper and register what came out, with what it lost signed.

The optimized version is compared with the one that it was made of as a foreign model is with its
own library, measured on rows that it was not chosen by, judged, and registered. It goes live by a
canary like any other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from windvane.core.acceptance import CandidateFacts, ParityReport
from windvane.core.errors import WindvaneError
from windvane.core.execution import Optimization, Score, relative_loss
from windvane.core.task import metric_name
from windvane.ports.learner import TrainingData
from windvane.usecases.accept_candidate import (
    Applied,
    Proposal,
    Stores,
    Trained,
    accept,
    applied,
    check_data,
    check_present,
    duplicates,
    evaluate,
    some_rows,
    split_by_time,
)
from windvane.usecases.compare_library import Sides, compare_answers
from windvane.usecases.load_candidate import LoadedCandidate
from windvane.usecases.make_variant import (
    Variants,
    VariantServices,
    as_score,
    halves,
    open_variants,
    score_of,
)
from windvane.usecases.optimization_options import OptimizeOptions

_PARITY_ROWS = 1_000
_CARRIED = ("runtime", "packages")  # of the lineage: they hold for what is made of it


class LossTooLarge(WindvaneError):
    """The optimized version loses more of the metric than is allowed; nothing was registered."""

    code: ClassVar[str] = "OPT-102"
    hint = "allow more with --loss, which is recorded with your name"


@dataclass(frozen=True, slots=True)
class Optimized:
    """What was registered, with the metric before and after on the same rows and the part of it
    that was lost."""

    trained: Trained
    source: str
    before: Score
    after: Score
    loss: float


def optimize_version(
    services: VariantServices,
    stores: Stores,
    model: str,
    version: str,
    data: TrainingData,
    options: OptimizeOptions,
    on_step: Callable[[str], None] = lambda _: None,
) -> Optimized:
    """The registered version and what it lost.

    Raises UnknownName, BadTrainingData, CannotOptimize, LossTooLarge, CandidateRefused.
    """
    about = applied(stores.store, model)
    with open_variants(services, stores.store, about, version) as variants:
        on_step("check the data")
        check_data(about.file, data)
        used = variants.original.used(about.file.schema)
        check_present(data, used)
        alpha = about.policy.alpha
        _, holdout = split_by_time(data, options.holdout_from, variants.task)
        rounds = 0
        if options.how is Optimization.PRUNE:
            choosing, holdout = halves(holdout)
            rounds = variants.fewest_rounds(choosing, alpha, options.allowed, on_step)
        on_step(f"make it with {options.how.value}")
        made = variants.make(options.how, rounds)
        parity = _parity(about, variants, made, some_rows(holdout, _PARITY_ROWS), options, on_step)
        on_step(f"evaluate both on {holdout.rows:,} later rows")
        before = score_of(variants.original, holdout, variants.task, alpha)
        evaluation = evaluate(made, holdout, variants.task, alpha)
        after = as_score(evaluation.quality)
        loss = relative_loss(before, after)
        if loss > options.allowed:
            raise LossTooLarge(
                f"{options.how.value} of version {version}: {metric_name(before.metric)} "
                f"{before.value:.4g} becomes {after.value:.4g} on {after.rows:,} rows, "
                f"{loss:.2%} lost > {options.allowed:.2%} allowed"
            )
        record = variants.record
        signed: dict[str, Any] = {
            "from": record.version, "manifest": record.manifest, "how": options.how.value,
            "rounds": rounds, "metric": before.metric, "before": before.value,
            "after": after.value, "loss": loss, "allowed": options.allowed, "rows": after.rows,
            "by": options.by, "at": stores.clock.now(),
        }  # fmt: skip
        lineage: dict[str, Any] = {n: record.lineage[n] for n in _CARRIED if n in record.lineage}
        lineage["optimized"] = signed
        if parity.accepted:
            lineage["accepted"] = {"reason": parity.accepted, "by": parity.accepted_by}
        offered = Proposal(
            candidate=made,
            used=used,
            facts=CandidateFacts(
                data.rows,
                duplicates(data),
                evaluation.quality,
                evaluation.naive,
                parity,
                over_naive=evaluation.over_naive,
            ),
            evaluation=evaluation,
            params={"optimized": options.how.value, "from_version": record.version},
            tags={"table": options.table, "optimized_from": record.version},
            lineage=lineage,
        )
        trained = accept(stores, about, data, offered, on_step)
        return Optimized(trained, record.version, before, after, loss)


def _parity(
    about: Applied,
    variants: Variants,
    made: LoadedCandidate,
    sample: TrainingData,
    options: OptimizeOptions,
    on_step: Callable[[str], None],
) -> ParityReport:
    """The optimized version against the one that it was made of."""
    name = f"version {variants.record.version}"
    sides = Sides(
        contract=about.file.contract,
        inputs=made.inputs,
        served=made.predict_rows,
        reference=variants.original.predict_rows,
        library=name,
        against=name,
        tolerance=about.policy.parity_tolerance,
    )
    report = compare_answers(sides, sample.columns, (), on_step)
    return report.signed(options.accept, options.by)
