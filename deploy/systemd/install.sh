#!/usr/bin/env bash
#
# Installs programs, units and their settings for systemd. It starts nothing and keeps existing
# settings.
#
# usage: sudo deploy/systemd/install.sh [--libtorch DIR]
#
#   --libtorch DIR   the worker's libtorch
#                    [default: .libtorch/cuda if it exists, else .libtorch/cpu]
#
# environment:
#   SWFN_BIN   folder of the programs [default: target/release]

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$here/../..
libtorch=$root/.libtorch/cpu
bin=${SWFN_BIN:-$root/target/release}
if [[ -d $root/.libtorch/cuda ]]; then
    libtorch=$root/.libtorch/cuda
fi
if [[ ${1:-} == --libtorch && -n ${2:-} ]]; then
    libtorch=$2
elif (($# > 0)); then
    sed -n '3,/^$/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
    exit 2
fi
if [[ ! -x $bin/swfn-worker || ! -e $libtorch/lib/libtorch_cpu.so ]]; then
    printf 'error: the programs are missing\nhint: run `make build`, or `make build CUDA=1`\n' >&2
    exit 1
fi

install -d /opt/swfn/bin /opt/swfn/lib /etc/swfn
# The files are new, since running ones cannot be overwritten. libtorch comes first, since the
# worker needs it.
cp --recursive --no-dereference --remove-destination "$libtorch"/lib/. /opt/swfn/lib/
chmod --recursive u=rwX,go=rX /opt/swfn/lib
for program in swfn-coordinator swfn-worker; do
    install --mode=755 "$bin/$program" "/opt/swfn/bin/$program.new"
    mv "/opt/swfn/bin/$program.new" "/opt/swfn/bin/$program"
done
install -D --mode=644 "$here/swfn.sysusers" /usr/lib/sysusers.d/swfn.conf
systemd-sysusers swfn.conf
install --mode=644 "$here"/swfn-*.service /etc/systemd/system/
for settings in coordinator worker; do
    [[ -e /etc/swfn/$settings.env ]] || install --mode=644 "$here/$settings.env" "/etc/swfn/$settings.env"
done
# The units' user reads certificates and token here.
install -d --owner=swfn --group=swfn --mode=700 /etc/swfn/pki
systemctl daemon-reload
