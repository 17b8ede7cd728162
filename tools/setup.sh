#!/usr/bin/env bash
# Sets up the virtual environment that `make run` and `make test` need; in well under a second when it is there.
#
#   tools/setup.sh run     what the gateway needs
#   tools/setup.sh test    that, the test tools, and the servers that tests start (Redis, PostgreSQL)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
kind=${1:?run or test}
venv=${VENV:-.venv}
python=${PYTHON:-python3}
lock=requirements/$kind.lock

say() { printf '\033[1m▸ %s\033[0m\n' "$*"; }
fail() { printf '\033[1;31merror:\033[0m %s\n' "$*" >&2; exit 1; }

stamp="$venv/.bailiwick-$kind"
wanted=$(cat "$lock" pyproject.toml sdk/pyproject.toml tools/llama_build/* tools/setup.sh | sha256sum | cut -d' ' -f1)

check_machine() {
  command -v "$python" >/dev/null || fail "$python is missing. Debian: apt-get install python3 python3-venv"
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$python is $("$python" -V 2>&1); Python 3.11 or later is needed. Name one with PYTHON=…"
  "$python" -c 'import venv, ensurepip' 2>/dev/null || fail "Python's venv module is missing. Debian: apt-get install python3-venv"
  command -v c++ >/dev/null || command -v g++ >/dev/null ||
    fail "a C++ compiler is missing; llama.cpp is compiled once. Debian: apt-get install g++"
  "$python" - <<'PY' || fail "Python's headers are missing. Debian: apt-get install python3-dev"
import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")))
PY
}

install_packages() {
  local log=$venv/install.log started=$SECONDS
  # The compile is the long part: pip is quiet about it, so the elapsed time is shown instead.
  (
    . tools/llama_build/flags.sh
    "$venv/bin/python" -m pip install --disable-pip-version-check --progress-bar off --require-hashes -r "$lock"
  ) >"$log" 2>&1 &
  local pid=$!
  trap 'kill $pid 2>/dev/null || true' EXIT
  local last=""
  while kill -0 "$pid" 2>/dev/null; do
    sleep 1
    local now
    now=$(grep -oE '^(Collecting [A-Za-z0-9_.-]+|  Building wheel for [A-Za-z0-9_.-]+|Installing collected packages)' "$log" | tail -n 1 || true)
    if [ "$now" != "$last" ] || [ $(((SECONDS - started) % 20)) = 0 ]; then
      printf '  %3ds  %s\n' $((SECONDS - started)) "${now:-starting}"
      last=$now
    fi
  done
  trap - EXIT
  wait "$pid" || { tail -n 25 "$log" >&2; fail "installing $lock failed; the whole log is in $log"; }
}

# Debian's packages for the servers that tests start themselves. Without root or apt the tests say what they skip.
install_servers() {
  local missing=()
  command -v redis-server >/dev/null || missing+=(redis-server)
  command -v initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || missing+=(postgresql)
  [ ${#missing[@]} = 0 ] && return 0
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "Installing Debian packages: ${missing[*]}"
    # A server that starts by itself would only hold a port: policy-rc.d forbids it while we install.
    local policy=/usr/sbin/policy-rc.d made=
    [ -e $policy ] || { printf '#!/bin/sh\nexit 101\n' >$policy && chmod +x $policy && made=1; }
    (apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}") \
      >"$venv/apt.log" 2>&1 || say "could not install ${missing[*]} (see $venv/apt.log); the tests that need them will say so"
    [ -z "$made" ] || rm -f $policy
  else
    say "not root: ${missing[*]} are not installed; the tests that need them will say so"
  fi
}

[ "$kind" = test ] && [ -x "$venv/bin/python" ] && [ -f "$stamp" ] && install_servers
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
  exit 0
fi
check_machine
[ -x "$venv/bin/python" ] || { say "Making a virtual environment in $venv"; "$python" -m venv "$venv"; }
say "Installing the packages of $lock (the first time llama.cpp is compiled: about 4 minutes on 2 cores)"
install_packages
say "Installing Bailiwick itself"
"$venv/bin/python" -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation -e . -e sdk
[ "$kind" = test ] && install_servers
echo "$wanted" >"$stamp"
say "Ready"
