#!/usr/bin/env bash
#
# Runs a sweep on three hosts, which are network namespaces: a coordinator on one, workers on the
# two others. deploy/ssh/sweep.sh starts them, with mutual TLS and a token. Workers that lack any of
# these must be refused. In the middle all workers are stopped and restarted.
#
# usage: tests/hosts.sh
#
# environment:
#   SWFN_BIN   folder of the programs [default: target/release]
#   LIBTORCH   folder of their libtorch [default: .libtorch/cpu]
#
# It needs root on Linux with `ip netns`. With `sshd` and `ssh` each host has an ssh daemon of its
# own, otherwise a stand-in. Without these tools it says so and exits with 0. Logs lie in
# target/hosts.

set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
logs=$root/target/hosts
readonly topic=hosts
# shellcheck source=tests/checks.sh
source tests/checks.sh
bin=$(realpath "${SWFN_BIN:-target/release}")
readonly NET=10.214.0

# make_hosts: makes hosts on an isolated bridge, where they only reach each other.
make_hosts() {
    local index host
    ip netns add "$switch" 2>"$logs/ip.log" ||
        skip "network namespaces do not work: $(<"$logs/ip.log")"
    ip -n "$switch" link add bridge type bridge 2>"$logs/ip.log" ||
        skip "bridges do not work: $(<"$logs/ip.log")"
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
}

# start_ssh: starts a daemon for each host, which runs commands in a home folder of that host.
start_ssh() {
    local index host home
    ssh-keygen -q -t ed25519 -N '' -f "$work/key"
    mkdir -p /run/sshd
    printf 'Host *\n  IdentityFile %s\n  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n  LogLevel ERROR\n' "$work/key" \
        >"$work/ssh_config"
    for index in 1 2; do
        host=${hosts[index]}
        home=$work/$host
        ssh-keygen -q -t ed25519 -N '' -f "$home/host-key"
        cat >"$home/command" <<SCRIPT
#!/bin/sh
cd "$home" && export HOME="$home" SWFN_CACHE="$home/cache" && exec sh -c "\$SSH_ORIGINAL_COMMAND"
SCRIPT
        chmod +x "$home/command"
        cat >"$home/sshd_config" <<CONF
HostKey $home/host-key
PidFile $home/sshd.pid
AuthorizedKeysFile $work/key.pub
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
ForceCommand $home/command
CONF
        ip netns exec "$host" "$(command -v sshd)" -f "$home/sshd_config" -E "$logs/sshd.$index.log"
        printf 'Host %s\n  HostName %s\n' "$host" "$NET.$((index + 1))" >>"$work/ssh_config"
    done
    ssh="ssh -o BatchMode=yes -F $work/ssh_config"
    say "with ssh daemons"
}

# stand_in: replaces ssh: `HOST COMMAND`.
stand_in() {
    cat >"$work/ssh" <<SCRIPT
#!/bin/sh
cd "$work/\$1" && exec ip netns exec "\$1" env HOME="$work/\$1" SWFN_CACHE="$work/\$1/cache" sh -c "\$2"
SCRIPT
    chmod +x "$work/ssh"
    ssh=$work/ssh
    say "ssh is missing; a stand-in replaces it"
}

clean() {
    local host process
    for host in "${hosts[@]}"; do
        cp "$work/$host/.swfn/worker.log" "$logs/$host.log" 2>/dev/null || true
        for process in $(ip netns pids "$host" 2>/dev/null || true); do
            kill -KILL "$process" 2>/dev/null || true
        done
    done
    for host in "${hosts[@]}" "$switch"; do
        ip netns del "$host" 2>/dev/null || true
    done
    rm -rf "$work"
}

# sql RUN STATEMENT
sql() {
    python3 -c 'import sqlite3, sys
for row in sqlite3.connect("file:%s/sweep.sqlite?mode=ro" % sys.argv[1], uri=True).execute(sys.argv[2]):
    print(*row)' "$1" "$2"
}

joined() {
    [[ $(sql "$run" 'SELECT count(*) FROM worker' 2>/dev/null) -ge $1 ]]
}

at_work() {
    [[ $(sql "$run" "SELECT count(*) FROM trial WHERE state = 'leased'" 2>/dev/null) -ge $1 ]]
}

# ended HOW: counts such ends of leases.
ended() {
    sql "$run" "SELECT count(*) FROM event WHERE kind = '$1'"
}

