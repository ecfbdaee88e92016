#!/usr/bin/env bash
#
# Tests and measures the trainer on a GPU, and writes a folder with the report.
#
# usage: deploy/gpu-check.sh [OPTIONS]        build against CUDA (2.5 GB to fetch), then run
#        deploy/gpu-check.sh pack DIR         build, and collect all files for `run`; no GPU needed
#        DIR/gpu-check.sh run [OPTIONS]       run on a machine with a GPU, without this repository
#
#   --quick           run a subset, which takes about five minutes
#   --tiny            run next to nothing, to try this script out
#   --data-dir DIR    folder with MNIST's files [default: use the built-in synthetic digits]
#   --report DIR      folder for the report [default: gpu-report]
#   --python PROGRAM  Python with PyTorch 2.11.0 [default: python3]
#   --help            print this
#
# A packed run takes libtorch from that Python: torch 2.11.0 with CUDA 13.0, as `pip install
# torch==2.11.0` installs it. A run in this repository needs that Python for comparisons alone.
#
# The report is report.txt for people, report.json for programs, and a log of each step. Exits with
# 1 if a test or a step failed.
#
# environment:
#   SWFN_GPU_TEST_DEVICE  the device to test [default: cuda:0]; `cpu` tries tests and script out
#   LIBTORCH, PIP_INDEX_URL, ... see deploy/libtorch.sh
#   SWFN_LIBTORCH_DIR     where deploy/libtorch.sh keeps what it makes

set -euo pipefail

readonly TORCH_VERSION=2.11.0 CUDA_VERSION=13.0

say() {
    printf 'gpu-check.sh: %s\n' "$1" >&2
}

