"""The way of a prediction, without a transport: authenticate, limit, admit, decode, route,
validate, cache, batch, execute, fall back, record, encode. Every transport goes through it."""
