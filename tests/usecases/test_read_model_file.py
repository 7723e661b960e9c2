"""A model's file: what is read, and that every mistake is ours to explain, never a traceback."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from usecases.harness import FILE

from windvane.core.alerting import DEFAULT_RESPONSES, CauseGroup, Response
from windvane.core.rollout import GatePolicy
from windvane.core.signature import FeatureSpec, FeatureType
from windvane.usecases.read_model_file import (
    BadModelFile,
    ModelFile,
    as_duration,
    json_schema,
    parse_budget,
    parse_duration,
    parse_moment,
    parse_share,
    read_model_file,
)
from windvane.usecases.rollout_policy import gate_policy, slow_from

BASE: dict[str, Any] = yaml.safe_load(FILE)
LEAST = "model: delay\nfeatures: {plan: {distance: {type: number}}}"


def changed(path: str, value: Any) -> str:
    """The good file with one field replaced; ``path`` by dots."""
    body = place = copy.deepcopy(BASE)
    *parents, last = path.split(".")
    for name in parents:
        place = place.setdefault(name, {})
    place[last] = value
    return yaml.safe_dump(body)


def test_the_least_file_has_defaults_for_all_else() -> None:
    file = read_model_file(LEAST)
    assert file.model == "delay"
    assert file.schema == (FeatureSpec("distance", "plan", FeatureType.NUMBER),)
    assert file.respond == DEFAULT_RESPONSES
    assert file.constant is None
    assert file.rollout.steps == ["5%", "25%", "50%", "100%"]


def test_a_whole_file() -> None:
    file = read_model_file(FILE)
    assert [spec.name for spec in file.schema] == ["distance", "carrier", "temp"]
    assert file.schema[0] == FeatureSpec(
        "distance", "plan", FeatureType.NUMBER, low=0.0, high=5000.0
    )
    assert file.schema[2] == FeatureSpec("temp", "weather", FeatureType.NUMBER, nullable=True)
    assert file.constant == (0.2,)
    assert (file.owner.team, file.owner.contact) == ("ops", "#ops-ml")


def test_features_keep_the_files_order() -> None:
    names = ["z", "a", "m", "b"]
    views = {"later": {n: {"type": "number"} for n in names}, "first": {"q": {"type": "category"}}}
    text = yaml.safe_dump({"model": "delay", "features": views}, sort_keys=False)
    assert [spec.name for spec in read_model_file(text).schema] == [*names, "q"]


def test_responses_may_be_chosen_by_cause() -> None:
    given = {"broken_input": "notify", "failing": ["notify", "rollback"]}
    file = read_model_file(changed("watch.respond", given))
    assert file.respond == {
        **DEFAULT_RESPONSES,
        CauseGroup.BROKEN_INPUT: (Response.NOTIFY,),
        CauseGroup.FAILING: (Response.NOTIFY, Response.ROLLBACK),
    }


@pytest.mark.parametrize(
    ("severity", "instead"),
    [("low", ["`drift`"]), ("medium", ["`tenant`", "`quality`"]),
     ("high", ["`broken_input`", "`failing`"])],
)  # fmt: skip
def test_a_response_by_severity_is_refused_with_the_causes_that_it_meant(
    severity: str, instead: list[str]
) -> None:
    with pytest.raises(BadModelFile) as raised:
        read_model_file(changed("watch.respond", {severity: "notify"}))
    for word in (f"watch.respond.{severity}", *instead):
        assert word in str(raised.value)


@pytest.mark.parametrize(
    ("given", "word"), [({"drift": []}, "`log`"), ({"canary": "log"}, "canary"),
                        ({"quality": ["notify", "retrain"]}, "rollback")],
)  # fmt: skip
def test_a_response_that_is_none_is_refused(given: Any, word: str) -> None:
    with pytest.raises(BadModelFile) as raised:
        read_model_file(changed("watch.respond", given))
    assert "watch.respond" in str(raised.value)
    assert word in str(raised.value)


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("modle", "'model'"),
        ("owner.tem", "'team'"),
        ("predicts.outcom", "'outcome'"),
        ("features.plan.distance.typ", "'type'"),
        ("features.weather.temp.nulable", "'nullable'"),
        ("serve.dedline", "'deadline'"),
        ("watch.windw", "'window'"),
        ("rollout.stps", "'steps'"),
        ("train.min_row", "'min_rows'"),
        ("rollout.roll_back_if.eror_rate", "'error_rate'"),
        ("rollout.advance_if.error", "'errors'"),
    ],
)
def test_an_unknown_key_says_which_was_meant(path: str, hint: str) -> None:
    with pytest.raises(BadModelFile) as raised:
        read_model_file(changed(path, 1))
    assert path.rpartition(".")[2] in raised.value.message
    assert raised.value.advice == f"did you mean {hint}?"


def test_a_wholly_unknown_key_lists_the_known() -> None:
    with pytest.raises(BadModelFile) as raised:
        read_model_file(changed("train.qqq", 1))
    assert raised.value.advice == "known: auc_floor, floor, min_rows"


BAD_SHARES = ("5%", "= 5%", "5% >", "{} ", "{} 150%", "{} -1%", "{} nan", "{} x", "", 0.05)
BAD_TIMES = (
    "2x champion", "{} 2", "{} 2x", "{} x champion", "{} 2x the champion", "{} 1x champion",
    "{} 0.5x champion", "{} 1001x champion", "{} -2x champion", "{} 1e2x champion",
    "{} infx champion", "", 2,
)  # fmt: skip
NONE_OR_ALL = [
    ("roll_back_if.error_rate", "> {}"), ("roll_back_if.loss", "> {} of gain"),
    ("advance_if.error_rate", "< {}"),
]  # fmt: skip


def signed(sign: str, values: Sequence[Any]) -> list[Any]:
    """Bad values with the field's sign where they have one."""
    return [v.format(sign) if isinstance(v, str) else v for v in values]


