#!/usr/bin/env bash
# Installs what some scenarios need besides the programs: libfaketime for jumps of the clock, `ip`
# and `nft` for cut networks. If that fails, it lists the skipped scenarios before they start.

set -euo pipefail

missing=()
need() { # PACKAGE COMMAND... that is true where it is there
    local package=$1
    shift
    "$@" >/dev/null 2>&1 || missing+=("$package")
}
faketime() { compgen -G '/usr/lib*/faketime/libfaketime.so.1' || compgen -G '/usr/lib/*/faketime/libfaketime.so.1'; }

need libfaketime faketime
need iproute2 command -v ip
need nftables command -v nft
((${#missing[@]} > 0)) || exit 0
if ((EUID == 0)) && command -v apt-get >/dev/null; then
    echo "installing ${missing[*]}" >&2
    { apt-get update -qq &&
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >&2 && exit 0
fi
echo "note: ${missing[*]} are missing; scenarios of clocks (libfaketime) or networks are skipped" >&2
