"""A model as MLflow keeps it, its code as a file: which way up a picture of a line of text is.

rapidocr's classifier of text lines (PP-OCR), on pixels that pillow decodes.
"""

from __future__ import annotations

import io
import math
from typing import Any

import mlflow.models
import mlflow.pyfunc
import numpy as np
import onnxruntime
from PIL import Image

HEIGHT, WIDTH = 48, 192


def pixels(encoded: bytes) -> Any:
    """(3, 48, 192) float32 from -1 to 1, blue first, as the graph was trained on; a shorter line
    has zeros at its right."""
    with Image.open(io.BytesIO(encoded)) as opened:
        picture = opened.convert("RGB")
    width = min(WIDTH, math.ceil(HEIGHT * picture.width / picture.height))
    shown = picture.resize((width, HEIGHT), Image.Resampling.BILINEAR)
    blue_first = np.asarray(shown, np.float32)[:, :, ::-1].transpose(2, 0, 1)
    out = np.zeros((3, HEIGHT, WIDTH), np.float32)
    out[:, :, :width] = blue_first / 127.5 - 1.0
    return out


class LineDirection(mlflow.pyfunc.PythonModel):
    """The probability that a line is upside down."""

    def load_context(self, context: Any) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.graph = onnxruntime.InferenceSession(context.artifacts["graph"], options)

    def predict(self, context, model_input, params=None):  # MLflow would enforce type hints
        given = np.stack([pixels(one) for one in model_input["line"]])
        return self.graph.run(None, {"x": given})[0][:, 1]


mlflow.models.set_model(LineDirection())
