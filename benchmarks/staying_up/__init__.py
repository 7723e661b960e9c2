"""The parts of `make bench-staying-up`."""
