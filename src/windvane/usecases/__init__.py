"""Load facts, judge, record, act: one verb and noun a file."""
