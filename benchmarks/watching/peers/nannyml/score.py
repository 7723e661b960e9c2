"""NannyML: univariate drift by chunks, with the thresholds that it learns of the reference's."""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

from __future__ import annotations

from importlib.metadata import version

import nannyml
import pandas as pd
from asked import Answer, Asked, Clock, each, main


def score(asked: Asked) -> Answer:
    names = list(asked.reference.columns)
    calculator = nannyml.UnivariateDriftCalculator(
        column_names=names, chunk_size=max(1, min(asked.rows, len(asked.reference) // 10))
    )
    with Clock() as ready:
        calculator.fit(asked.reference)
    answer = Answer(version("nannyml"), ready.s)
    for window, clock in each(asked):
        try:
            with clock:
                found = calculator.calculate(window).filter(period="analysis").to_df()
        except Exception:
            answer.add_raised(window, clock.s)
            continue
        methods = {name: found[name].columns.get_level_values(0)[0] for name in names}
        one = {name: found[name][methods[name]].iloc[0] for name in names}
        values = {
            n: float(row["value"]) if pd.notna(row["value"]) else 0.0 for n, row in one.items()
        }
        answer.add(values, [n for n, row in one.items() if bool(row["alert"])], clock.s)
    return answer


if __name__ == "__main__":
    main(score)
