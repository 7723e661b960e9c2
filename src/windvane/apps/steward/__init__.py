"""Judges what was seen, decides and acts: stewards share the models by shards, a lease each."""
