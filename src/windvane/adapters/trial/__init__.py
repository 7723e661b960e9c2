"""Versions tried in processes of the gateway's own code."""

from windvane.adapters.trial.process import TrialProcess

__all__ = ["TrialProcess"]
