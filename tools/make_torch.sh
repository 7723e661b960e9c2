#!/usr/bin/env bash
# Fill .torch/wheels with PyTorch and what it needs, for the zoo's models of it: `make test-all`
# registers them with an environment of their own, which is built from this folder without network.
#   tools/make_torch.sh
# A second run does nothing. Where it cannot be had, that is said and these tests skip.
#
# By pip, not uv, and without hashes: the index that pip is configured with decides whether its
# build is for a CPU or a GPU, so the wheel differs from machine to machine.
set -uo pipefail
cd "$(dirname "$0")/.."
wanted=torch==2.13.0
export PIP_DISABLE_PIP_VERSION_CHECK=1

[ "$(cat .torch/.stamp 2>/dev/null)" = "$wanted" ] && exit 0
echo "downloading $wanted for the zoo ..."
rm -rf .torch/wheels .torch/.stamp
mkdir -p .torch/wheels
if .venv/bin/python -m pip download --quiet --only-binary :all: --dest .torch/wheels "$wanted" \
  >.torch/download.log 2>&1; then
  echo "$wanted" >.torch/.stamp
else
  rm -rf .torch/wheels
  echo "NO PYTORCH: its models in tests/zoo will skip; pip's last words:" >&2
  grep -v '^WARNING' .torch/download.log | tail -n 5 >&2
fi
exit 0
