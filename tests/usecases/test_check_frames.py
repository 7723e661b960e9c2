"""Two tables by the judges of the platform: what is fine, found, and not known."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.signal import lfilter

import windvane
from windvane.core.verdict import Outcome
from windvane.ports.frames import BadFrame
from windvane.usecases.check_frames import CheckReport, FeatureCheck

START = 1_700_006_400.0
MODEL_FILE = """
model: delay
features:
  weather:
    temp: {type: number}
watch: {min_rows: 100}
"""


def table(rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    score = rng.random(rows)
    return pd.DataFrame(
        {
            "temp": rng.normal(60.0, 10.0, rows),
            "carrier": rng.choice(["AA", "B6", "UA"], rows, p=[0.5, 0.3, 0.2]),
            "late": (rng.random(rows) < score).astype(int),
            "score": score,
        }
    )


def timed(rows: int, seed: int, days: float, after: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    found = table(rows, seed)
    found["ts"] = START + after * 86_400.0 + np.sort(rng.random(rows)) * days * 86_400.0
    found["city"] = rng.choice(["LGA", "JFK", "EWR"], rows)
    return found


def check(reference: Any, current: Any, **given: Any) -> CheckReport:
    return windvane.check(reference, current, **given).report


def of(report: CheckReport, name: str) -> FeatureCheck:
    return next(one for one in report.features if one.name == name)


# As a whole


def test_a_table_like_its_reference_is_fine() -> None:
    found = check(table(5_000, 1), table(2_000, 2))
    assert (found.verdict.outcome, found.verdict.code) == (Outcome.PASS, "CHK-200")
    assert found.verdict.sentence.startswith("none of 4 columns changed")


def test_what_changed_leads_with_its_own_words_and_unit() -> None:
    now = table(2_000, 2)
    now["temp"] = (now["temp"] - 32.0) / 1.8
    now.loc[:200, "carrier"] = "b6"
    found = check(table(5_000, 1), now)
    assert found.verdict.code == "CHK-201"
    assert {one.name for one in found.features if one.outcome is Outcome.FAIL} == {
        "temp",
        "carrier",
    }
    assert found.features[0].name == "temp"
    assert found.features[0].band == "alert"
    assert found.features[0].wasserstein == pytest.approx(44.4, abs=3.0)
    assert "new names in 10.1% of rows ('b6')" in of(found, "carrier").sentence


def test_a_small_difference_of_many_rows_is_no_finding() -> None:
    now = table(200_000, 2)
    now["temp"] += 0.5
    found = check(table(200_000, 1), now)
    assert found.verdict.outcome is Outcome.PASS
    assert of(found, "temp").p < 1e-6, "it is significant, and does not matter"


@pytest.mark.parametrize(("reference", "current"), [(150, 5_000), (5_000, 30)])
def test_too_few_rows_is_hold_and_never_fine(reference: int, current: int) -> None:
    found = check(table(reference, 1), table(current, 2))
    assert found.verdict.outcome is Outcome.HOLD
    assert found.verdict.missing.endswith(" rows")


def test_a_column_with_few_values_is_hold() -> None:
    past, now = table(5_000, 1), table(2_000, 2)
    for one in (past, now):
        one.loc[10:, "temp"] = np.nan
    found = check(past, now)
    assert found.verdict.outcome is Outcome.HOLD
    assert of(found, "temp").sentence == "10 rows with a value, 50 needed"


def test_columns_that_are_missing_or_of_another_kind_are_findings() -> None:
    now = table(2_000, 2).rename(columns={"carrier": "carier"})
    now["temp"] = "warm"
    now["score"] = np.nan
    now["late"] = 1
    found = check(table(5_000, 1), now)
    assert {one.name: one.outcome.value for one in found.features} == dict.fromkeys(
        ("temp", "carrier", "late", "score"), "fail"
    )
    assert of(found, "carrier").sentence.endswith("did you mean 'carier'?")
    assert of(found, "temp").sentence == "temp holds texts such as 'warm', the reference numbers"
    assert of(found, "score").sentence.startswith("no value in any row")
    assert found.notes == ("1 columns that the reference has not: carier",)


def test_what_was_always_empty_or_constant_is_fine() -> None:
    past, now = table(5_000, 1), table(2_000, 2)
    for one in (past, now):
        one["empty"], one["one"] = np.nan, 7.0
    found = check(past, now)
    assert found.verdict.outcome is Outcome.PASS
    assert found.notes == ("empty has no value in either table",)


def walk(rows: int, rho: float, seed: int) -> pd.DataFrame:
    noise = np.random.default_rng(seed).normal(size=rows)
    return pd.DataFrame({"x": lfilter([1.0], [1.0, -rho], noise)})


def test_rows_that_depend_on_each_other_do_not_alarm() -> None:
    """A sensor's walk: each next hour differs from the last, as each did before."""
    short, long = walk(30_000, 0.995, 5), walk(60_000, 0.9, 5)
    assert check(long[:40_000], long[40_000:]).verdict.outcome is Outcome.PASS
    found = check(short[:25_000], short[25_000:])
    assert (found.verdict.outcome, found.verdict.code) == (Outcome.HOLD, "CHK-204")
    assert re.search(r"\(\d+ rows count as one\)", found.verdict.sentence), found.verdict


