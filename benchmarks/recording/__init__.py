"""The parts of `make bench-recorder`."""
