#!/usr/bin/env bash
#
# Runs a sweep on machines that ssh reaches, without an orchestrator: the coordinator here, the
# workers there. All connections are encrypted, and each worker has a certificate of its own.
#
# usage: deploy/ssh/sweep.sh run HOSTS GRID [OPTION...]   do all of it: install, start, wait, stop
#        deploy/ssh/sweep.sh install HOSTS GRID           copy programs, libtorch and certificates
#        deploy/ssh/sweep.sh start HOSTS GRID             start the workers
#        deploy/ssh/sweep.sh status HOSTS GRID            list which workers run
#        deploy/ssh/sweep.sh logs HOSTS GRID              print the end of each worker's log
#        deploy/ssh/sweep.sh stop HOSTS GRID              stop the workers; their trials can resume
#
#   HOSTS    a file with one machine a line, by its name for ssh, and optionally its devices:
#            `gpu1`, `me@gpu2 cuda:0,cuda:1`, `box cpu:8`
#   GRID     the grid file; its name without `.toml` is that of the run directory in runs/
#   OPTION   for swfn-coordinator, such as --http 0.0.0.0:7078
#
# environment:
#   SWFN_HEAD     name or address under which the others reach this machine
#                 [default: `hostname --fqdn`]
#   SWFN_PORT     port for workers [default: 7077]
#   SWFN_BIN      folder of the programs [default: target/release]
#   LIBTORCH      folder of the libtorch to copy
#                 [default: .libtorch/cuda if it exists, else .libtorch/cpu]
#   SWFN_REMOTE   folder on the other machines [default: .swfn in the home folder]
#   SWFN_WORKER   options for the workers, such as `--data-dir /data` [default: none]
#   SWFN_SSH      the command for ssh [default: ssh -o BatchMode=yes]
#
# The other machines need Linux on x86-64 with a glibc as new as this one's, and NVIDIA's driver for
# GPUs. They need neither root nor connections other than to this machine's port.

set -euo pipefail

say() {
    printf 'sweep.sh: %s\n' "$1" >&2
}

# die ERROR HINT
die() {
    printf 'error: %s\nhint: %s\n' "$1" "$2" >&2
    exit 2
}

# on HOST COMMAND: runs a shell's command line on the host.
on() {
    # SWFN_SSH is split into words, because it may have options.
    # shellcheck disable=SC2086
    ${SWFN_SSH:-ssh -o BatchMode=yes} "$1" "$2"
}

