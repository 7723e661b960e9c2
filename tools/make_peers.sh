#!/usr/bin/env bash
# Make the environments of the peers that benchmarks measure, each from its own lock:
#   tools/make_peers.sh [NAME ...]          all of them by default
#   tools/make_peers.sh --of serving        those of `make bench-serving`; `--of watching` likewise
#   tools/make_peers.sh --lock [NAME ...]   renew the locks, all by default (needs uv)
# A stamp newer than its lock says that a peer is installed; a second run does nothing. A peer
# that cannot be installed is named, and the benchmark reports it as missing. `data` are tables in
# wheels, without what those depend on.
set -uo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
export PIP_DISABLE_PIP_VERSION_CHECK=1

names_of() { # FOLDER ... -> names of the peers in them
  local folder
  for folder in "$@"; do
    (cd "$folder/peers" && printf '%s\n' */ | tr -d /)
  done
}

folder_of() { # NAME -> its folder, or an error
  local found
  found=$(printf '%s\n' benchmarks/*/peers/"$1"/requirements.in)
  if [ ! -f "$found" ]; then
    echo "there is no peer '$1': benchmarks/*/peers/$1/requirements.in is missing" >&2
    return 1
  fi
  dirname "$found"
}

everyone() {
  names_of $(printf '%s\n' benchmarks/*/peers | xargs -n 1 dirname)
}

if [ "${1:-}" = --lock ]; then
  shift
  set -e
  names=("$@")
  [ $# -gt 0 ] || mapfile -t names < <(everyone)
  for name in "${names[@]}"; do
    folder=$(folder_of "$name")
    alone=()
    [ "$name" = data ] && alone=(--no-deps)
    uv pip compile "$folder/requirements.in" "${alone[@]}" --universal --python-version 3.11 \
      --generate-hashes --no-emit-index-url --no-annotate --no-header --quiet --upgrade \
      -o "$folder/requirements.txt"
  done
  exit
fi

install() { # NAME LOCK
  "$python" -m venv --clear ".bench/$1" &&
    ".bench/$1/bin/pip" install --quiet --no-deps --require-hashes -r "$2" &&
    touch ".bench/$1/.stamp"
}

case ${1:-} in
  --of) mapfile -t names < <(names_of "benchmarks/${2:?--of serving or --of watching}") ;;
  '') mapfile -t names < <(everyone) ;;
  *) names=("$@") ;;
esac
failed=()
for name in "${names[@]}"; do
  folder=$(folder_of "$name") || exit 2
  lock=$folder/requirements.txt
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
