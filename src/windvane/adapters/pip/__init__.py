"""Environments of packages in folders, installed by pip from wheels."""

from windvane.adapters.pip.environments import PipEnvironments
from windvane.adapters.pip.install import BuildLimits

__all__ = ["BuildLimits", "PipEnvironments"]