# read_hosts FILE: reads it into the arrays hosts and devices.
read_hosts() {
    local host list
    hosts=()
    devices=()
    [[ -f $1 ]] || die "\`$1\` is missing" "write one machine a line: gpu1, or gpu1 cuda:0"
    while read -r host list || [[ -n $host ]]; do
        if [[ -n $host && $host != \#* ]]; then
            hosts+=("$host")
            devices+=("${list:-auto}")
        fi
    done <"$1"
    ((${#hosts[@]} > 0)) || die "\`$1\` names no machine" "write one machine a line: gpu1, or gpu1 cuda:0"
}

# name_of HOST: prints the name of its certificate, which is a part of file names.
name_of() {
    tr -c 'A-Za-z0-9_.\n-' - <<<"$1"
}

# make_certificates: makes them once for a run directory and its machines. If a machine has none
# yet, all get new ones of the same authority.
make_certificates() {
    local names=() host missing=
    for host in "${hosts[@]}"; do
        names+=("$(name_of "$host")")
        [[ -e $pki/worker-${names[-1]}.pem ]] || missing=1
    done
    [[ -n $missing ]] || return 0
    rm -rf "$pki.new"
    local authority=()
    [[ ! -e $pki/token ]] || authority=(--authority "$pki")
    "$bin/swfn-coordinator" certs --out "$pki.new" --hosts "$head" \
        --workers "$(IFS=,; echo "${names[*]}")" "${authority[@]}" >/dev/null
    rm -rf "$pki"
    mv "$pki.new" "$pki"
}

install_on() {
    local host=$1 name libtorch=${LIBTORCH:-}
    name=$(name_of "$host")
    if [[ -z $libtorch ]]; then
        libtorch=.libtorch/cpu
        [[ ! -d .libtorch/cuda ]] || libtorch=.libtorch/cuda
    fi
    say "$host: programs, libtorch, certificates"
    on "$host" "mkdir -p -m 700 $remote $remote/bin $remote/lib $remote/pki"
    # libtorch has gigabytes, so equal ones are not copied. deploy/libtorch.sh makes the stamp.
    local stamp=none
    if [[ -f $libtorch/.swfn-stamp ]]; then
        stamp=$(<"$libtorch/.swfn-stamp")
    fi
    if [[ $stamp == none ||
        $(on "$host" "cat $remote/lib/.swfn-stamp 2>/dev/null || true") != "$stamp" ]]; then
        tar --create --file - --directory "$libtorch/lib" . |
            on "$host" "tar --extract --file - --directory $remote/lib"
        # The stamp comes last, so that an interrupted copy is made again.
        on "$host" "echo $stamp >$remote/lib/.swfn-stamp"
    fi
    # The file is new, since a running one cannot be overwritten.
    on "$host" "cat >$remote/bin/new && chmod 755 $remote/bin/new && \
        mv $remote/bin/new $remote/bin/swfn-worker" <"$bin/swfn-worker"
    tar --create --file - --directory "$pki" ca.pem token "worker-$name.pem" "worker-$name-key.pem" |
        on "$host" "tar --extract --file - --directory $remote/pki"
}

# The shell's test for a running worker. By now its number alone may belong to another program.
# shellcheck disable=SC2016
readonly RUNS='p=$(cat worker.pid 2>/dev/null) &&
    [ "$(cat /proc/$p/comm 2>/dev/null)" = swfn-worker ]'

# start_on HOST DEVICES: starts a worker, which outlives the connection.
start_on() {
    local host=$1 list=$2 name
    name=$(name_of "$host")
    on "$host" "cd $remote && { $RUNS && exit 0; \
        nohup setsid bin/swfn-worker --coordinator https://$head:$port --devices $list \
        --tls-ca pki/ca.pem --tls-cert pki/worker-$name.pem --tls-key pki/worker-$name-key.pem \
        --token-file pki/token ${SWFN_WORKER:-} \
        </dev/null >>worker.log 2>&1 & echo \$! >worker.pid; }"
    say "$host: started on $list"
}

# stop_on HOST: sends one signal, because a second one would end the worker at once.
stop_on() {
    local code=0
    on "$1" "cd $remote 2>/dev/null && $RUNS && kill -TERM \$p && \
        while [ -e /proc/\$p ]; do sleep 0.2; done" || code=$?
    # ssh itself fails with this code.
    if ((code == 255)); then
        say "$1: not reachable; its worker leaves after an hour without a coordinator"
    else
        say "$1: stopped"
    fi
}

status_on() {
    if on "$1" "cd $remote 2>/dev/null && $RUNS"; then
        echo "$1: runs"
    else
        echo "$1: does not run"
    fi
}

logs_on() {
    on "$1" "tail -n 15 $remote/worker.log 2>/dev/null" | sed "s/^/$1: /"
}

# each FUNCTION: calls it for all machines, one after the other.
each() {
    local index
    for index in "${!hosts[@]}"; do
        "$1" "${hosts[index]}" "${devices[index]}"
    done
}

# run OPTION...: the workers leave by themselves when the sweep is finished.
run() {
    local code=0 coordinator
    make_certificates
    each install_on
    trap 'say "stopping the workers"; each stop_on' EXIT
    each start_on
    "$bin/swfn-coordinator" --grid "$grid" --run-dir "$run_dir" --listen "0.0.0.0:$port" \
        --tls-cert "$pki/server.pem" --tls-key "$pki/server-key.pem" --tls-client-ca "$pki/ca.pem" \
        --token-file "$pki/token" "$@" &
    coordinator=$!
    # A hangup would make the coordinator read its certificates, so it becomes a request to stop. An
    # interrupt from the keyboard reaches the coordinator by itself.
    trap 'kill -TERM "$coordinator" 2>/dev/null || true' HUP TERM
    trap : INT
    # A signal ends the wait, while the coordinator may still be stopping.
    while true; do
        code=0
        wait "$coordinator" || code=$?
        kill -0 "$coordinator" 2>/dev/null || break
    done
    exit "$code"
}

main() {
    local command=${1:-}
    if [[ $command == --help || $# -lt 3 ]]; then
        sed -n '3,/^$/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
        [[ $command == --help ]] && exit 0
        exit 2
    fi
    read_hosts "$2"
    grid=$3
    shift 3
    run_dir=runs/$(basename "$grid" .toml)
    pki=$run_dir/pki
    head=${SWFN_HEAD:-$(hostname --fqdn)}
    port=${SWFN_PORT:-7077}
    bin=${SWFN_BIN:-target/release}
    remote=${SWFN_REMOTE:-.swfn}
    [[ $remote != *[[:space:]\'\"\$]* ]] ||
        die "\`$remote\` has characters that are special to a shell" "choose a simple SWFN_REMOTE"
    [[ -x $bin/swfn-coordinator && -x $bin/swfn-worker ]] ||
        die "\`$bin\` has no programs" "run \`make build CUDA=1\`, or set SWFN_BIN"
    case $command in
        run) run "$@" ;;
        install)
            make_certificates
            each install_on
            ;;
        start) each start_on ;;
        stop) each stop_on ;;
        status) each status_on ;;
        logs) each logs_on ;;
        *) die "unknown command \`$command\`" "see \`sweep.sh --help\`" ;;
    esac
}

main "$@"
