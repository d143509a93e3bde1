#!/usr/bin/env bash
# Debian packages of the system tests: a headless browser. Does nothing where they are installed.
set -euo pipefail
command -v chromium >/dev/null && exit 0
if [ "$(id -u)" != 0 ]; then
  echo "make test-system installs Debian's chromium and needs root for that" >&2
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null
