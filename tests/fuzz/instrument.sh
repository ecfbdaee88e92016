#!/usr/bin/env bash
#
# Stands in for rustc in fuzzing builds (RUSTC_WRAPPER): the crates that read other people's bytes, ours and a few of others, tell
# libFuzzer which of their branches are taken and what they compare. All else is built as ever, which is faster in both respects; and so
# is what runs while building, which has no libFuzzer: cargo builds that without --target.
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
