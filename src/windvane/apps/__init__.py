"""The processes. Each has a wiring module, the only place that picks adapters."""
