"""Answers predictions; never waits for the control plane."""
