#!/usr/bin/env bash
#
# Fuzzes one target with libFuzzer, or keeps its findings.
#
# usage: tests/fuzz/run.sh build core|worker
#        tests/fuzz/run.sh fuzz TARGET [OPTION...]
#        tests/fuzz/run.sh keep TARGET
#
# Options are libFuzzer's: -runs=N, -max_total_time=SECONDS.
#
# `fuzz` ends with the first input that breaks a promise, needs more than 256 MiB at once or 1 GiB
# in all, or takes longer than a minute. That input is written to target/fuzz/found. Inputs that
# reach new code are collected in target/fuzz/corpus. `keep` adds the smallest set of them that
# reaches as much to the corpus in the repository.
set -euo pipefail
cd "$(dirname "$0")/../.."

host=$(rustc -vV | sed -n 's/^host: //p')
corpus=tests/fuzz/corpus
grown=target/fuzz/corpus
found=target/fuzz/found

program_of() {
    case $1 in
    grid | specification) echo shared ;;
    hello | worker-message | conversation | http) echo coordinator ;;
    session) echo session ;;
    idx | gzip | checkpoint | vae | lanes | devices) echo worker ;;
    *)
        echo "error: target \`$1\` is unknown" >&2
        echo "hint: use one of $(ls $corpus | tr '\n' ' ')" >&2
        exit 1
        ;;
    esac
}

case ${1-} in
build)
    features=${2/core/shared,coordinator,session}
    RUSTC_WRAPPER=$PWD/tests/fuzz/instrument.sh ${CARGO:-cargo} build --locked --profile fuzz --target "$host" \
        --target-dir target/fuzz --package swfn-fuzz --features "$features"
    ;;
fuzz | keep)
    target=$2
    program=$(program_of "$target")
    if [[ $program == worker ]]; then export LD_LIBRARY_PATH=${LIBTORCH:-$(deploy/libtorch.sh)}/lib; fi
    run=(env "SWFN_FUZZ_TARGET=$target" "target/fuzz/$host/fuzz/swfn-fuzz-$program")
    mkdir -p "$grown/$target" "$found" "$corpus/$target"
    if [[ $1 == keep ]]; then
        "${run[@]}" -set_cover_merge=1 -use_counters=0 "$corpus/$target" "$grown/$target" 2>&1 | tail -n 1
        exit
    fi
    dictionary=tests/fuzz/dictionaries/$target.dict
    if [[ -e $dictionary ]]; then run+=("-dict=$dictionary"); fi
    # Short inputs are tried at ten thousand a second, and reach the same code as longer ones.
    case $target in
    devices) most=64 ;;
    gzip) most=256 ;;
    idx | http) most=512 ;;
    vae) most=1024 ;;
    *) most=4096 ;;
    esac
    log=target/fuzz/$target.log
    echo "fuzzing \`$target\`" >&2
    status=0
    "${run[@]}" "$grown/$target" "$corpus/$target" -max_len=$most -timeout=60 -rss_limit_mb=1024 -malloc_limit_mb=256 \
        "-artifact_prefix=$found/$target-" -print_final_stats=1 "${@:3}" >"$log" 2>&1 || status=$?
    # 72 means that the user interrupted it.
    if ((status != 0 && status != 72)); then
        tail -n 60 "$log" >&2
        echo "error: target \`$target\` breaks a promise" >&2
        echo "hint: see the input in $found and the output in $log" >&2
        exit 1
    fi
    grep -E '^(Done|stat::(average|peak|slowest))' "$log"
    ;;
*)
    sed -n '3,9s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
