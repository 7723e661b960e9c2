#!/usr/bin/env bash
# A browser for the browser journeys: the one that is there, Debian's, or Playwright's own.
# Where neither is to be had the journeys skip, loudly; it is an error where another program held
# the package system's lock for longer than LOCK_WAIT_S, for then a later try may do.
set -u
command -v chromium >/dev/null && exit 0
command -v chromium-browser >/dev/null && exit 0
run=()
[ "$(id -u)" = 0 ] || run=(sudo -n)
locked=0

install() { # its rc; sets locked where another program is at it
  local said
  said=$("${run[@]}" apt-get update -qq 2>&1 &&
    "${run[@]}" apt-get install -y -qq chromium 2>&1) && return 0
  locked=0
  case $said in *"Could not get lock"* | *"Unable to acquire"* | *"Unable to lock"*) locked=1 ;; esac
  echo "$said" | tail -n 3 >&2
  return 1
}

if command -v apt-get >/dev/null; then
  echo "installing chromium for the browser journeys ..."
  until install; do
    [ "$locked" = 1 ] && [ "$SECONDS" -lt "${LOCK_WAIT_S:-180}" ] || break
    sleep "${LOCK_RETRY_S:-5}"
  done
  command -v chromium >/dev/null && exit 0
fi
.venv/bin/playwright install chromium && exit 0
if [ "$locked" = 1 ]; then
  echo "NO BROWSER: another program holds the package system's lock; run this again later" >&2
  exit 1
fi
echo "NO BROWSER: neither Debian's chromium nor Playwright's could be installed; browser journeys will skip" >&2
exit 0