GATE: list[tuple[str, str, list[Any]]] = [
    ("roll_back_if.error_rate", "> 5%", [*signed(">", BAD_SHARES), "< 5%"]),
    ("roll_back_if.latency_p99", "> 2x champion", [*signed(">", BAD_TIMES), "< 2x champion"]),
    (
        "roll_back_if.loss",
        "> 25% of gain",
        ["> 25%", "> 25% of loss", "25% of gain", "< 25% of gain", "> of gain", "> x of gain", ""],
    ),
    ("advance_if.error_rate", "< 1%", [*signed("<", BAD_SHARES), "> 1%"]),
    ("advance_if.errors", "< 2x champion", [*signed("<", BAD_TIMES), "> 2x champion"]),
]  # fmt: skip
"""What the gate is told in a file: the key, a good value, and bad ones."""


@pytest.mark.parametrize(
    ("path", "value", "field", "fix"),
    [
        ("model", "Bad_Name", "model", "flight-delay"),
        ("model", "", "model", "flight-delay"),
        ("model", "../etc", "model", "flight-delay"),
        ("model", "x" * 64, "model", "flight-delay"),
        ("model", 3, "model: '3'", "flight-delay"),
        ("features", {}, "features", "at least one view"),
        ("features", {"plan": {}}, "features", "at least one view"),
        ("features", None, "features", "a mapping is needed, here is null"),
        ("features.weather.distance", {"type": "number"}, "distance", "rename"),
        ("features.plan.distance.range", [1], "range", "2 values are needed"),
        ("features.plan.distance.range", ["a", "b"], "range[0]", "a number is needed, here is 'a'"),
        ("predicts.kind", "multiclas", "predicts.kind", "multiclass"),
        ("serve.deadline", "1 fortnight", "serve.deadline", "500ms"),
        ("serve.fallback", "previous", "serve.fallback", "a list is needed"),
        ("watch.window", "soon", "watch.window", "60s"),
        ("watch.window", 60, "watch.window: '60'", "60s"),
        ("watch.grace", "-5s", "watch.grace", "60s"),
        ("watch.recent", "", "watch.recent", "14d"),
        ("watch.drift_over", "1y", "watch.drift_over", "14d"),
        ("watch.latency", "fast", "watch.latency", "500ms"),
        ("watch.min_rows", "many", "watch.min_rows", "a whole number is needed"),
        ("watch.refused", "200%", "watch.refused", "between 0% and 100%"),
        ("watch.errors", "nan", "watch.errors", "between 0% and 100%"),
        ("watch.fallbacks", "200%", "watch.fallbacks", "between 0% and 100%"),
        ("watch.fallbacks", "some", "watch.fallbacks", "not a share"),
        ("watch.false_alarms", "1 a week", "watch.false_alarms", "1 per week"),
        ("watch.false_alarms", "0 per week", "watch.false_alarms", "1 per week"),
        ("watch", "close", "watch", "a mapping of window, grace"),
        ("rollout.soak", "a while", "rollout.soak", "3h"),
        ("rollout.steps", ["5%", "lots"], "rollout.steps[1]", "between 0% and 100%"),
        ("rollout.roll_back_if", "> 5%", "rollout.roll_back_if", "a mapping of error_rate"),
        ("rollout.advance_if", "< 1%", "rollout.advance_if", "a mapping of error_rate"),
        *[
            (f"rollout.{key}", value, f"rollout.{key}:", f"such as '{example}'")
            for key, example, values in GATE
            for value in values
        ],
        *[
            (f"rollout.{key}", form.format(share), f"rollout.{key}:", "between 0% and 100%")
            for key, form in NONE_OR_ALL
            for share in ("0%", "100%")
        ],
    ],
)
def test_a_bad_value_names_the_field_and_the_fix(
    path: str, value: Any, field: str, fix: str
) -> None:
    with pytest.raises(BadModelFile) as raised:
        read_model_file(changed(path, value))
    assert field in raised.value.message
    assert fix in f"{raised.value.message} {raised.value.advice}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "mapping"),
        ("42", "mapping"),
        ("- model: delay", "mapping"),
        ("model: [", "not YAML"),
        ("model: delay\n\tfeatures: 1", "not YAML"),
        ("\x00", "not YAML"),
        ("!!python/object/apply:os.system ['true']", "not YAML"),
        ("? [a]\n: 1", "a list or a mapping is no key"),
        ("model: delay", "features"),
        ("features: {plan: {x: {type: number}}}", "model"),
        (f"{LEAST}\n1: 2", "1: there is no such key"),
    ],
)
def test_what_is_no_model_file_says_so(text: str, said: str) -> None:
    with pytest.raises(BadModelFile, match="MOD-101") as raised:
        read_model_file(text)
    assert said in raised.value.message
    assert raised.value.advice


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
PATHS = [
    "model", "features", "features.plan", "features.plan.distance", "features.plan.distance.type",
    "features.plan.distance.range", "features.plan.carrier.known", "owner", "owner.team", "tier",
    "runbook", "predicts", "unit", "serve", "serve.deadline", "serve.fallback", "watch",
    "watch.window", "watch.min_rows", "watch.false_alarms", "watch.material", "watch.outcomes",
    "watch.respond", "rollout", "rollout.steps", "rollout.alpha", "rollout.roll_back_if",
    "rollout.roll_back_if.error_rate", "rollout.roll_back_if.latency_p99",
    "rollout.roll_back_if.loss", "rollout.advance_if", "rollout.advance_if.error_rate",
    "rollout.advance_if.errors", "train", "train.auc_floor",
]  # fmt: skip


