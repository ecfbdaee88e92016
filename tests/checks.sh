# shellcheck shell=bash disable=SC2154
# What the checks of deployments have in common; sourced by them. They set `topic` and `logs`, a folder.

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
