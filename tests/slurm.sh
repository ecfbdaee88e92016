#!/usr/bin/env bash
#
# Runs sweeps on a real Slurm of one node: a coordinator as a job and an array of four workers. One
# worker and the coordinator are requeued in the middle, and another worker's time runs out. No
# lease may be lost, and interrupted trials must have their undisturbed results.
#
# usage: tests/slurm.sh
#
# environment:
#   SWFN_BIN   folder of the programs [default: target/release]
#
# It needs root on Linux with slurmctld, slurmd and munge; apt-get installs what is missing. Where
# this fails, it says so and exits with 0. Logs lie in target/slurm.

# Texts are for another shell, and functions are called by their names.
# shellcheck disable=SC2016,SC2317

set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
logs=$root/target/slurm
readonly topic=slurm
# shellcheck source=tests/checks.sh
source tests/checks.sh
bin=$(realpath "${SWFN_BIN:-target/release}")

tools() {
    local missing=() program
    [[ $(uname -s) == Linux ]] || skip "the system is not Linux"
    [[ $(id -u) == 0 ]] || skip "root is needed, for slurmd"
    [[ -x $bin/swfn-coordinator && -x $bin/swfn-worker ]] ||
        fail "$bin has no programs: run make build, or set SWFN_BIN"
    PATH=$PATH:/usr/sbin
    for program in slurmctld slurmd munged sbatch scontrol; do
        command -v "$program" >/dev/null || missing+=("$program")
    done
    if ((${#missing[@]} > 0)); then
        command -v apt-get >/dev/null || skip "missing: ${missing[*]}"
        say "installing Slurm"
        { apt-get update -qq &&
            DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurmctld slurmd slurm-client munge; } \
            >"$logs/apt.log" 2>&1 || skip "missing, and apt-get cannot install: ${missing[*]} (see $logs/apt.log)"
    fi
}

# configure: sets up a cluster of one node with four fake GPUs. Their files are no devices, so a job
# learns their numbers from Slurm alone.
configure() {
    local node
    node=$(hostname --short)
    # Sockets need short paths, and munge requires that all can read the folder.
    work=$(mktemp --directory /tmp/swfn-slurm.XXXXXX)
    chmod 755 "$work"
    mkdir "$work"/{state,spool,bin}
    (umask 077 && head -c 1024 /dev/urandom >"$work/munge.key")
    touch "$work"/gpu{0,1,2,3}
    echo "Name=gpu File=$work/gpu[0-3]" >"$work/gres.conf"
    cat >"$work/slurm.conf" <<CONF
ClusterName=swfn
SlurmctldHost=$node(127.0.0.1)
SlurmctldPort=26817
SlurmdPort=26818
SlurmUser=root
AuthType=auth/munge
# After a requeue a job waits until its old credential has expired.
AuthInfo=socket=$work/munge.socket,cred_expire=5
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
SlurmctldLogFile=$logs/slurmctld.log
SlurmdLogFile=$logs/slurmd.log
# This machine may be a container without control groups.
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
    within 30 "the node is up" bash -c '[[ $(sinfo --noheader --format %t 2>/dev/null) == idle ]]'
}

clean() {
    local process
    scancel --quiet --user=root >/dev/null 2>&1 || true
    sleep 2
    for ((process = ${#processes[@]} - 1; process >= 0; process--)); do
        kill "${processes[process]}" 2>/dev/null || true
        wait "${processes[process]}" 2>/dev/null || true
    done
    cp "$work"/*.out "$logs/" 2>/dev/null || true
    rm -rf "$work"
}

# job ID KEY: reads a value of a job from Slurm.
job() {
    scontrol --oneliner show job "$1" 2>/dev/null | grep -o "\b$2=[^ ]*" | head -n 1 | cut -d = -f 2
}

ended() {
    [[ $(job "$1" JobState) =~ ^(COMPLETED|FAILED|CANCELLED|TIMEOUT)$ ]]
}

restarted() {
    [[ $(job "$1" Restarts) -ge 1 ]]
}

# sql RUN STATEMENT
sql() {
    python3 -c 'import sqlite3, sys
for row in sqlite3.connect("file:%s/sweep.sqlite?mode=ro" % sys.argv[1], uri=True).execute(sys.argv[2]):
    print(*row)' "$1" "$2"
}

# events RUN KIND: counts such events.
events() {
    sql "$1" "SELECT count(*) FROM event WHERE kind = '$2'"
}

joined() {
    [[ $(sql "$1" 'SELECT count(*) FROM worker' 2>/dev/null) -ge $2 ]]
}

at_work() {
    [[ $(sql "$1" "SELECT count(*) FROM trial WHERE state = 'leased'" 2>/dev/null) -ge $2 ]]
}

# says TEXT FILE
says() {
    grep -qF -- "$1" "$2" 2>/dev/null
}

# submit OPTION...: prints the job's number.
submit() {
    sbatch --parsable --chdir="$work" --time=30 --mem=0 "$@"
}

# the_gpus: tasks that do not learn their GPUs from Slurm must not take each other's.
the_gpus() {
    local fake=$work/fake array told
    mkdir "$fake"
    cat >"$fake/nvidia-smi" <<'SCRIPT'
#!/bin/sh
for gpu in 0 1 2 3; do echo "GPU $gpu: made up"; done
SCRIPT
    printf '#!/bin/sh\nsleep 20\n' >"$fake/swfn-worker"
    chmod +x "$fake"/*
    mkdir -p "$work/gpus/cluster"
    printf 'https://nobody:1\n/nowhere\n' >"$work/gpus/cluster/address"
    array=$(PATH=$fake:$PATH SWFN_BIN=$fake submit --cpus-per-task=1 deploy/slurm/workers.sbatch gpus)
    within 60 "four tasks choose a GPU" bash -c "[[ \$(cat $work/swfn-workers-${array}_*.out 2>/dev/null | grep -c ^devices:) == 4 ]]"
    told=$(sort "$work"/swfn-workers-"${array}"_*.out | tr '\n' ' ')
    check "four tasks on a node of four GPUs took one each: $told" \
        [ "$told" = "devices: cuda:0 devices: cuda:1 devices: cuda:2 devices: cuda:3 " ]
    scancel "$array"
    within 60 "they are gone" bash -c '[[ -z $(squeue --noheader) ]]'
}

# start_the_short_one: starts a worker with little time and many trials.
start_the_short_one() {
    local grid=$work/long.toml
    sed -e 's/^seed = .*/seed = { count = 500 }/' coordinator/grids/quick.toml >"$grid"
    short_coordinator=$(SWFN_PORT=26901 submit deploy/slurm/coordinator.sbatch long "$grid")
    short=$(submit --time=4 --array=7 --gres=none --cpus-per-task=1 --dependency="after:$short_coordinator" \
        deploy/slurm/workers.sbatch long --offline)
}

check_the_short_one() {
    local run=$work/long out=$work/swfn-workers-${short}_7.out first
    within 300 "time is up for a worker" restarted "${short}_7"
    check "a worker that had no time for another trial left with 75, and its task was requeued" \
        says 'time is up: back into the queue' "$out"
    check "it had seen to it itself, before Slurm's signal" says 'another one would not end in time' "$out"
    within 180 "it comes again" joined "$run" 2
    within 120 "it has a trial again" at_work "$run" 1
    first=$(sql "$run" 'SELECT id FROM worker ORDER BY joined LIMIT 1')
    say "its first time: $(sql "$run" "SELECT count(*) FROM event WHERE worker = '$first' AND kind = 'leased'") trials begun, $(
        sql "$run" "SELECT count(*) FROM result WHERE worker = '$first'") ended"
    scancel "$short" "$short_coordinator"
    within 120 "coordinator and worker are gone" ended "$short_coordinator"
    check "none of its leases was lost, also when both were cancelled" [ "$(events "$run" lost)" = 0 ]
}

# undisturbed TRIAL: prints its accuracy and loss when it is trained alone, without a coordinator.
undisturbed() {
    "$bin/swfn-worker" train --spec "$work/grid.toml" --trial "$1" --offline 2>"$logs/undisturbed.log" >"$work/$1.json"
    python3 - "$work/$1.json" <<'PYTHON'
import json, sys
for line in map(json.loads, open(sys.argv[1])):
    if "final_test_accuracy" in line:
        print(line["final_test_accuracy"], line["final_test_loss"])
PYTHON
}

the_array() {
    local run=$work/run coordinator array late trial
    sed -e 's/^seed = .*/seed = { count = 8 }/' coordinator/grids/quick.toml >"$work/grid.toml"
    coordinator=$(submit deploy/slurm/coordinator.sbatch run grid.toml)
    array=$(submit --dependency="after:$coordinator" --cpus-per-task=1 deploy/slurm/workers.sbatch run --offline)
    within 300 "an array of four has trials" at_work "$run" 4

    scontrol requeue "${array}_2"
    within 60 "the task was requeued" restarted "${array}_2"
    # Slurm signals the shell alone when its time is nearly up.
    scancel --batch --signal=TERM "$coordinator"
    within 60 "the coordinator was requeued" restarted "$coordinator"
    check "the coordinator went back into the queue in order" says 'time is up: back into the queue' "$work/swfn-$coordinator.out"
    within 300 "the requeued task joins again" joined "$run" 5
    check "the task that was requeued in the middle joined again" true
    check_the_short_one

    within 1800 "the sweep ends" ended "$coordinator"
    check "the coordinator's job is completed" [ "$(job "$coordinator" JobState)" = COMPLETED ]
    check "each of 32 trials has one result" [ "$(sql "$run" "SELECT count(*), count(DISTINCT trial),
        (SELECT count(*) FROM trial WHERE state = 'succeeded') FROM result")" = "32 32 32" ]
    say "leases: $(events "$run" released) returned, $(events "$run" lost) lost, of $(events "$run" leased)"
    check "something was interrupted" [ "$(events "$run" released)" -gt 0 ]
    check "no lease was lost" [ "$(events "$run" lost)" = 0 ]
    for trial in $(sql "$run" "SELECT DISTINCT id FROM event JOIN trial ON trial.number = event.trial WHERE kind = 'released' LIMIT 2"); do
        check "trial $trial was interrupted, and its result is that of an undisturbed one" [ "$(undisturbed "$trial")" = "$(sql "$run" \
            "SELECT final_test_accuracy, final_test_loss FROM trial JOIN result ON result.trial = number WHERE id = '$trial'")" ]
    done

    late=$(submit --array=9 --cpus-per-task=1 deploy/slurm/workers.sbatch run --offline)
    within 180 "a late task ends" ended "${late}_9"
    check "a task that comes too late ends by itself" says 'the sweep is finished' "$work/swfn-workers-${late}_9.out"
    check "without an error" [ "$(job "${late}_9" ExitCode)" = 0:0 ]
}

main() {
    rm -rf "$logs"
    mkdir -p "$logs"
    processes=()
    tools
    configure
    trap clean EXIT
    daemons
    the_gpus
    export SWFN_BIN=$bin SWFN_HOST=localhost SWFN_CACHE=$work/cache SWFN_DEVICES=cpu SWFN_PATIENCE=60
    start_the_short_one
    the_array
    within 60 "all jobs are gone" bash -c '[[ -z $(squeue --noheader) ]]'
    say "$checks checks passed"
}

main
