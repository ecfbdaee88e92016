# shellcheck shell=bash disable=SC2154
# Common functions for checks of deployments, which source this file and set `topic` and the folder
# `logs`.

say() {
    printf '%s: %s\n' "$topic" "$1" >&2
}

skip() {
    say "skipped: $1"
    exit 0
}

fail() {
    say "FAILED: $1 (logs: $logs)"
    exit 1
}

# check WORDS COMMAND...: counts a check, and ends the script if it fails.
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
        ((SECONDS < end)) || fail "not in time: $words"
        sleep 0.5
    done
}
