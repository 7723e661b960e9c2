"""Merges windows, judges, decides, acts through the outbox; one leader by lease."""