# recipe COMMAND [OPTION...]: runs the ssh recipe on the first host, in a folder with runs/.
recipe() {
    local command=$1
    shift
    (cd "$work" && ip netns exec "${hosts[0]}" env SWFN_HEAD="$NET.1" SWFN_SSH="$ssh" SWFN_BIN="$bin" \
        LIBTORCH="${LIBTORCH:-$root/.libtorch/cpu}" SWFN_WORKER=--offline \
        "$root/deploy/ssh/sweep.sh" "$command" "$work/hosts" "$work/three.toml" "$@")
}

# refused WORDS OPTION...: a worker with these options ends with 1 and prints these words.
refused() {
    local words=$1 code=0
    shift
    ip netns exec "${hosts[1]}" timeout 300 "$bin/swfn-worker" --devices cpu --offline "$@" >"$logs/refused.log" 2>&1 || code=$?
    [[ $code == 1 ]] && grep -q "$words" "$logs/refused.log"
}

sweep() {
    local address=https://$NET.1:7077 pki process certificate code=0
    run=$work/runs/three
    pki=$run/pki
    sed -e 's/^seed = .*/seed = { count = 6 }/' -e 's/ = 1000$/ = 600/' -e 's/ = 500$/ = 300/' coordinator/grids/quick.toml >"$work/three.toml"
    printf '%s cpu\n' "${hosts[1]}" "${hosts[2]}" >"$work/hosts"
    recipe run >"$logs/sweep.log" 2>&1 &
    process=$!
    within 600 "both workers have trials" at_work 2
    certificate=(--tls-cert "$pki/worker-${hosts[1]}.pem" --tls-key "$pki/worker-${hosts[1]}-key.pem")
    check "without TLS nobody comes in" refused 'the coordinator speaks TLS' --coordinator "http://$NET.1:7077"
    check "nor who does not know whom to trust" refused 'no authority is named' --coordinator "$address"
    check "nor without a certificate" refused "the coordinator misses this worker's certificate" --coordinator "$address" \
        --tls-ca "$pki/ca.pem" --token-file "$pki/token"
    check "nor without the token" refused 'a token is needed here' --coordinator "$address" --tls-ca "$pki/ca.pem" "${certificate[@]}"
    ip -n "${hosts[0]}" addr add "$NET.101/24" dev eth0
    check "nor by an address that is not the certificate's" refused 'not valid for name' --coordinator "https://$NET.101:7077" \
        --tls-ca "$pki/ca.pem"

    check "both workers run" [ "$(recipe status | grep -c ': runs$')" = 2 ]
    check "their logs can be read" [ "$(recipe logs | grep -c 'trial')" -gt 0 ]
    recipe stop >"$logs/stop.log" 2>&1
    check "both are stopped" [ "$(recipe status | grep -c ': does not run$')" = 2 ]
    # One trial may have just ended, or the next ones may have been granted already.
    say "leases: $(ended released) returned, $(ended lost) lost"
    check "trials were given back" [ "$(ended released)" -ge 1 ]
    check "no lease was lost" [ "$(ended lost)" = 0 ]
    recipe start >"$logs/start.log" 2>&1
    within 300 "both join again" joined 4

    wait "$process" || code=$?
    check "the sweep succeeds" [ "$code" = 0 ]
    check "each of 24 trials has one result" [ "$(sql "$run" "SELECT count(*), count(DISTINCT trial),
        (SELECT count(*) FROM trial WHERE state = 'succeeded') FROM result")" = "24 24 24" ]
    check "two hosts did the work, each with its certificate" \
        [ "$(sql "$run" 'SELECT count(DISTINCT certificate) FROM worker JOIN result ON result.worker = worker.id')" = 2 ]
    check "the workers left by themselves" [ "$(recipe status | grep -c ': does not run$')" = 2 ]
}

main() {
    rm -rf "$logs"
    mkdir -p "$logs"
    [[ $(uname -s) == Linux && $(id -u) == 0 ]] || skip "root on Linux is needed"
    command -v ip >/dev/null || skip "\`ip\` is missing (package iproute2)"
    PATH=$PATH:/usr/sbin
    [[ -x $bin/swfn-coordinator && -x $bin/swfn-worker ]] ||
        fail "$bin has no programs: run make build, or set SWFN_BIN"
    work=$(mktemp --directory)
    # sshd requires these rights.
    chmod 755 "$work"
    switch=swfn-switch-$$
    hosts=("swfn-head-$$" "swfn-one-$$" "swfn-two-$$")
    trap clean EXIT
    make_hosts
    if command -v sshd >/dev/null && command -v ssh >/dev/null; then
        start_ssh
    else
        stand_in
    fi
    sweep
    say "$checks checks passed"
}

main
