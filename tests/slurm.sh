#!/usr/bin/env bash
#
# A sweep on a real Slurm of one node: a coordinator as a job, an array of four workers, one of which is requeued in the middle, and a
# worker whose time runs out. The results must be those of an undisturbed sweep.
#
# usage: tests/slurm.sh
#
# It needs root on Linux with slurmctld, slurmd and munge; where apt-get works, they are installed. Where this cannot be, it says so,
# and exits with 0. Logs lie in target/slurm.

set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && git rev-parse --show-toplevel)
cd "$root"
logs=$root/target/slurm

say() {
    printf 'slurm: %s\n' "$1" >&2
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

# within SECONDS WORDS COMMAND...
within() {
    local end=$((SECONDS + $1)) words=$2
    shift 2
    until "$@"; do
        ((SECONDS < end)) || fail "in vain: $words"
        sleep 0.5
    done
}

tools() {
    local missing=() program
    [[ $(uname -s) == Linux ]] || skip "this is no Linux"
    [[ $(id -u) == 0 ]] || skip "root is needed, for slurmd"
    for program in slurmctld slurmd munged sbatch scontrol; do
        PATH=$PATH:/usr/sbin command -v "$program" >/dev/null || missing+=("$program")
    done
    if ((${#missing[@]} > 0)); then
        command -v apt-get >/dev/null || skip "missing: ${missing[*]}"
        say "installing Slurm"
        { apt-get update -qq &&
            DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurmctld slurmd slurm-client munge; } \
            >"$logs/apt.log" 2>&1 || skip "missing, and apt-get cannot install: ${missing[*]} (see $logs/apt.log)"
    fi
    PATH=$PATH:/usr/sbin
    [[ -x target/release/swfn-coordinator && -x target/release/swfn-worker ]] || fail "there are no programs: make build"
}

# A cluster of one node with four GPUs that are made up: Slurm deals them out, and sets no variable about them.
configure() {
    local node
    node=$(hostname --short)
    # Short paths: sockets have a limit. Readable by all: munge insists.
    work=$(mktemp --directory /tmp/swfn-slurm.XXXXXX)
    chmod 755 "$work"
    mkdir "$work"/{state,spool}
    (umask 077 && head -c 1024 /dev/urandom >"$work/munge.key")
    cat >"$work/gres.conf" <<'CONF'
Name=gpu Count=4
CONF
    cat >"$work/slurm.conf" <<CONF
ClusterName=swfn
SlurmctldHost=$node(127.0.0.1)
SlurmctldPort=26817
SlurmdPort=26818
SlurmUser=root
AuthType=auth/munge
# After a requeue a job waits until its old credential has run out.
AuthInfo=socket=$work/munge.socket,cred_expire=5
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
SlurmctldLogFile=$logs/slurmctld.log
SlurmdLogFile=$logs/slurmd.log
# This machine may be a container: no control groups.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=5,bf_interval=5
GresTypes=gpu
MpiDefault=none
ReturnToService=2
KillWait=15
NodeName=$node NodeAddr=127.0.0.1 CPUs=16 RealMemory=16000 Gres=gpu:4
PartitionName=all Nodes=ALL Default=YES MaxTime=60 State=UP
CONF
    export SLURM_CONF=$work/slurm.conf
}

daemons() {
    munged --foreground --force --socket="$work/munge.socket" --key-file="$work/munge.key" --pid-file="$work/munged.pid" \
        --log-file="$logs/munged.log" --seed-file="$work/munged.seed" >"$logs/munged.out" 2>&1 &
    processes+=($!)
    within 10 "munge answers" test -S "$work/munge.socket"
    slurmctld -D >"$logs/slurmctld.out" 2>&1 &
    processes+=($!)
    slurmd -D >"$logs/slurmd.out" 2>&1 &
    processes+=($!)
    within 30 "the node is up" bash -c '[[ $(sinfo --noheader --format %t) == idle ]]'
}

clean() {
    local process
    scancel --quiet --user=root >/dev/null 2>&1 || true
    sleep 2
    for ((process = ${#processes[@]} - 1; process >= 0; process--)); do
        kill "${processes[process]}" 2>/dev/null || true
        wait "${processes[process]}" 2>/dev/null || true
    done
    rm -rf "$work"
}

# job ID KEY: what Slurm says of a job.
job() {
    scontrol --oneliner show job "$1" | grep -o "\b$2=[^ ]*" | head -n 1 | cut -d = -f 2
}

sql() {
    python3 -c 'import sqlite3, sys
for row in sqlite3.connect("file:%s/sweep.sqlite?mode=ro" % sys.argv[1], uri=True).execute(sys.argv[2]):
    print(*row)' "$1" "$2"
}

workers_joined() {
    [[ $(sql "$run" 'SELECT count(*) FROM worker' 2>/dev/null) -ge $1 ]]
}

restarted() {
    [[ $(job "$1" Restarts) -ge 1 ]]
}

finished() {
    [[ $(job "$coordinator" JobState) =~ ^(COMPLETED|FAILED|CANCELLED|TIMEOUT)$ ]]
}

the_sweep() {
    run=$work/run
    cp -r deploy/slurm "$work/scripts"
    # Long enough for a task to go and come back.
    sed -e 's/^seed = .*/seed = { count = 24 }/' coordinator/grids/quick.toml >"$work/grid.toml"
    export SWFN_BIN=$root/target/release SWFN_HOST=localhost SWFN_CACHE=$work/cache SWFN_DEVICES=cpu SWFN_PATIENCE=20
    local scripts=$work/scripts common=(--parsable --chdir="$work" --time=30) workers short
    coordinator=$(sbatch "${common[@]}" "$scripts/coordinator.sbatch" "$run" "$work/grid.toml")
    workers=$(sbatch "${common[@]}" --dependency="after:$coordinator" --mem=0 --cpus-per-task=1 \
        "$scripts/workers.sbatch" "$run" --offline)
    within 60 "four workers join" workers_joined 4
    within 30 "all have a trial" bash -c "[[ \$(grep -h 'worker started' $work/swfn-workers-${workers}_*.out | wc -l) -ge 4 ]]"

    scontrol requeue "${workers}_2"
    within 60 "the task was requeued" restarted "${workers}_2"
    within 60 "it joins again" workers_joined 5

    # Time that is up half a minute after the start: what the signal's lead of 120 s is to a time of hours.
    scancel "${workers}_3"
    short=$(sbatch "${common[@]}" --time=3 --signal=B:TERM@150 --array=7 --mem=0 --cpus-per-task=1 \
        "$scripts/workers.sbatch" "$run" --offline)
    within 180 "time is up for a worker" restarted "${short}_7"
    check "it knew why" grep -q 'time is up: back into the queue' "$work/swfn-workers-${short}_7.out"

    within 600 "the sweep ends" finished
    cp "$work"/*.out "$logs/"
    check "the coordinator's job is completed" [ "$(job "$coordinator" JobState)" = COMPLETED ]
    check "all trials have results" [ "$(sql "$run" "SELECT count(*) FROM trial WHERE state <> 'succeeded'")" = 0 ]
    check "a trial was given back or lost on the way" \
        [ "$(sql "$run" "SELECT count(*) FROM event WHERE kind IN ('released', 'lost')")" -gt 0 ]
    say "$(sql "$run" "SELECT count(*) FROM event WHERE kind = 'released'") given back, $(sql "$run" \
        "SELECT count(*) FROM event WHERE kind = 'lost'") lost"
    within 60 "all jobs are gone" bash -c '[[ -z $(squeue --noheader) ]]'

    target/release/swfn-coordinator --grid "$work/grid.toml" --run-dir "$work/undisturbed" --local-workers 2 --http off \
        >"$logs/undisturbed.log" 2>&1
    local results='SELECT id, final_test_accuracy, final_test_loss FROM trial JOIN result
        ON result.trial = trial.number AND result.attempt = trial.attempt ORDER BY id'
    check "results are those of an undisturbed sweep" cmp <(sql "$run" "$results") <(sql "$work/undisturbed" "$results")
}

main() {
    mkdir -p "$logs"
    processes=()
    tools
    configure
    trap clean EXIT
    daemons
    the_sweep
    say "$checks checks passed"
}

main
