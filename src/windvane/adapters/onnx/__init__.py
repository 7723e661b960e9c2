"""Conversion to ONNX and execution by ONNX Runtime."""

from windvane.adapters.onnx.runtime import OnnxRuntime

__all__ = ["OnnxRuntime"]
