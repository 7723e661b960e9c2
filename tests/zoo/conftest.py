"""The fixtures of registering, for a session of models."""

from __future__ import annotations

from usecases.registration import mlflow_registry, registration, sandboxes

__all__ = ["mlflow_registry", "registration", "sandboxes"]
