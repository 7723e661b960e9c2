"""The ways in which clients speak to a gateway over HTTP: one file a protocol, one line in
``PROTOCOLS`` of `apps/gateway/http_app.py`."""