# What a table of these rows cannot show


def numbers(rows: int, seed: int) -> Any:
    return np.random.default_rng(seed).normal(size=rows)


def blind(name: str) -> tuple[Any, Any]:
    rng = np.random.default_rng(7)
    letters = np.array(list("abcd"))
    if name == "sorted, 30 sd":
        return np.sort(numbers(8_000, 1)), numbers(2_000, 2) + 30.0
    if name == "sorted, 3 sd":
        return np.sort(numbers(8_000, 1)), numbers(2_000, 2) + 3.0
    if name == "sorted names, a new one":
        now = np.where(rng.random(2_000) < 0.2, "new", rng.choice(letters, 2_000))
        return np.sort(rng.choice(letters, 8_000)), now
    if name == "two regimes":
        return np.r_[numbers(4_000, 1), numbers(4_000, 2) + 3.0], numbers(2_000, 3) + 4.0
    past, now = numbers(8_000, 1), numbers(2_000, 2)
    past[3_000:3_400] = np.nan
    now[rng.random(2_000) < 0.4] = np.nan
    return past, now


@pytest.mark.parametrize(
    "name",
    ["sorted, 30 sd", "sorted, 3 sd", "sorted names, a new one", "two regimes", "a block of nulls"],
)
def test_a_reference_by_which_no_change_can_be_seen_is_hold(name: str) -> None:
    past, now = blind(name)
    checked = windvane.check(pd.DataFrame({"x": past}), pd.DataFrame({"x": now}))
    verdict = checked.report.verdict
    assert (verdict.outcome, verdict.code) == (Outcome.HOLD, "CHK-204"), verdict
    assert re.fullmatch(r"about [\d,]+ independent rows in each table", verdict.missing)
    body = checked.to_dict()
    assert body["status"] == 2
    (feature,) = body["features"]
    assert (feature["outcome"], feature["code"]) == ("hold", "CHK-204")
    assert feature["missing"] == verdict.missing
    of_nulls = name == "a block of nulls"
    assert feature["sizes"]["detectable_nulls" if of_nulls else "detectable_psi"] > 0.1


def test_a_change_that_few_rows_hide_is_found_or_hold_with_the_rows_that_it_takes() -> None:
    outcomes: list[str] = []
    for seed in range(36):
        now = pd.DataFrame({"x": numbers(60, 100 + seed) + 0.5})
        found = check(pd.DataFrame({"x": numbers(8_000, seed)}), now)
        outcomes.append(found.verdict.outcome.value)
        if found.verdict.outcome is Outcome.HOLD:
            assert found.verdict.code == "CHK-204"
            assert re.search(r"(only from|changed by) a PSI of 0\.\d+", found.verdict.sentence)
            said = re.fullmatch(r"about (\d+) more independent rows", found.verdict.missing)
            assert said is not None
            assert 20 <= int(said[1]) <= 120
    assert set(outcomes) == {"hold", "fail"}


