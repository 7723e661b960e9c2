"""What an ONNX version's folder holds: the graph, and how rows become its inputs."""

from __future__ import annotations

from windvane.core.execution import INPUTS_FILE

GRAPH = "model.onnx"
INPUTS = INPUTS_FILE