@given(st.sampled_from(PATHS), ANYTHING)
def test_whatever_is_written_it_is_read_or_ours_to_explain(path: str, value: Any) -> None:
    try:
        found: ModelFile | BadModelFile = read_model_file(changed(path, value))
    except BadModelFile as error:
        found = error
    assert found.schema if isinstance(found, ModelFile) else found.message and found.advice


@pytest.mark.parametrize(
    ("key", "value", "field", "taken"),
    [
        ("roll_back_if.error_rate", ">10%", "max_error_rate", 0.1),
        ("roll_back_if.error_rate", "  >  0.5 % ", "max_error_rate", 0.005),
        ("roll_back_if.error_rate", "> 0.02", "max_error_rate", 0.02),
        ("roll_back_if.loss", "> 50% of gain", "loss_of_gain", 0.5),
        ("advance_if.error_rate", "< 2.5%", "advance_error_rate", 0.025),
        ("advance_if.errors", "< 1.5x champion", "max_ratio", 1.5),
        ("advance_if.errors", "<1000x champion", "max_ratio", 1_000.0),
        ("alpha", 0.01, "alpha", 0.01),
        ("soak", "2h", "soak_s", 7_200.0),
    ],
)
def test_the_gate_takes_what_the_file_says(key: str, value: Any, field: str, taken: float) -> None:
    least = yaml.safe_load(LEAST)
    by_default = gate_policy(read_model_file(LEAST))
    given: dict[str, Any] = {}
    for name in reversed(key.split(".")):
        given = {name: given or value}
    found = gate_policy(read_model_file(yaml.safe_dump({**least, "rollout": given})))
    assert getattr(found, field) == pytest.approx(taken)
    assert replace(found, **{field: getattr(by_default, field)}) == by_default


