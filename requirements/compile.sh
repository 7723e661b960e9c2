#!/usr/bin/env bash
# Renew the locks. Needs uv. Locks carry hashes and never a download address.
set -euo pipefail
cd "$(dirname "$0")/.."
flags=(--universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --quiet "$@")
uv pip compile pyproject.toml --extra build --extra demo "${flags[@]}" -o requirements/demo.txt
uv pip compile pyproject.toml --extra build --extra demo --extra dev -c requirements/demo.txt "${flags[@]}" -o requirements/dev.txt
