"""One technology a folder; no adapter imports another."""