def test_the_gate_of_the_least_file_has_its_own_defaults() -> None:
    """What the file's keys say by default, and the gate's policy, are one."""
    file = read_model_file(LEAST)
    assert replace(gate_policy(file), soak_s=0.0, outcomes=True) == GatePolicy()
    assert slow_from(file.rollout) == 2.0


@pytest.mark.parametrize(("value", "times"), [("> 3x champion", 3.0), (">1.25x champion", 1.25)])
def test_what_is_slow_is_so_many_times_the_champions(value: str, times: float) -> None:
    file = read_model_file(changed("rollout.roll_back_if", {"latency_p99": value}))
    assert slow_from(file.rollout) == times


@given(st.text(max_size=60))
def test_any_text_is_read_or_ours_to_explain(text: str) -> None:
    with pytest.raises(BadModelFile):
        read_model_file(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("60s", 60.0), (" 3 h ", 10_800.0), ("14d", 1_209_600.0), ("1.5m", 90.0),
     ("2w", 1_209_600.0)],
)  # fmt: skip
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds
    assert parse_duration(as_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("text", "share"), [("5%", 0.05), ("0.05", 0.05), (" 100% ", 1.0), ("0", 0.0), ("2.5%", 0.025)]
)
def test_shares(text: str, share: float) -> None:
    assert parse_share(text) == pytest.approx(share)


@pytest.mark.parametrize(
    ("text", "budget"),
    [("1 per week", (1.0, 604_800.0)), ("0.5 per day", (0.5, 86_400.0)),
     ("2  per hour", (2.0, 3_600.0)), ("3 per month", (3.0, 2_592_000.0))],
)  # fmt: skip
def test_budgets(text: str, budget: tuple[float, float]) -> None:
    assert parse_budget(text) == budget


def test_the_published_schema_knows_every_field() -> None:
    schema = json_schema()
    told = schema["$defs"]["ModelFile"]["properties"]
    assert set(told) == {field.name for field in msgspec.structs.fields(ModelFile)}
    assert schema["$defs"]["ModelFile"]["additionalProperties"] is False


# What cannot work

BUG = "BUG usecases/read_model_file.py _check: "


def refused(path: str, value: Any, why: str) -> Any:
    """A value that could only fail later, or be ignored; ``why`` says what would happen."""
    return pytest.param(path, value, id=f"{path}={value}: {why}")


