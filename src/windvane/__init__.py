"""Windvane: serve models to many tenants and keep them healthy."""

__version__ = "0.1.0"
