"""whylogs: profiles of both, and its drift scores with their own thresholds."""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

from __future__ import annotations

from importlib.metadata import version

import whylogs
from asked import Answer, Asked, Clock, each, main, of_p
from whylogs.viz.drift.column_drift_algorithms import calculate_drift_scores


def score(asked: Asked) -> Answer:
    with Clock() as ready:
        reference = whylogs.log(asked.reference).view()
    answer = Answer(version("whylogs"), ready.s)
    for window, clock in each(asked):
        with clock:
            found = calculate_drift_scores(
                target_view=whylogs.log(window).view(),
                reference_view=reference,
                with_thresholds=True,
            )
        known = {name: one for name, one in found.items() if one is not None}
        answer.add(
            {name: of_p(one["pvalue"]) for name, one in known.items()},
            [name for name, one in known.items() if one["drift_category"] == "DRIFT"],
            clock.s,
        )
    return answer


if __name__ == "__main__":
    main(score)
