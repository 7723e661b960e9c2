"""The parts of `make bench-serving`."""