@pytest.mark.parametrize(("past", "now"), [(1_000, 1_000), (5_000, 1_000), (20_000, 5_000)])
@pytest.mark.parametrize("columns", [4, 40])
def test_healthy_tables_of_usual_size_are_fine(past: int, now: int, columns: int) -> None:
    def wide(rows: int, seed: int) -> pd.DataFrame:
        rng = np.random.default_rng(seed)
        found: dict[str, Any] = {}
        for i in range(columns // 4):
            found[f"n{i}"], found[f"g{i}"] = rng.normal(size=rows), rng.gamma(2.0, 1.0, rows)
            found[f"c{i}"] = rng.choice(list("abcdefgh"), rows)
            found[f"z{i}"] = rng.normal(size=rows)
            found[f"z{i}"][rng.random(rows) < (0.5, 0.1, 0.02, 0.3)[i % 4]] = np.nan
        return pd.DataFrame(found)

    for seed in range(4):
        verdict = check(wide(past, seed), wide(now, 50 + seed)).verdict
        assert verdict.outcome is Outcome.PASS, verdict


def purchases(rows: int, seed: int, after: float = 0.0) -> pd.DataFrame:
    """Most rows are 0, of an amount and of a count."""
    rng = np.random.default_rng(seed)
    amount = np.where(rng.random(rows) < 0.6, 0.0, rng.exponential(2.0, rows))
    ts = START + (after + np.sort(rng.random(rows)) * 10.0) * 86_400.0
    return pd.DataFrame({"amount": amount, "count": np.minimum(np.ceil(amount), 9.0), "ts": ts})


@pytest.mark.parametrize("time", [None, "ts"])
@pytest.mark.parametrize("sentinel", [-999.0, -1.0])
@pytest.mark.parametrize("in_place_of", ["zeros", "any"])
def test_a_sentinel_below_all_of_the_reference_is_found(
    time: str | None, sentinel: float, in_place_of: str
) -> None:
    past, now = purchases(20_000, 1), purchases(5_000, 2, after=10.0)
    late = now["ts"] > START + 14.0 * 86_400.0
    some = pd.Series(np.random.default_rng(3).random(len(now)) < 0.05)
    for name in ("amount", "count"):
        now.loc[late & (now[name] == 0.0 if in_place_of == "zeros" else some), name] = sentinel
    if time is None:
        past, now = past.drop(columns="ts"), now[late].drop(columns="ts")
    found = check(past, now, **({} if time is None else {"time": time}))
    assert found.verdict.outcome is Outcome.FAIL
    if time is None:
        assert {one.name for one in found.features if one.outcome is Outcome.FAIL} == {
            "amount",
            "count",
        }
        if in_place_of == "any":
            assert "rows under 0 from 0% to 6%" in of(found, "amount").sentence
    if time is None or in_place_of == "any":
        return
    assert found.windows is not None
    (alarm, *_) = found.alarms
    assert alarm.suspects[0][0] in ("amount", "count")
    assert abs(alarm.since - (START + 14.0 * 86_400.0)) <= 4 * found.windows.window_s


def test_a_model_file_says_what_is_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    path.write_text(MODEL_FILE)
    found = check(table(5_000, 1), table(60, 2), config=path)
    assert [one.name for one in found.features] == ["temp"]
    assert of(found, "temp").source == "weather"
    assert "60 now, 100 needed" in found.verdict.sentence


# Window by window


def test_a_fault_of_one_segment_is_its_own_with_its_onset() -> None:
    past, now = timed(40_000, 1, 30), timed(10_000, 2, 7, after=30)
    broken = (now["city"] == "JFK") & (now["ts"] > START + 33 * 86_400.0)
    now.loc[broken, "temp"] = (now["temp"] - 32.0) / 1.8
    found = check(past, now, time="ts", segment="city")
    assert found.windows is not None
    assert found.windows.verdict.outcome is Outcome.FAIL
    (alarm,) = [one for one in found.alarms if one.suspects[0][0] == "temp"]
    assert alarm.whom == "JFK"
    assert abs(alarm.since - (START + 33 * 86_400.0)) <= 2 * found.windows.window_s
    assert alarm.closed is None


def test_healthy_windows_do_not_alarm_and_a_new_segment_is_named() -> None:
    past, now = timed(40_000, 3, 30), timed(10_000, 4, 7, after=30)
    now.loc[now["city"] == "EWR", "city"] = "BOS"
    past = past[past["city"] != "EWR"]
    found = check(past.drop(columns="city").assign(town=past["city"]),
                  now.drop(columns="city").assign(town=now["city"]),
                  time="ts", segment="town")  # fmt: skip
    assert found.windows is not None
    assert found.windows.new == ("BOS",)
    assert [one for one in found.alarms if "town" not in dict(one.suspects)] == []


def test_hours_that_differ_and_rows_that_depend_on_each_other_do_not_alarm() -> None:
    rng = np.random.default_rng(8)
    rows = 40_000
    ts = np.sort(rng.random(rows)) * 35 * 86_400.0
    noise = rng.normal(size=rows)
    walk = np.empty(rows)
    walk[0] = 0.0
    for i in range(1, rows):
        walk[i] = 0.98 * walk[i - 1] + 0.2 * noise[i]
    x = walk + np.sin(ts / 86_400.0 * 2.0 * np.pi)
    frame = pd.DataFrame({"ts": START + ts, "x": x, "y": walk[::-1]})
    cut = ts < 28 * 86_400.0
    found = check(frame[cut], frame[~cut], time="ts")
    assert found.windows is not None
    assert found.windows.verdict.outcome is Outcome.PASS, found.windows.verdict
    # As a whole so few independent rows show large changes only.
    assert found.verdict.code == "CHK-204", found.verdict


def test_few_windows_that_were_judged_are_no_pass() -> None:
    """A fault of the first windows is what the others were taught."""
    past, now = timed(12_000, 1, 28), timed(12_000, 2, 28, after=28)
    now.loc[now["ts"] < START + 31 * 86_400.0, "temp"] += 12.0
    found = check(past, now, time="ts")
    assert found.windows is not None
    verdict = found.windows.verdict
    judged_most = verdict.outcome is Outcome.PASS
    assert not judged_most, verdict
    assert found.verdict.outcome is not Outcome.PASS


def test_too_short_a_reference_teaches_nothing_and_is_hold() -> None:
    past, now = timed(2_000, 1, 1), timed(2_000, 2, 1, after=1)
    found = check(past, now, time="ts")
    assert found.windows is not None
    assert found.windows.verdict.outcome is Outcome.HOLD
    assert found.verdict.outcome is Outcome.HOLD


@pytest.mark.parametrize("days", [1.0, 400.0])
@pytest.mark.parametrize("rows", [1, 2, 5, 99])
@pytest.mark.parametrize("segment", ["", "city"])
def test_a_reference_with_rows_for_no_window_is_hold(rows: int, days: float, segment: str) -> None:
    """Windows are longest where rows are fewest: longer than what is recent, there was no past."""
    past, now = timed(rows, 1, days), timed(2_000, 2, days, after=days)
    found = check(past, now, time="ts", segment=segment)
    assert found.verdict.outcome is Outcome.HOLD
    assert f"{rows} rows of the reference, 200 needed; 2,000 now" in found.verdict.sentence
    assert found.verdict.missing == f"{200 - rows} rows"
    assert found.windows is not None
    assert found.windows.verdict.outcome is Outcome.HOLD


def test_windows_longer_than_what_is_recent_are_judged() -> None:
    past, now = timed(8_000, 1, 1_700.0), timed(2_000, 2, 400.0, after=1_700.0)
    found = check(past, now, time="ts")
    assert found.windows is not None
    assert found.windows.window_s == 28 * 86_400.0
    assert found.windows.verdict.outcome is Outcome.PASS


def small_segment(share: float, seed: int, *, broken: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two cities and a small third, of which the last five days have no temperature."""
    sides: list[pd.DataFrame] = []
    for rows, days, after in ((40_000, 30.0, 0.0), (12_600, 7.0, 30.0)):
        one = timed(rows, seed + int(after), days, after)
        rng = np.random.default_rng(seed + int(after))
        one["city"] = rng.choice(["LGA", "JFK", "SBY"], rows, p=[0.6, 0.4 - share, share])
        sides.append(one.drop(columns=["late", "score"]))
    past, now = sides
    if broken:
        now.loc[(now["city"] == "SBY") & (now["ts"] > START + 32 * 86_400.0), "temp"] = np.nan
    return past, now


@pytest.mark.parametrize("share", [0.0035, 0.02, 0.03])
def test_a_total_outage_of_a_segment_of_few_rows_is_found(share: float) -> None:
    found = check(*small_segment(share, 1, broken=True), time="ts", segment="city")
    assert found.windows is not None
    (alarm,) = found.alarms
    assert (alarm.whom, alarm.suspects[0][0], alarm.severity) == ("SBY", "temp", "high")
    # A window before may be broken in part, and days pass between rows of the smallest.
    assert 0.0 <= alarm.since - (START + 32 * 86_400.0) <= 86_400.0
    assert alarm.closed is None
    assert found.verdict.code == "CHK-201"
    (mine,) = [one for one in found.windows.by_segment if one.name == "SBY"]
    assert mine.outcome is Outcome.FAIL


def test_an_outage_of_a_segment_that_ended_has_an_end_and_a_new_one_is_not_judged() -> None:
    past, now = small_segment(0.02, 1, broken=True)
    healed = now["ts"] > START + 35 * 86_400.0
    now.loc[healed & now["temp"].isna(), "temp"] = 60.0
    (alarm,) = check(past, now, time="ts", segment="city").alarms
    assert alarm.closed is not None
    assert abs(alarm.closed - (START + 35 * 86_400.0)) <= 86_400.0
    found = check(past[past["city"] != "SBY"], now, time="ts", segment="city")
    assert found.windows is not None
    mine = {one.name: one for one in found.windows.by_segment}["SBY"]
    assert (mine.outcome, mine.sentence) == (Outcome.HOLD, "the reference has no row of it")


def test_a_segment_that_is_not_judged_is_said_to_be_so() -> None:
    checked = windvane.check(*small_segment(0.002, 1, broken=True), time="ts", segment="city")
    found = checked.report
    assert found.alarms == ()
    assert found.windows is not None
    body = checked.to_dict()
    by_segment = {one["segment"]: one for one in body["windows"]["by_segment"]}
    mine = by_segment["SBY"]
    assert (mine["outcome"], mine["judged"]) == ("hold", 0)
    assert mine["sentence"] == f"{mine['learned']} rows of it in the reference, 1,000 needed"
    assert mine["missing"] == f"{1_000 - mine['learned']} rows of the reference"
    assert {one["outcome"] for name, one in by_segment.items() if name != "SBY"} == {"pass"}
    assert body["notes"] == [f"segment SBY is not judged: {mine['sentence']}"]
    assert found.windows.verdict.sentence.endswith("1 of 3 segments are not judged")
    assert mine["missing"] in checked.to_html()


def test_nulls_that_a_small_segment_always_had_are_no_outage() -> None:
    alarms = 0
    for seed in range(12):
        past, now = small_segment(0.01, seed, broken=False)
        rng = np.random.default_rng(seed)
        for one in (past, now):
            # A third of its half days and every other row have none.
            blocks = rng.random(80) < 1 / 3
            half_day = (one["ts"].to_numpy() // 43_200).astype(int) % 80
            none = blocks[half_day] | (rng.random(len(one)) < 0.5)
            one.loc[(one["city"] == "SBY") & none, "temp"] = np.nan
        alarms += len(check(past, now, time="ts", segment="city").alarms)
    assert alarms <= 1


# Quality


def test_quality_passes_fails_and_holds_by_its_interval() -> None:
    roles = {"label": "late", "prediction": "score"}
    past = table(20_000, 1)
    same = check(past, table(20_000, 2), **roles).quality
    assert same is not None
    assert same.verdict.outcome is Outcome.PASS
    flipped = table(20_000, 2)
    half = np.random.default_rng(1).random(20_000) < 0.5
    flipped.loc[half, "late"] = 1 - flipped.loc[half, "late"]
    found = check(past, flipped, **roles)
    assert found.quality is not None
    assert found.quality.verdict.outcome is Outcome.FAIL
    assert found.verdict.outcome is Outcome.FAIL
    few = check(past, table(300, 2), **roles).quality
    assert few is not None
    assert few.verdict.outcome is Outcome.HOLD


def test_classes_and_numbers_are_scored_too() -> None:
    rng = np.random.default_rng(1)
    truth = rng.choice(["a", "b", "c"], 6_000)
    said = np.where(rng.random(6_000) < 0.8, truth, "a")
    named = pd.DataFrame({"y": truth, "p": said})
    found = check(named, named, label="y", prediction="p").quality
    assert found is not None
    assert (found.task, found.metric) == ("multiclass", "accuracy")
    y = rng.normal(size=6_000) * 50
    numbers = pd.DataFrame({"y": y, "p": y + rng.normal(size=6_000)})
    found = check(numbers, numbers.assign(p=y + 3), label="y", prediction="p").quality
    assert found is not None
    assert (found.task, found.verdict.outcome) == ("regression", Outcome.FAIL)


# What cannot be


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"time": "when"}, "--time: reference has no column 'when'"),
        ({"label": "late"}, "--label without --prediction"),
        ({"segment": "carrier"}, "--segment without --time"),
        ({"time": "carrier"}, "column 'carrier': 'AA' is no time"),
        ({"time": "temp"}, "is no time"),
        ({"alpha": 0.9}, "alpha is 0.9"),
        ({"label": "carrier", "prediction": "score"}, "which of 'AA', 'B6', 'UA'"),
        ({"config": "nowhere.yaml"}, "nowhere.yaml cannot be read"),
    ],
)
def test_what_cannot_be_checked_is_said(given: dict[str, Any], message: str) -> None:
    with pytest.raises(BadFrame, match=re.escape(message)):
        windvane.check(table(1_000, 1), table(1_000, 2), **given)


def test_a_table_that_ends_after_the_current_begins_is_refused() -> None:
    with pytest.raises(BadFrame, match="what is watched comes after"):
        windvane.check(timed(2_000, 1, 5), timed(2_000, 2, 5), time="ts")


def test_more_columns_than_are_bearable_are_refused() -> None:
    wide = pd.DataFrame(np.zeros((2, 2_001)), columns=[f"c{i}" for i in range(2_001)])
    with pytest.raises(BadFrame, match="2,001 columns, 2,000 are the most"):
        windvane.check(wide, wide)


def test_many_names_and_segments_stay_bounded() -> None:
    past, now = timed(20_000, 1, 20), timed(5_000, 2, 5, after=20)
    for one in (past, now):
        one["id"] = [f"u{i}" for i in range(len(one))]
        one["shop"] = np.arange(len(one)) % 300
    found = check(past, now, time="ts", segment="shop")
    assert found.windows is not None
    assert len(found.windows.segments) == 50
    assert found.windows.segments[-1] == "(others)"
    assert len(of(found, "id").bins[0]) == 217
    assert of(found, "id").outcome is Outcome.PASS


# As it is shown


def test_json_is_plain_and_complete() -> None:
    now = timed(10_000, 2, 7, after=30)
    now["temp"] += 30.0
    checked = windvane.check(timed(40_000, 1, 30), now, time="ts", label="late", prediction="score")
    body = json.loads(json.dumps(checked.to_dict(), allow_nan=False))
    assert set(body) == {
        "format", "reference", "current", "alpha", "verdict", "status", "features", "windows",
        "alarms", "quality", "notes",
    }  # fmt: skip
    assert (body["format"], body["status"]) == (1, 1)
    first = body["features"][0]
    assert set(first["sizes"]) == {
        "psi", "js", "kl", "ks", "tv", "nulls", "unseen", "depends", "wasserstein",
        "as_independent", "detectable_psi", "detectable_nulls",
    }  # fmt: skip
    assert body["alarms"][0]["changes"][0]["feature"] == "temp"
    assert body["quality"]["current"]["lower"] < body["quality"]["current"]["value"]


def test_the_page_is_one_file_and_names_cannot_break_out_of_it() -> None:
    past = table(2_000, 1).assign(**{"<script>x</script>": 1.0})
    now = table(2_000, 2).assign(**{"<script>x</script>": 2.0})
    checked = windvane.check(past, now)
    page = checked.to_html()
    assert "<script" not in page
    assert not re.search(r"(src|href)=|url\(|@import", page)
    assert page.count("<svg") == 5
    assert "&lt;script&gt;" in page
    assert checked.outcome in repr(checked)
    assert "<iframe srcdoc=" in checked._repr_html_()
