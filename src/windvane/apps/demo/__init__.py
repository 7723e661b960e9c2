"""The loop on real data: a year of flights from New York, and three faults."""