def accepted(path: str, value: Any, why: str) -> Any:
    """One that still is taken."""
    return pytest.param(path, value, id=f"{path}={value}: {why}")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        accepted("watch.window", "0s", "ZeroDivisionError in the recorder and in every judge"),
        accepted("watch.refused", "0%", "judge_rate raises in every window"),
        accepted("watch.errors", "100%", "judge_rate raises in every window"),
        refused("rollout.roll_back_if", {"error_rate": "> 0%"}, "judge_gate raises at every look"),
        refused("rollout.max_error_rate", "5%", "ignored: what takes a version back is another"),
        refused("rollout.max_loss_increase", 0.02, "ignored: what a loss may be is another"),
        accepted("rollout.alpha", 0, "judge_gate divides by zero at every look"),
        accepted("rollout.alpha", 2, "every canary is rolled back at once"),
        refused("rollout.steps", [], "IndexError in deploy_version"),
        refused("rollout.steps", ["50%", "5%"], "the share falls as the rollout advances"),
        refused(
            "rollout.steps", ["0%", "100%"], "no unit ever meets the challenger: HOLD for ever"
        ),
        refused("watch.outcomes", {"flor": 0.6}, "ignored: outcomes are never judged"),
        accepted("watch.outcomes", {"floor": "high"}, "float('high') raises at every look"),
        refused("watch.material", {"psi": 0.3}, "ignored"),
        refused("serve.fallback", ["prvious"], "ignored: there is no fallback"),
        refused("serve.fallback", [{"constnt": 0.2}], "ignored: there is no fallback"),
        refused("serve.fallback", [{"without": "wether"}], "falls back to *any* newest version"),
        refused("serve.fallback", [{"constant": "x"}], "float('x') raises when routing is made"),
        accepted("serve.fallback", [{"constant": 7}], "a probability of 7 is answered"),
        accepted("features.plan.distance.range", [5, 1], "every request is refused"),
        accepted("features.plan.distance.known", ["a"], "ignored on a number"),
        accepted("features.plan.carrier.range", [0, 1], "ignored on a category"),
        accepted("features.plan.output", {"type": "number"}, "collides with the sketch's own axis"),
        accepted("watch.min_rows", -5, "no window is ever too thin"),
        accepted("train.auc_floor", 3, "no candidate is ever accepted"),
        accepted("tier", "critcal", "ignored"),
    ],
)
def test_what_cannot_work_is_refused(path: str, value: Any) -> None:
    with pytest.raises(BadModelFile):
        read_model_file(changed(path, value))


def test_a_key_written_twice_is_refused() -> None:
    with pytest.raises(BadModelFile):
        read_model_file(LEAST + "\nwatch: {refused: 1%}\nwatch: {errors: 1%}")


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("features.plan.distance.type", "numbr", ["distance", "number"]),
        ("watch.respond", {"drift": "page"}, ["drift", "notify"]),
        ("watch.respond", {"drft": "notify"}, ["drft", "drift"]),
    ],
)
def test_a_wrong_word_names_the_right_ones(path: str, value: Any, words: list[str]) -> None:
    with pytest.raises(BadModelFile) as raised:
        read_model_file(changed(path, value))
    for word in words:
        assert word in str(raised.value)


@pytest.mark.parametrize(
    ("path", "value"), [("watch.window", "1.2.3s"), ("watch.false_alarms", "1.. per week")]
)
def test_a_broken_number_says_what_is_wanted(path: str, value: str) -> None:
    with pytest.raises(BadModelFile) as raised:
        read_model_file(changed(path, value))
    assert re.search(r"such as", raised.value.message)


@pytest.mark.parametrize("shape", [[99_999_999, 99_999_999], [1025, 1024], [-1, 2_000_000]])
def test_an_array_that_no_answer_can_hold_is_refused(shape: list[int]) -> None:
    """Its metadata alone would have taken all of a worker's memory."""
    body = yaml.safe_load(LEAST) | {"predicts": {"kind": "tensor", "outputs": {"map": shape}}}
    with pytest.raises(BadModelFile, match="MOD-101") as raised:
        read_model_file(yaml.safe_dump(body))
    assert "predicts.outputs.map" in raised.value.message
    body["predicts"]["outputs"]["map"] = [1024, 1024]
    read_model_file(yaml.safe_dump(body))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-01-31T12:00", 1_769_860_800.0),
        ("2026-01-31T12:00+01:00", 1_769_857_200.0),
        ("2026-01-31", 1_769_817_600.0),
    ],
)
def test_a_time_is_utc_where_it_names_no_zone(text: str, seconds: float) -> None:
    assert parse_moment(text) == seconds


@pytest.mark.parametrize("text", ["soon", "", "2026-13-01", "31.1.2026"])
def test_what_is_no_time_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        parse_moment(text)
