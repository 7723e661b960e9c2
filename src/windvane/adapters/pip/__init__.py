"""Environments of packages in folders, installed by pip from wheels."""

from windvane.adapters.pip.environments import BuildLimits, PipEnvironments

__all__ = ["BuildLimits", "PipEnvironments"]