# die ERROR HINT...
die() {
    say "error: $1"
    shift
    if (($# > 0)); then
        printf 'hint: %s\n' "$@" >&2
    fi
    exit 1
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# Builds, and sets $coordinator, $worker and $tests.
build() {
    local options=(--cuda)
    if [[ -n ${SWFN_LIBTORCH_DIR:-} ]]; then
        options+=(--dir "$SWFN_LIBTORCH_DIR")
    fi
    LIBTORCH=$("$here/libtorch.sh" "${options[@]}")
    export LIBTORCH
    cd "$here/.."
    cargo build --release --locked --package swfn-coordinator --package swfn-worker >&2
    tests=$(cargo test --release --locked --package swfn-worker --test it --no-run --message-format=json |
        sed -n 's/.*"executable":"\([^"]*\/it-[0-9a-f]*\)".*/\1/p')
    coordinator=$PWD/target/release/swfn-coordinator
    worker=$PWD/target/release/swfn-worker
    cd - >/dev/null
    [[ -x $tests ]] || die "cargo has built no test program"
}

# pack DIR
pack() {
    local to=$1 program
    mkdir -p "$to/bin" "$to/grids/ablations" "$to/reference"
    build
    cp "$coordinator" "$worker" "$to/bin/"
    cp "$tests" "$to/bin/gpu-tests"
    for program in "$to"/bin/*; do
        strip --strip-debug "$program"
        # Without this the loader drops the library as unused, and torch finds no GPUs.
        if [[ $program != */swfn-coordinator ]] && ! readelf -d "$program" | grep -q 'NEEDED.*libtorch_cuda\.so'; then
            die "\`$program\` does not need libtorch_cuda.so" "set LIBTORCH to the CUDA flavour"
        fi
    done
    cp "$here/../coordinator/grids/paper.toml" "$to/grids/"
    cp "$here"/../coordinator/grids/ablations/precision-*.toml "$to/grids/ablations/"
    cp "$here"/../tests/reference/{bench,formulations,models}.py "$to/reference/"
    cp "$here/gpu-check.sh" "$here/gpu_report.py" "$to/"
    say "packed into \`$to\`, $(du -sh "$to" | cut -f1); there: ./gpu-check.sh run"
}

# use_libraries_of_python: finds the programs' libraries in Python's PyTorch.
use_libraries_of_python() {
    local found version cuda folders
    # shellcheck disable=SC2016  # Python, not shell
    found=$("$python" -c '
import glob, os, torch
lib = os.path.join(os.path.dirname(torch.__file__), "lib")
wheels = os.path.join(os.path.dirname(os.path.dirname(torch.__file__)), "nvidia")
folders = [lib] + sorted(glob.glob(os.path.join(wheels, "*", "lib")))
print(torch.__version__.split("+")[0], torch.version.cuda, ":".join(folders))') ||
        die "\`$python\` has no PyTorch" "run \`pip install torch==$TORCH_VERSION\`" \
            "or name another Python with --python"
    read -r version cuda folders <<<"$found"
    if [[ $version != "$TORCH_VERSION" || $cuda != "$CUDA_VERSION" ]]; then
        die "\`$python\` has PyTorch $version with CUDA $cuda; $TORCH_VERSION with CUDA $CUDA_VERSION is needed" \
            "run \`pip install torch==$TORCH_VERSION\`" \
            "or name another Python with --python"
    fi
    export LD_LIBRARY_PATH=$folders${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
}

# check: reports missing tools and files before anything runs.
check() {
    local missing words
    missing=$(ldd "$worker" "$coordinator" "$tests" 2>&1 | grep 'not found' | sort -u || true)
    if [[ -n $missing ]]; then
        die "the programs lack libraries, or their versions: $missing" \
            "GLIBC versions: build on this machine, or on an older one"
    fi
    if [[ $device != cpu ]]; then
        command -v nvidia-smi >/dev/null || die "nvidia-smi is missing" "install NVIDIA's driver"
        nvidia-smi >&2 || die "nvidia-smi fails; see its output above"
    fi
    # Without a GPU, sweeps would run on the CPU for hours.
    if ! words=$("$tests" --ignored --exact gpu::random_numbers_are_those_of_the_cpu 2>&1); then
        printf '%s\n' "$words" >&2
        die "device \`$device\` does not compute; see the attempt above"
    fi
}

# step NAME LIMIT COMMAND...: runs a command with its output in NAME.txt. A failure is counted, and
# the next step runs.
step() {
    local name=$1 limit=$2 start=$SECONDS
    shift 2
    say "$name"
    if timeout "$limit" "$@" >"$report/$name.txt" 2>&1; then
        say "$name: $((SECONDS - start)) s"
    else
        say "error: $name failed; its log ends with:"
        tail -n 8 "$report/$name.txt" >&2
        failed+=("$name")
    fi
}

# grid NAME FROM SEEDS: makes a grid file for this data set and the available time.
grid() {
    local to=$report/$1.toml iterations=
    sed -e "s/^name = .*/name = \"$1\"/" -e "s/^seed = .*/seed = { count = $3 }/" "$grids/$2" >"$to"
    if [[ -z $data_dir ]]; then
        sed -i 's/^dataset = .*/dataset = "synthetic"/' "$to"
    fi
    if [[ $size == tiny ]]; then
        iterations=$'iterations = 200\nevaluate_every = 100'
        # The table may exist.
        grep -q '^\[classifier\]' "$to" || printf '\n[classifier]\n' >>"$to"
        printf '%s\n\n[vae]\niterations = 200\n' "$iterations" >>"$to"
    fi
}

# sweep NAME FOLDER: runs a sweep with one local worker and measures its time.
sweep() {
    local start
    rm -rf "${report:?}/$2"
    start=$(date +%s.%N)
    # Local workers take the first device that they see, so they see the checked one alone.
    CUDA_VISIBLE_DEVICES=$visible step "$1" 1800 "$coordinator" --grid "$report/$2.toml" --run-dir "$report/$2" --local-workers 1 \
        ${data_dir:+--data-dir "$data_dir"}
    awk -v start="$start" -v end="$(date +%s.%N)" -v run="$2" \
        'BEGIN { printf "{\"run\": \"%s\", \"seconds\": %.2f}\n", run, end - start }' >"$report/$1.json"
}

machine() {
    "$python" - "$report/machine.json" "$("$worker" --version)" <<'PY'
import json, platform, subprocess, sys

def ask(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=60).stdout.strip().splitlines()
    except (OSError, subprocess.SubprocessError):
        return []

cpu = [line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
facts = {
    "gpus": ask("nvidia-smi", "--query-gpu=name,driver_version,memory.total,clocks.max.sm", "--format=csv,noheader"),
    "cpu": f"{len(cpu)} x {cpu[0]}" if cpu else "unknown", "system": platform.platform(),
    "libc": " ".join(platform.libc_ver()), "software": sys.argv[2],
}
with open(sys.argv[1], "w") as file:
    json.dump(facts, file)
PY
}

run() {
    local lanes seconds seeds kind
    failed=()
    if [[ -d $report && ! -f $report/machine.json && -n $(ls "$report") ]]; then
        die "\`$report\` has files that are no report" "name another folder with --report"
    fi
    mkdir -p "$report"
    report=$(cd "$report" && pwd)
    rm -f "$report"/*.txt "$report"/*.json "$report"/*.jsonl
    case $size in
        full) lanes=1,2,4,8,16,32,64,128,256 seconds=5 seeds=10 ;;
        quick) lanes=1,8,64 seconds=1 seeds=3 ;;
        tiny) lanes=1 seconds=0.1 seeds=2 ;;
    esac
    check
    # The cache of earlier runs is removed, above all VAEs and numbers of lanes.
    rm -rf "${report:?}/cache"
    export SWFN_CACHE=$report/cache
    machine

    if [[ $size == tiny ]]; then
        step tests 1800 "$tests" gpu:: --ignored --nocapture --test-threads 1 --skip bench --skip equal_single --skip agree
    else
        step tests 3600 "$tests" gpu:: --ignored --nocapture --test-threads 1 --skip bench
    fi
    SWFN_GPU_BENCH_LANES=$lanes SWFN_GPU_BENCH_OUT=$report/lanes.jsonl \
        step lanes 3600 "$tests" --ignored --nocapture --test-threads 1 gpu::bench

    if [[ $size == tiny ]]; then grid paper paper.toml 1; else grid paper paper.toml 10; fi
    sweep sweep-first paper
    if [[ $size == full ]]; then
        # The sweep runs again with known numbers of lanes and nothing else.
        rm -rf "$SWFN_CACHE/vaes" "$SWFN_CACHE/checkpoints"
        rm -rf "${report:?}/paper-first"
        if [[ -d $report/paper ]]; then mv "$report/paper" "$report/paper-first"; fi
        sed -i 's/"run": "paper"/"run": "paper-first"/' "$report/sweep-first.json"
        sweep sweep-calibrated paper
    fi
    for kind in float32 tf32; do
        grid "precision-$kind" "ablations/precision-$kind.toml" "$seeds"
        sweep "sweep-precision-$kind" "precision-$kind"
    done

    if "$python" -c 'import torch' 2>/dev/null; then
        step pytorch 1800 "$python" -B "$reference/bench.py" --device "$device" --json "$report/pytorch.json" "$seconds"
        step formulations 1800 "$python" -B "$reference/formulations.py" --device "$device" --lanes "$lanes" \
            --json "$report/formulations.json"
    else
        say "\`$python\` has no PyTorch: comparisons are skipped"
    fi

    "$python" -B "$here/gpu_report.py" "$report"
    if ((${#failed[@]} > 0)); then
        die "failed: ${failed[*]}" "read their logs in \`$report\`"
    fi
    say "all passed; the report is in \`$report\`"
}

main() {
    local command=check target=
    size=full data_dir='' report=gpu-report python=python3
    device=${SWFN_GPU_TEST_DEVICE:-cuda:0}
    visible=
    if [[ $device == cuda:* ]]; then
        local index=${device#cuda:} gpus
        IFS=, read -ra gpus <<<"${CUDA_VISIBLE_DEVICES-}"
        visible=${gpus[index]:-$index}
    fi
    while (($# > 0)); do
        case $1 in
            pack)
                command=pack target=${2:-}
                [[ -n $target ]] || die "\`pack\` needs a folder" "see \`gpu-check.sh --help\`"
                shift
                ;;
            run) command=run ;;
            --quick) size=quick ;;
            --tiny) size=tiny ;;
            --data-dir | --report | --python)
                [[ -n ${2:-} ]] || die "\`$1\` needs a value" "see \`gpu-check.sh --help\`"
                case $1 in
                    --data-dir) data_dir=$(cd "$2" && pwd) ;;
                    --report) report=$2 ;;
                    --python) python=$2 ;;
                esac
                shift
                ;;
            --help | -h)
                sed -n '3,/^$/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
                exit 0
                ;;
            *) die "unknown argument \`$1\`" "see \`gpu-check.sh --help\`" ;;
        esac
        shift
    done
    export SWFN_GPU_TEST_DEVICE=$device
    case $command in
        pack) pack "$target" ;;
        run)
            [[ -x $here/bin/gpu-tests ]] || die "\`$here\` is not a packed folder, which \`run\` needs" \
                "make one with \`deploy/gpu-check.sh pack DIR\`, or leave \`run\` out to build here"
            coordinator=$here/bin/swfn-coordinator worker=$here/bin/swfn-worker tests=$here/bin/gpu-tests
            grids=$here/grids reference=$here/reference
            use_libraries_of_python
            run
            ;;
        check)
            build
            grids=$here/../coordinator/grids reference=$here/../tests/reference
            run
            ;;
    esac
}

main "$@"
