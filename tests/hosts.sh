#!/usr/bin/env bash
#
# Three hosts as network name spaces: a coordinator on one, workers on the two others, started with deploy/ssh/sweep.sh, with TLS both ways
# and a token. Who lacks any of it must be refused.
#
# usage: tests/hosts.sh
#
# It needs root on Linux with `ip netns`. Where that cannot be, it says so, and exits with 0. Logs lie in target/hosts.

set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && git rev-parse --show-toplevel)
cd "$root"
logs=$root/target/hosts
readonly NET=10.214.0

say() {
    printf 'hosts: %s\n' "$1" >&2
}

skip() {
    say "skipped: $1"
    exit 0
}

fail() {
    say "FAILED: $1 (logs: $logs)"
    exit 1
}

# check WORDS COMMAND...: counted, and fatal when it does not hold.
checks=0
check() {
    local words=$1
    shift
    "$@" || fail "$words"
    checks=$((checks + 1))
    say "ok: $words"
}

# Hosts on one bridge, which is nobody's: they reach each other, and nothing else.
make_hosts() {
    local index host
    [[ $(uname -s) == Linux && $(id -u) == 0 ]] || skip "root on Linux is needed"
    command -v ip >/dev/null || skip "\`ip\` is missing"
    ip netns add "$switch" 2>"$logs/ip.log" || skip "no network name spaces here: $(<"$logs/ip.log")"
    ip -n "$switch" link add bridge type bridge 2>"$logs/ip.log" || skip "no bridges here: $(<"$logs/ip.log")"
    ip -n "$switch" link set bridge up
    for index in "${!hosts[@]}"; do
        host=${hosts[index]}
        ip netns add "$host"
        ip link add "port$index" netns "$switch" type veth peer name eth0 netns "$host"
        ip -n "$switch" link set "port$index" master bridge up
        ip -n "$host" addr add "$NET.$((index + 1))/24" dev eth0
        ip -n "$host" link set eth0 up
        ip -n "$host" link set lo up
        mkdir -p "$work/$host"
    done
    # In place of ssh: `ssh HOST COMMAND`, with a home folder for each.
    cat >"$work/ssh" <<SCRIPT
#!/bin/sh
cd "$work/\$1" && exec ip netns exec "\$1" env HOME="$work/\$1" SWFN_CACHE="$work/\$1/cache" sh -c "\$2"
SCRIPT
    chmod +x "$work/ssh"
}

clean() {
    local host process
    for host in "${hosts[@]}"; do
        for process in $(ip netns pids "$host" 2>/dev/null || true); do
            kill -KILL "$process" 2>/dev/null || true
        done
    done
    cp "$work"/*/.swfn/worker.log "$logs/" 2>/dev/null || true
    for host in "${hosts[@]}" "$switch"; do
        ip netns del "$host" 2>/dev/null || true
    done
    rm -rf "$work"
}

sql() {
    python3 -c 'import sqlite3, sys
for row in sqlite3.connect("file:%s/sweep.sqlite?mode=ro" % sys.argv[1], uri=True).execute(sys.argv[2]):
    print(*row)' "$1" "$2"
}

# refused WORDS OPTION...: a worker with these options ends with 1 and says so.
refused() {
    local words=$1 code=0
    shift
    ip netns exec "${hosts[1]}" timeout 60 target/release/swfn-worker --devices cpu --offline "$@" >"$logs/refused.log" 2>&1 || code=$?
    [[ $code == 1 ]] && grep -q "$words" "$logs/refused.log"
}

sweep() {
    local grid=$work/three.toml address=https://$NET.1:7077 pki=$work/runs/three/pki
    sed -e 's/^seed = .*/seed = { count = 8 }/' coordinator/grids/quick.toml >"$grid"
    printf '%s cpu\n' "${hosts[1]}" "${hosts[2]}" >"$work/hosts"
    # From a folder of its own, where runs/ is.
    (cd "$work" && ip netns exec "${hosts[0]}" env SWFN_HEAD="$NET.1" SWFN_SSH="$work/ssh" SWFN_BIN="$root/target/release" \
        LIBTORCH="${LIBTORCH:-$root/.libtorch/cpu}" SWFN_WORKER=--offline "$root/deploy/ssh/sweep.sh" run "$work/hosts" "$grid" \
        >"$logs/sweep.log" 2>&1) &
    local process=$! end=$((SECONDS + 120)) code=0
    until [[ -f $pki/token && $(sql "$work/runs/three" 'SELECT count(*) FROM worker' 2>/dev/null || echo 0) -ge 2 ]]; do
        ((SECONDS < end)) || fail "in vain: both workers join"
        sleep 0.2
    done
    local certificate=(--tls-cert "$pki/worker-${hosts[1]}.pem" --tls-key "$pki/worker-${hosts[1]}-key.pem")
    check "without TLS nobody comes in" refused 'the coordinator speaks TLS' --coordinator "http://$NET.1:7077"
    check "nor without a certificate" refused "the coordinator misses this worker's certificate" --coordinator "$address" \
        --tls-ca "$pki/ca.pem" --token-file "$pki/token"
    check "nor without the token" refused 'a token is needed here' --coordinator "$address" --tls-ca "$pki/ca.pem" "${certificate[@]}"
    wait "$process" || code=$?
    check "the sweep succeeds" [ "$code" = 0 ]
    check "each trial has its result" [ "$(sql "$work/runs/three" "SELECT count(*) FROM trial WHERE state = 'succeeded'")" = 32 ]
    check "two hosts did the work, each with its certificate" \
        [ "$(sql "$work/runs/three" 'SELECT count(DISTINCT certificate) FROM worker JOIN result ON result.worker = worker.id')" = 2 ]
}

main() {
    mkdir -p "$logs"
    [[ -x target/release/swfn-coordinator && -x target/release/swfn-worker ]] || fail "there are no programs: make build"
    work=$(mktemp --directory)
    switch=swfn-switch-$$
    hosts=("swfn-head-$$" "swfn-one-$$" "swfn-two-$$")
    trap clean EXIT
    make_hosts
    sweep
    say "$checks checks passed"
}

main
