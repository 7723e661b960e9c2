#!/usr/bin/env bash
# Make the environments of the peers that `make bench-serving` measures, each from its own lock:
#   tools/make_peers.sh [NAME ...]     all of them by default
#   tools/make_peers.sh --lock         renew the locks (needs uv)
# A stamp newer than its lock says that a peer is installed; a second run does nothing. A peer
# that cannot be installed is named, and the benchmark reports it as missing.
set -uo pipefail
cd "$(dirname "$0")/.."
peers=benchmarks/serving/peers
python=${PYTHON:-python3}
export PIP_DISABLE_PIP_VERSION_CHECK=1

if [ "${1:-}" = --lock ]; then
  set -e
  for folder in "$peers"/*/; do
    uv pip compile "$folder/requirements.in" --universal --python-version 3.11 --generate-hashes \
      --no-emit-index-url --no-annotate --no-header --quiet --upgrade -o "$folder/requirements.txt"
  done
  exit
fi

install() { # NAME LOCK
  "$python" -m venv --clear ".bench/$1" &&
    ".bench/$1/bin/pip" install --quiet --no-deps --require-hashes -r "$2" &&
    touch ".bench/$1/.stamp"
}

names=("$@")
[ $# -gt 0 ] || mapfile -t names < <(cd "$peers" && printf '%s\n' */ | tr -d /)
failed=()
for name in "${names[@]}"; do
  lock=$peers/$name/requirements.txt
  if [ ! -f "$lock" ]; then
    echo "there is no peer '$name': $lock is missing" >&2
    exit 2
  fi
  [ ".bench/$name/.stamp" -nt "$lock" ] && continue
  echo "installing the peer $name ..."
  mkdir -p .bench
  if ! install "$name" "$lock" >".bench/$name.log" 2>&1; then
    rm -f ".bench/$name/.stamp"
    failed+=("$name")
    echo "NOT INSTALLED: $name; its last words (all of them in .bench/$name.log):" >&2
    grep -v '^WARNING' ".bench/$name.log" | tail -n 5 >&2
  fi
done
if [ ${#failed[@]} -gt 0 ]; then
  echo "the benchmark will report as missing: ${failed[*]}" >&2
fi
exit 0
