"""A server of S3's API for the tests, in a process of its own; the port is its first line."""

from __future__ import annotations

import sys

from moto.server import ThreadedMotoServer


def main() -> None:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    print(port, flush=True)
    sys.stdin.read()  # until whoever started it is gone
    server.stop()


if __name__ == "__main__":
    main()
