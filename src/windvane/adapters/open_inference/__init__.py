"""Models that another server runs, asked by the Open Inference Protocol v2 over HTTP."""

from windvane.adapters.open_inference.describe import describe_remote, is_remote, read_remote
from windvane.adapters.open_inference.runtime import OpenInferenceRuntime

__all__ = ["OpenInferenceRuntime", "describe_remote", "is_remote", "read_remote"]
