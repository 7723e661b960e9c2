#!/usr/bin/env bash
# A browser for the browser journeys: the one that is there, Debian's, or Playwright's own.
# Where neither is to be had the journeys skip, loudly.
set -u
command -v chromium >/dev/null && exit 0
command -v chromium-browser >/dev/null && exit 0
run=()
[ "$(id -u)" = 0 ] || run=(sudo -n)
if command -v apt-get >/dev/null; then
  echo "installing chromium for the browser journeys ..."
  "${run[@]}" apt-get update -qq && "${run[@]}" apt-get install -y -qq chromium >/dev/null && exit 0
fi
.venv/bin/playwright install chromium && exit 0
echo "NO BROWSER: neither Debian's chromium nor Playwright's could be installed; browser journeys will skip" >&2
exit 0
