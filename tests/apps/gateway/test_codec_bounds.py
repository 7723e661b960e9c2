"""What is not as it says it is: a 4xx that names it, which costs no more than its bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from apps.gateway.forms import (
    ARROW,
    CSV,
    JSON,
    NUMBERS,
    ask_by_grpc,
    published,
)
from inference.harness import MODEL, Harness, run

from windvane.apps.gateway.protocols.open_inference_messages import ModelInferRequest
from windvane.core.signature import FeatureSpec
from windvane.core.signature import FeatureType as T
from windvane.core.task import Contract, TaskSpec
from windvane.ports.events import Predicted, Refused, column_values

# Bounds: all are a 4xx that names what is wrong, and none costs what it claims.

X = {"name": "a", "shape": [1], "datatype": "FP64", "data": [1.0]}


def changed(**more: Any) -> dict[str, Any]:
    return {"inputs": [{**X, **more}]}


MANY = {f"p{i}": i for i in range(65)}
WRONG: list[tuple[Any, str]] = [
    ({"inputs": []}, "no inputs"),
    ({"inputs": [X, X]}, "'a' is there twice"),
    (changed(shape=[-1]), "'a': shape [-1] is negative"),
    (changed(shape=[1, -1]), "negative"),
    (changed(shape=[]), "'a': 0 dimensions"),
    (changed(shape=[1, 1, 1]), "'a': 3 dimensions"),
    (changed(shape=[2**62, 2**62]), "'a': 4,611,686,018,427,387,904 rows"),
    (changed(shape=[1, 2**62]), "'a': 4,611,686,018,427,387,904 numbers a row"),
    (changed(shape=[1e300]), "shape"),
    (changed(shape=["1"]), "shape"),
    (changed(shape=[2]), "'a': data has 1 elements, the shape 2"),
    (changed(shape=[0], data=[]), "no rows"),
    (changed(datatype="FP128"), "'a': datatype 'FP128' is none of BOOL"),
    (changed(data="AAAA"), "'a': data must be a list"),
    (changed(data=[[[1.0]]]), "'a': element 0"),
    (changed(data=["far"]), "'a': element 0 of data is no FP64"),
    (changed(data=[True]), "'a': element 0 of data is no FP64"),
    (changed(datatype="INT8", data=[128]), "'a': element 0 of data is outside of INT8"),
    (changed(datatype="FP32", data=[10**400]), "a"),
    (changed(data=None), "'a': it has neither data"),
    (changed(parameters={"binary_data_size": 8}), "'a': it has both data"),
    (changed(data=None, parameters={"binary_data_size": 8}), "'a': binary_data_size is 8, 0"),
    (changed(data=None, parameters={"binary_data_size": -8}), "'a': binary_data_size is -8"),
    (changed(data=None, parameters={"binary_data_size": True}), "binary_data_size is True"),
    (changed(parameters={"shared_memory_region": "x"}), "'a': there is no shared memory"),
    (changed(parameters={"nulls": [1]}), "'a': nulls must list rows"),
    (changed(parameters={"nulls": "all"}), "'a': nulls must list rows"),
    (changed(parameters={"nulls": [0, 0]}), "'a': nulls must list rows"),
    (changed(shape=[2, 1], data=[[1.0]]), "'a': data has 1 rows, the shape 2"),
    (changed(shape=[2, 1], data=[[1.0], 2.0]), "'a': data is nested in some places only"),
    ({"inputs": [X, {**X, "name": "b", "shape": [2], "data": [1, 2]}]}, "'b': 2 rows, 'a' has 1"),
    ({"inputs": [{**X, "name": f"t{i}"} for i in range(100)]}, "100 columns for 3 features"),
    ({"inputs": [X], "outputs": [{"name": "v"}]}, "no output 'v'"),
    ({"inputs": [X], "parameters": MANY}, "the request has 65 parameters, 64 may be"),
    (changed(parameters=MANY), "tensor 'a' has 65 parameters"),
    (
        {"inputs": [X], "outputs": [{"name": "value", "parameters": MANY}]},
        "output 'value' has 65 parameters",
    ),
    ({"inputs": [X], "outputs": [{"name": "value"}] * 2}, "'value' is there twice"),
    (
        {"inputs": [X], "outputs": [{"name": "value", "parameters": {"classification": 3}}]},
        "'value': the parameter 'classification'",
    ),
    ({"inputs": [X], "parameters": {"sequence_id": 3}}, "'sequence_id'"),
    ({"inputs": [X], "parameters": {"unit": 3}}, "unit"),
    ({}, "inputs"),
]


@pytest.mark.parametrize(("body", "said"), WRONG)
def test_tensors_that_are_not_what_they_say_are_refused(body: Any, said: str) -> None:
    async def story(harness: Harness) -> None:
        await published(harness, Contract(NUMBERS.features, TaskSpec("regression")))
        answer = await harness.call("POST", f"/v2/models/{MODEL}/infer", json.dumps(body).encode())
        assert 400 <= answer.status < 500
        assert said in answer.json["error"]
        assert not [e for e in harness.spool.events if isinstance(e, Predicted)]

    run(story)


TEXTS = Contract((FeatureSpec("t", "s", T.TEXT),), TaskSpec("regression"))


@pytest.mark.parametrize(
    ("tail", "size", "said"),
    [
        (b"", 0, "element 0 of 1 begins behind the end"),
        (b"\x01\0\0", 3, "begins behind the end"),
        (b"\xff\xff\xff\xff", 4, "element 0 has 4,294,967,295 bytes, 0 are there"),
        (b"\x02\0\0\0a", 5, "has 2 bytes, 1 are there"),
        (b"\x01\0\0\0ab", 6, "1 bytes behind its 1 elements"),
        (b"\x01\0\0\0\xff", 5, "element 0 is not UTF-8"),
        (b"\x01\0\0\0ab", 5, "1 bytes behind the last tensor"),
        (b"\x01\0\0\0a", 10**12, "binary_data_size is 1,000,000,000,000, 5 bytes are there"),
    ],
)
def test_byte_strings_that_do_not_fit_are_refused(tail: bytes, size: int, said: str) -> None:
    said_of: dict[str, Any] = {"binary_data_size": size}
    tensor = {"name": "t", "shape": [1], "datatype": "BYTES", "parameters": said_of}
    head = json.dumps({"inputs": [tensor]}).encode()

    async def story(harness: Harness) -> None:
        await published(harness, TEXTS)
        headers = {"inference-header-content-length": str(len(head))}
        path = f"/v2/models/{MODEL}/infer"
        answer = await harness.call("POST", path, head + tail, headers=headers)
        assert answer.status == 400
        assert said in answer.json["error"]
        for length in ("-1", "9" * 30, "x", str(len(head) + len(tail) + 1), "3"):
            headers["inference-header-content-length"] = length
            wrong = await harness.call("POST", path, head + tail, headers=headers)
            assert wrong.status == 400, length

    run(story)


@pytest.mark.parametrize(
    ("path", "kind", "taken"),
    [
        (f"/v1/models/{MODEL}/predict", "application/xml", ("application/json", "text/csv", ARROW)),
        (f"/v1/models/{MODEL}/predict", "text/csv; charset=latin-1", ("latin-1", "UTF-8")),
        (f"/v2/models/{MODEL}/infer", "text/csv", (JSON,)),
        (f"/models/{MODEL}/invocations", "application/xml", ("text/csv", "jsonlines")),
    ],
)
def test_another_content_type_is_415_and_says_what_is_taken(
    path: str, kind: str, taken: tuple[str, ...]
) -> None:
    async def story(harness: Harness) -> None:
        await published(harness, NUMBERS)
        answer = await harness.call("POST", path, b"x", headers={"content-type": kind})
        assert answer.status == 415
        assert all(word in answer.body.decode() for word in taken)
        (event,) = harness.spool.events  # or its tenant could send nothing else unseen
        assert isinstance(event, Refused)
        assert (event.code, event.tenant) == ("GAT-119", "acme")

    run(story)


@pytest.mark.parametrize("kind", ["", "text/plain; charset=utf-8", "application/octet-stream"])
def test_what_tools_say_of_a_body_by_themselves_is_json(kind: str) -> None:
    async def story(harness: Harness) -> None:
        await published(harness, NUMBERS)
        body = b'{"instances": [{"features": {"a": 1, "b": 2, "c": 3}}]}'
        path = f"/v1/models/{MODEL}/predict"
        answer = await harness.call("POST", path, body, headers={"content-type": kind})
        assert answer.status == 200, answer.body

    run(story)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "no line of names"),
        (b"a,b,c", "no rows"),
        (b"a,b,c\n1,2", "row 0 has 2 cells for 3 columns"),
        (b"a,a,c\n1,2,3", "column 'a' is there twice"),
        (b'a,b,c\n"1,2,3', "not CSV"),
        (b"a,b,c\n\xff,2,3", "not UTF-8"),
        (b"a,b,c\n" + b"1,2,3\n" * 101, "rows, 100 allowed"),
        (b"a,b,c\n" + b"\n" * 1_100 + b"1,2,3", "over 1,000 empty lines"),
        (b'"a",b,c\n' + b"\n" * 1_100 + b"1,2,3", "over 1,000 empty lines"),
        (b"," * 60_000, "60,001 columns for 3 features"),
    ],
)
def test_tables_of_text_that_cannot_be_read_are_refused(body: bytes, said: str) -> None:
    async def story(harness: Harness) -> None:
        await published(harness, NUMBERS)
        path = f"/v1/models/{MODEL}/predict"
        answer = await harness.call("POST", path, body, headers={"content-type": CSV})
        assert answer.status in (400, 413)
        assert said in answer.body.decode()

    run(story)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ([], "must be an object"),
        ({}, "none of them is there"),
        ({"inputs": {}, "instances": []}, "instances and inputs is there"),
        ({"input": []}, "unknown field 'input'"),
        ({"inputs": [[1, 2, 3]], "params": {"top": 1}}, "params are not taken"),
        ({"inputs": {"a": [1], "b": [1, 2]}}, "inputs.b has 2 values for 1 rows"),
        ({"inputs": {"a": 1}}, "inputs.a must be a list"),
        ({"inputs": {}}, "no rows"),
        ({"inputs": {str(i): [1] for i in range(99)}}, "99 columns for 3 features"),
        ({"instances": [[1, 2, 3], [1]]}, "instances[1] must be a list of 3 values"),
        ({"instances": [{"a": 1}, 3]}, "instances[1] must be an object"),
        ({"instances": 3}, "must be a list or an object"),
        ({"dataframe_records": {}}, "must be a list"),
        ({"dataframe_split": []}, "must be an object with columns and data"),
        ({"dataframe_split": {"columns": ["a", "a"], "data": [[1, 2]]}}, "'a' is there twice"),
        ({"dataframe_split": {"columns": [1], "data": [[1]]}}, "must be a list of names"),
        ({"dataframe_split": {"column": ["a"], "data": [[1]]}}, "unknown field 'column'"),
        ({"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}}, "a list of 1 values"),
    ],
)
def test_payloads_of_mlflow_that_are_not_as_documented_are_refused(body: Any, said: str) -> None:
    async def story(harness: Harness) -> None:
        await published(harness, NUMBERS)
        answer = await harness.call(
            "POST", f"/models/{MODEL}/invocations", json.dumps(body).encode()
        )
        assert answer.status == 400, answer.body
        assert answer.json["error_code"] == "BAD_REQUEST"
        assert said in answer.json["message"]

    run(story)


LINES = {"content-type": "application/jsonlines"}


@pytest.mark.parametrize(
    ("lines", "units"),
    [
        ([{"features": [1, 2, 3], "unit": "u"}], ["u"]),
        ([{"features": [1, 2, 3]}, {"features": [1, 2, 3], "unit": "v"}], ["", "v"]),
        ([[1, 2, 3], {"features": [1, 2, 3], "unit": "v"}], ["", "v"]),
        ([{"features": {"a": 1, "b": 2, "c": 3}, "unit": "u"}], ["u"]),
        ([{"a": 1, "b": 2, "c": 3, "unit": "u"}, {"a": 1, "b": 2, "c": 3}], ["u", ""]),
        ([{"features": {"a": 1, "b": 2, "c": 3}, "unit": None}], [""]),
    ],
)
def test_a_line_of_json_keeps_its_unit(lines: list[Any], units: list[str]) -> None:
    async def story(harness: Harness) -> None:
        await published(harness, NUMBERS)
        path = f"/models/{MODEL}/invocations"
        body = "\n".join(json.dumps(line) for line in lines).encode()
        answer = await harness.call("POST", path, body, headers=LINES)
        assert answer.status == 200, answer.body
        (event,) = harness.spool.events
        assert isinstance(event, Predicted)
        assert list(column_values(event.units, event.rows)) == units

    run(story)


def test_a_unit_beside_a_feature_of_that_name_is_none() -> None:
    async def story(harness: Harness) -> None:
        contract = Contract((FeatureSpec("unit", "v", T.CATEGORY),), TaskSpec("regression"))
        await published(harness, contract)
        path = f"/models/{MODEL}/invocations"
        body = b'{"features": {"unit": "cm"}, "unit": "u"}'
        answer = await harness.call("POST", path, body, headers=LINES)
        assert answer.status == 200, answer.body
        (event,) = harness.spool.events
        assert isinstance(event, Predicted)
        assert (event.features, event.units) == (["cm"], "u")

    run(story)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"features": [1, 2, 3], "id": 4}, "line 0 has an unknown field 'id'"),
        ({"features": {"a": 1}, "units": "u"}, "did you mean 'unit'?"),
        ({"features": [1, 2, 3], "unit": 7}, "unit of row 0 must be a string"),
        ({"features": {"a": 1, "unit": "u"}}, "a unit in `features` too"),
        ({"features": 1.0}, "line 0 must be an object or a list"),
    ],
)
def test_a_line_of_json_that_says_more_than_is_known_is_refused(line: Any, said: str) -> None:
    async def story(harness: Harness) -> None:
        await published(harness, NUMBERS)
        path = f"/models/{MODEL}/invocations"
        answer = await harness.call("POST", path, json.dumps(line).encode(), headers=LINES)
        assert answer.status == 400, answer.body
        assert said in answer.body.decode()

    run(story)


def test_nan_of_mlflows_own_client_is_null() -> None:
    async def story(harness: Harness) -> None:
        await published(harness, NUMBERS)
        path = f"/models/{MODEL}/invocations"
        fine = await harness.call("POST", path, b'{"instances": [{"a":1,"b":NaN,"c":2}]}')
        assert fine.status == 200
        wrong = await harness.call("POST", path, b'{"instances": [{"a":1,"b":Infinity,"c":2}]}')
        assert (wrong.status, wrong.json["error"]["problems"][0]["field"]) == (422, "b")

    run(story)


def tensor_message(**parameters: Any) -> Any:
    message = ModelInferRequest(model_name=MODEL)
    tensor = message.inputs.add(name="a", datatype="FP64", shape=[2])
    tensor.contents.fp64_contents.extend([1.0, 2.0])
    for name, value in parameters.items():
        setattr(
            tensor.parameters[name], {str: "string", int: "int64", bool: "bool",
            float: "double"}[type(value)] + "_param", value,
        )  # fmt: skip
    return message


NULLABLE = Contract((FeatureSpec("a", "v", T.NUMBER, nullable=True),), TaskSpec("regression"))


@pytest.mark.parametrize("whose", ["request", "tensor", "output"])
def test_parameters_by_grpc_are_as_many_as_anybody_uses(whose: str) -> None:
    async def story(harness: Harness) -> None:
        await published(harness, NULLABLE)
        for count in (64, 65):
            message = tensor_message()
            holder = {
                "request": message, "tensor": message.inputs[0],
                "output": message.outputs.add(name="value") if whose == "output" else None,
            }[whose]  # fmt: skip
            for i in range(count):
                holder.parameters[f"p{i}"].int64_param = i
            answer = await ask_by_grpc(harness, message.SerializeToString(), {})
            if count == 64:
                assert answer.status == 200, answer.body
            else:
                assert (answer.status, "CON-100" in answer.json["error"]) == (400, True)
                assert "has 65 parameters, 64 may be" in answer.json["error"]

    run(story)


@pytest.mark.parametrize("nulls", ["0", "1,0", "0, 1", "", 1])
def test_rows_that_are_null_are_listed_by_grpc(nulls: Any) -> None:
    async def story(harness: Harness) -> None:
        await published(harness, NULLABLE)
        message = tensor_message(nulls=nulls).SerializeToString()
        assert (await ask_by_grpc(harness, message, {})).status == 200
        (event,) = harness.spool.events
        assert isinstance(event, Predicted)
        null = [i for i, v in enumerate(column_values(event.features[0], 2)) if v is None]
        assert null == sorted(int(row) for row in str(nulls).split(",") if row)

    run(story)


@pytest.mark.parametrize(
    "nulls", ["0_0", "+1", "-1", "٠", "0x0", "0,", ",", "2", "0.0", 0.0, True, 7, "0," * 99 + "0"]
)
def test_what_is_no_list_of_rows_is_refused_by_grpc(nulls: Any) -> None:
    async def story(harness: Harness) -> None:
        await published(harness, NULLABLE)
        answer = await ask_by_grpc(harness, tensor_message(nulls=nulls).SerializeToString(), {})
        assert answer.status == 400, answer.body
        assert "nulls must list rows" in answer.json["error"]

    run(story)
