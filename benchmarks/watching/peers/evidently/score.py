"""Evidently: its preset for drift, as its own first page has it."""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

from __future__ import annotations

import re
from importlib.metadata import version

from asked import Answer, Asked, each, main, of_p
from evidently import Report
from evidently.presets import DataDriftPreset

_NAME = re.compile(r"ValueDrift\(column=(.*),method=(.*),threshold=(.*)\)")


def score(asked: Asked) -> Answer:
    answer = Answer(version("evidently"))
    for window, clock in each(asked):
        try:
            with clock:
                found = Report([DataDriftPreset()]).run(window, asked.reference).dict()
        except Exception:
            answer.add_raised(window, clock.s)
            continue
        scores: dict[str, float] = {}
        alarms: list[str] = []
        for metric in found["metrics"]:
            matched = _NAME.fullmatch(metric["metric_name"])
            if not matched:
                continue
            name, method, limit = matched[1], matched[2], float(matched[3])
            value = float(metric["value"])
            by_p = method.endswith("p_value")
            scores[name] = of_p(value) if by_p else value
            if (value < limit) if by_p else (value >= limit):
                alarms.append(name)
        answer.add(scores, alarms, clock.s)
    return answer


if __name__ == "__main__":
    main(score)
