"""Reads the spools; writes sketches and the log; never judges."""
