"""Runs one version whose files may run code, in a process of its own."""
