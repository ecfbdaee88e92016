#!/usr/bin/env bash
#
# Wraps rustc in fuzzing builds (RUSTC_WRAPPER). Crates that read foreign bytes, ours and a few
# others, report their branches and comparisons to libFuzzer. Other crates are built as usual, which
# is faster. Build scripts have no libFuzzer, and cargo builds them without --target, so they are
# left alone, too.
set -euo pipefail

crate= target=
for ((i = 1; i < $#; i++)); do
    next=$((i + 1))
    case ${!i} in
    --crate-name) crate=${!next} ;;
    --target) target=${!next} ;;
    esac
done

flags=()
case ${target:+$crate} in
swfn_*) flags+=(--cfg fuzzing) ;;&
swfn_* | toml* | serde_spanned | serde_json | prost | flate2 | miniz_oxide | safetensors | http | percent_encoding | base64)
    flags+=(
        -Cpasses=sancov-module
        -Cllvm-args=-sanitizer-coverage-level=4
        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
        -Cllvm-args=-sanitizer-coverage-pc-table
        -Cllvm-args=-sanitizer-coverage-trace-compares
        -Ccodegen-units=1
    )
    ;;
esac

exec "$@" "${flags[@]}"
