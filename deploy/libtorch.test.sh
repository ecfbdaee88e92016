#!/usr/bin/env bash
#
# Tests deploy/libtorch.sh without a network, in seconds. Wheels have a few bytes, and pip, uname,
# df and the like are stand-ins whose answers a test chooses.
#
# usage: deploy/libtorch.test.sh
#
# It needs bash, coreutils, util-linux and a python3 with zipfile. It prints one line for each
# check, and exits with 1 if any failed.

# shellcheck disable=SC2016  # what `check` is given for `eval` is expanded there

set -uo pipefail
export LC_ALL=C   # for the decimal point of times

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
passed=0
failed=0

# The repository's path has spaces, which the script must handle throughout.
repo="$room/a repo"
base=$repo/.libtorch
target=$base/cpu
mkdir -p "$repo/deploy" "$room/index" "$room/bin"
cp "$here/libtorch.sh" "$repo/deploy/libtorch.sh"

# --- stand-ins -----------------------------------------------------------------------------------

for tool in awk bash cat cp cut dirname env flock ln ls mkdir mv readlink rm rmdir sed sh sha256sum \
    sleep sort tail touch tr; do
    ln -s "$(command -v "$tool")" "$room/bin/$tool"
done

# stand_in NAME: a shell script of that name on the test's PATH, read from stdin.
stand_in() {
    { echo '#!/bin/sh'; cat; } >"$room/bin/$1"
    chmod +x "$room/bin/$1"
}

stand_in uname <<'SH'
case $1 in -s) echo "${FAKE_SYSTEM:-Linux}" ;; -m) echo "${FAKE_MACHINE:-x86_64}" ;; esac
SH
stand_in getconf <<'SH'
[ "${FAKE_LIBC:-}" = none ] && exit 1
echo "${FAKE_LIBC:-glibc 2.36}"
SH
stand_in df <<'SH'
echo 'Filesystem 1024-blocks Used Available Capacity Mounted on'
echo "/dev/fake 1 1 ${FAKE_FREE_KB:-99999999} 1% /"
SH
stand_in ldd <<'SH'
[ -n "${FAKE_MISSING:-}" ] && printf '\t%s => not found\n' "$FAKE_MISSING"
printf '\tlibcuda.so.1 => not found\n'
SH
stand_in c++ </dev/null

# pip download logs its arguments and copies from $room/index. With FAKE_PIP=hang it sleeps over the
# second wheel, so that a test can kill it.
export REAL_PYTHON ROOM=$room
REAL_PYTHON=$(python3 -c 'import sys; print(sys.executable)')
stand_in python3 <<'SH'
case "$1 $2 ${3:-}" in
    "-c "*)
        [ "${FAKE_PYTHON:-}" = broken ] && exit 127
        echo "${FAKE_PYTHON:-3.12}" ;;
    "-m pip --version")
        [ "${FAKE_PIP:-}" != none ] ;;
    "-m pip download")
        wanted=$(sed 's/==/-/; s/ .*//' requirement.txt)
        echo "$wanted" >>"$ROOM/pip.calls"
        echo "$*" >>"$ROOM/pip.arguments"
        cat requirement.txt >>"$ROOM/pip.requirements"
        case ${FAKE_PIP:-} in
            fail) echo 'ERROR: the tubes are clogged' >&2; exit 1 ;;
            wrong) cp "$ROOM/index/$wanted"-*.whl fetched/; echo more >>"$(echo fetched/*.whl)"; exit 0 ;;
            hang) case $wanted in nvidia*)
                echo half >"fetched/$wanted.whl"; touch "$ROOM/hangs"; sleep 60 ;; esac ;;
            slow) sleep 0.3 ;;
        esac
        cp "$ROOM/index/$wanted"-*.whl fetched/ ;;
    "-I -c "*)
        echo unpack >>"$ROOM/unpack.calls"
        if [ "${FAKE_UNPACK:-}" = hang ]; then
            mkdir -p "$5/lib"; echo half >"$5/lib/libtorch_cpu.so"; touch "$ROOM/hangs"; sleep 60
        fi
        exec "$REAL_PYTHON" "$@" ;;
    *) echo "stand-in for python3: unexpected: $*" >&2; exit 99 ;;
esac
SH

# --- wheels --------------------------------------------------------------------------------------

readonly TORCH=torch-2.11.0-cp312-cp312-manylinux_2_28_x86_64.whl
readonly CUDART=nvidia_cudart-13.0-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl

"$REAL_PYTHON" - "$room/index/$TORCH" "$room/index/$CUDART" <<'PY'
import sys, zipfile

torch, cudart = sys.argv[1:]
with zipfile.ZipFile(torch, "w") as wheel:
    for path in ["torch/__init__.py", "torch/include/torch/all.h", "torch/LICENSE",
                 "torch/lib/libtorch_cpu.so", "torch/lib/libtorch.so", "torch/lib/libtorch_cuda.so",
                 "torch/lib/libtorch_python.so", "torch-2.11.0.dist-info/licenses/LICENSE",
                 "torch-2.11.0.dist-info/licenses/NOTICE"]:
        wheel.writestr(path, path)
with zipfile.ZipFile(cudart, "w") as wheel:
    for path in ["nvidia/cu13/lib/libcudart.so.13", "nvidia/cu13/include/cuda.h",
                 "nvidia_cudart-13.0.dist-info/licenses/License.txt"]:
        wheel.writestr(path, path)
PY

# row FLAVOUR WHEEL LIBRARY...
row() {
    local hash
    hash=$(sha256sum <"$room/index/$2")
    echo "$1 ${hash%% *} 1000 ${*:2}"
}

{
    row cpu "$TORCH" libtorch_cpu.so
    row cuda "$TORCH" libtorch_cpu.so libtorch.so libtorch_cuda.so
    row all "$CUDART" libcudart.so.13
} >"$room/recipe"
# Another recipe for the same wheels, as after an update of the script.
sed 's/ 1000 / 1001 /' "$room/recipe" >"$room/recipe.new"

# --- helpers -------------------------------------------------------------------------------------

# libtorch NAME=VALUE... ARGUMENT...: runs the script from elsewhere; sets out, err and status.
libtorch() {
    local settings=()
    while [[ ${1:-} == [A-Z]*=* ]]; do
        settings+=("$1")
        shift
    done
    out=$(cd "$room" && env -u LIBTORCH -u CXX -u SWFN_KEEP_WHEELS PATH="$room/bin" \
        ${settings[@]+"${settings[@]}"} "$repo/deploy/libtorch.sh" \
        --recipe "${recipe:-$room/recipe}" "$@" 2>"$room/err")
    status=$?
    err=$(<"$room/err")
}

# start NAME SETTING...: the same in the background, as a process group of its own, which `group`
# names. Its output goes to out.NAME and err.NAME.
start() {
    local name=$1
    shift
    (cd "$room" && exec setsid env -u LIBTORCH -u CXX -u SWFN_KEEP_WHEELS PATH="$room/bin" "$@" \
        "$repo/deploy/libtorch.sh" --recipe "$room/recipe" >"$room/out.$name" 2>"$room/err.$name") &
    group=$!
}

fresh() {
    rm -rf "$base" "$room"/pip.* "$room"/unpack.* "$room/hangs"
}

# check WHAT COMMAND...: one line, by the command's exit status.
check() {
    local what=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
        echo "ok   $what"
    else
        failed=$((failed + 1))
        echo "FAIL $what"
        sed 's/^/     | /' "$room/err" 2>/dev/null
    fi
}

# complete FOLDER: whether a CPU libtorch lies there, whole, and nothing that does not belong.
complete() {
    local folder=$1 path expected
    for path in include/torch/all.h lib/libtorch_cpu.so licenses/torch/LICENSE licenses/torch/NOTICE; do
        expected=torch/$path
        if [[ $path == licenses/* ]]; then
            expected=torch-2.11.0.dist-info/licenses/${path##*/}
        fi
        [[ -f $folder/$path && $(<"$folder/$path") == "$expected" ]] || return 1
    done
    [[ $(<"$folder/lib/libcudart.so.13") == nvidia/cu13/lib/libcudart.so.13 ]] || return 1
    [[ -f $folder/licenses/nvidia_cudart/License.txt && -f $folder/.swfn-stamp ]] || return 1
    [[ $(<"$folder/build-version") == 2.11.0 && $(readlink "$folder/lib/libtorch.so") == libtorch_cpu.so ]] ||
        return 1
    [[ $(ls "$folder/lib") == "libcudart.so.13"$'\n'"libtorch.so"$'\n'"libtorch_cpu.so" ]]
}

# tidy: only the results and the lock are left.
tidy() {
    local path
    for path in "$base"/*; do
        case ${path##*/} in
            cpu | cuda | lock | lock.d) ;;
            *) echo "left over: $path"; return 1 ;;
        esac
    done
}

# made: the last run succeeded and printed nothing but the result's path.
made() {
    [[ $status == 0 && $out == "$target" ]] && complete "$target" && tidy
}

# refused ERROR HINT: the last run failed with these words, in that form, and made nothing.
refused() {
    [[ $status == 1 && -z $out && $err == *"libtorch.sh: error: "*"$1"*$'\n'"hint: "*"$2"* && ! -e $target ]]
}

calls() {
    local count=0
    if [[ -f $room/$1.calls ]]; then
        count=$(grep -c . "$room/$1.calls")
    fi
    [[ $count == "$2" ]]
}

# wait_for FILE: waits up to ten seconds.
wait_for() {
    local i
    for ((i = 0; i < 200; i++)); do
        [[ -e $1 ]] && return
        sleep 0.05
    done
    return 1
}

# kill_all: kills the script and all its children, which cannot clean up.
kill_all() {
    kill -KILL -- "-$group"
    wait "$group" 2>/dev/null
}

# --- making it -----------------------------------------------------------------------------------

fresh
libtorch
check "a first call makes libtorch and prints its path" made
check "each wheel is fetched once" calls pip 2
pinned() {
    grep -q -- "--require-hashes .*--python-version 3.12 --implementation cp --abi cp312 --platform manylinux_2_28_x86_64" \
        "$room/pip.arguments" &&
        grep -q -- "--abi none --platform manylinux2014_x86_64 " "$room/pip.arguments" &&
        grep -qE '^torch==2\.11\.0 --hash=sha256:[0-9a-f]{64}$' "$room/pip.requirements"
}
check "pip is asked for exactly that version, hash and platform" pinned

rm -f "$room"/*.calls
before=$(stat -c %i "$target")
libtorch
untouched() { made && calls pip 0 && calls unpack 0 && [[ $(stat -c %i "$target") == "$before" ]]; }
check "a repeated call changes nothing" untouched
# Processor time is measured, since other work on the machine stretches the wall time.
quick() {
    local i used fastest=1000000 TIMEFORMAT='%3U %3S'
    for i in 1 2 3 4 5; do
        { time libtorch FAKE_PYTHON=broken; } 2>"$room/time"
        used=$(awk '{ print 1000 * ($1 + $2) }' "$room/time")
        fastest=$((used < fastest ? used : fastest))
    done
    [[ $status == 0 ]] && ((fastest < 50))
}
check "a repeated call takes less than 50 ms and no Python" quick

recipe=$room/recipe.new libtorch
check "a changed recipe makes it anew" eval 'made && [[ $(stat -c %i "$target") != "$before" ]]'

fresh
libtorch SWFN_KEEP_WHEELS=1
check "SWFN_KEEP_WHEELS=1 keeps the wheels" test -f "$base/wheels/$TORCH" -a -f "$base/wheels/$CUDART"
rm -f "$room"/pip.calls
recipe=$room/recipe.new libtorch FAKE_PIP=none
check "wheels that are there are not fetched again" eval 'made && calls pip 0'

fresh
libtorch --cuda
cuda_flavour() {
    [[ $status == 0 && $out == "$base/cuda" && $(<"$base/cuda/lib/libtorch.so") == torch/lib/libtorch.so ]] &&
        [[ -f $base/cuda/lib/libtorch_cuda.so && ! -e $base/cuda/lib/libtorch_python.so && ! -e $target ]]
}
check "--cuda makes a folder of its own, with the wheel's libtorch.so" cuda_flavour

fresh
libtorch --dir "else where"
check "--dir says where, from the current folder" \
    eval '[[ $out == "$room/else where/cpu" && ! -e $base ]] && complete "$room/else where/cpu"'

# --- interruptions -------------------------------------------------------------------------------

fresh
start killed FAKE_PIP=hang
wait_for "$room/hangs"
kill_all
check "killed while fetching: nothing is there that could be used" \
    eval '[[ ! -e $target && -n $(ls -d "$base"/work.*) && -f $base/wheels/$TORCH ]]'
rm -f "$room/pip.calls"
libtorch
check "... and the next call goes on with what had arrived" eval 'made && calls pip 1'

fresh
start killed FAKE_UNPACK=hang
wait_for "$room/hangs"
kill_all
check "killed while unpacking: nothing is there that could be used" \
    eval '[[ ! -e $target && -n $(ls "$base"/work.*/new/lib/libtorch_cpu.so) ]]'
libtorch
check "... and the next call succeeds" made

fresh
start killed FAKE_UNPACK=hang
wait_for "$room/hangs"
kill -TERM -- "-$group"
wait "$group"
check "ended by SIGTERM, it cleans up itself" \
    eval '[[ -z $(ls -d "$base"/work.* 2>/dev/null) && ! -e $target && -f $base/wheels/$TORCH ]]'

# Kills the script right before its command number KILL_AT, which bash counts. In turn there is a
# complete libtorch of another recipe, and none.
cat >"$room/kill.bash" <<'SH'
if [[ $0 == */libtorch.sh ]]; then
    set -o functrace
    trap '((++commands_so_far == KILL_AT)) && kill -KILL $$' DEBUG
fi
SH
killed_anywhere() {
    local at rounds=0
    fresh
    libtorch
    cp -a "$base" "$room/old"
    for ((at = 1; ; at += 3)); do
        rm -rf "$base"
        if ((at % 2 == 0)); then
            cp -a "$room/old" "$base"
        fi
        recipe=$room/recipe.new libtorch BASH_ENV="$room/kill.bash" KILL_AT="$at"
        [[ $status == 0 ]] && break
        rounds=$((rounds + 1))
        if [[ $status != 137 ]] || { [[ -e $target ]] && ! complete "$target"; }; then
            echo "     killed before command $at: status $status"
            return 1
        fi
        recipe=$room/recipe.new libtorch
        if ! made; then
            echo "     killed before command $at, the next call fails"
            return 1
        fi
    done
    ((rounds > 10))
}
check "killed anywhere: the result is whole or absent, and the next call succeeds" killed_anywhere

# --- two at once ---------------------------------------------------------------------------------

two_at_once() {
    fresh
    start one FAKE_PIP=slow
    local first=$group
    start two FAKE_PIP=slow
    wait "$first" && wait "$group" || return 1
    [[ $(<"$room/out.one") == "$target" && $(<"$room/out.two") == "$target" ]] || return 1
    [[ $(cat "$room/err.one" "$room/err.two") == *"waiting for it"* ]] && complete "$target" && tidy && calls pip 2
}
check "of two calls at once, one works and the other waits" two_at_once
mv "$room/bin/flock" "$room/flock"
check "the same where flock is missing" two_at_once
dead_holder() {
    fresh
    start killed FAKE_PIP=hang
    wait_for "$room/hangs" && kill_all
    [[ -L $base/lock.d/1 ]] || return 1
    libtorch
    made && [[ -L $base/lock.d/2 && $err != *"waiting"* ]]
}
check "a dead holder of the lock without flock does not hold it" dead_holder
mv "$room/flock" "$room/bin/flock"

# --- what is refused -----------------------------------------------------------------------------

fresh
libtorch FAKE_PIP=wrong
check "a wheel with another hash is refused" refused "is pinned" "PIP_INDEX_URL"
mkdir -p "$base/wheels"
echo junk >"$base/wheels/$TORCH"
libtorch
check "a damaged wheel in the cache is fetched again" made

fresh
libtorch FAKE_PIP=fail
check "pip fails: its own output, and a hint" refused "pip could not fetch \`torch\` 2.11.0" "run this again"
check "... of which the first is pip's" eval '[[ $err == *"the tubes are clogged"*"error:"* ]]'
libtorch FAKE_PIP=none
check "no pip" refused "python3 has no pip" "apt-get install python3-pip"
libtorch FAKE_PYTHON=3.7
check "an old Python" refused "python3 is version \`3.7\`" "newer one first in PATH"
libtorch FAKE_PYTHON=broken
check "a Python that does not run" refused "does not run" "python3 --version"
mv "$room/bin/python3" "$room/python3"
libtorch
check "no Python" refused "python3 is missing" "apt-get install python3"
mv "$room/python3" "$room/bin/python3"
mv "$room/bin/c++" "$room/bin/my-c++"
libtorch
check "no C++ compiler" refused "no C++ compiler" "apt-get install g++"
libtorch CXX="my-c++ -O1"
check "... unless CXX names one" made
mv "$room/bin/my-c++" "$room/bin/c++"
fresh
libtorch FAKE_FREE_KB=400000
check "little free space, with both numbers" refused "409 MB free in \`$base\`; 500 MB are needed" "--dir DIR"
libtorch FAKE_SYSTEM=Darwin FAKE_MACHINE=arm64
check "macOS" refused "for \`Darwin arm64\`" "set LIBTORCH"
libtorch FAKE_MACHINE=aarch64
check "aarch64" refused "for \`Linux aarch64\`" "set LIBTORCH"
libtorch FAKE_LIBC=none
check "musl" refused "not glibc" "set LIBTORCH"
libtorch FAKE_LIBC="glibc 2.17"
check "an old glibc" refused "\`glibc 2.17\`" "set LIBTORCH"
libtorch FAKE_MISSING=libstdc++.so.6
check "a system library that is missing" refused "\`libstdc++.so.6\`" "apt-get install libstdc++6"
libtorch --gpu
check "an unknown argument" refused "\`--gpu\`" "--help"
libtorch --help
check "--help shows the usage" eval '[[ $status == 0 && $out == *"usage: deploy/libtorch.sh"*LIBTORCH* ]]'

# --- a LIBTORCH of the user's own ----------------------------------------------------------------

mine=$room/my\ libtorch
mkdir -p "$mine/lib"
fresh
libtorch LIBTORCH="$mine"
check "LIBTORCH without libtorch_cpu" refused "has no lib/libtorch_cpu.so" "unset it"
touch "$mine/lib/libtorch_cpu.so"
own() { [[ $status == 0 && $out == "$mine" && ! -e $base ]] && calls pip 0; }
libtorch LIBTORCH="$mine" FAKE_PYTHON=broken FAKE_SYSTEM=Darwin
check "LIBTORCH wins, and nothing is done" own
echo 2.11.0+cu130 >"$mine/build-version"
libtorch LIBTORCH="$mine"
check "LIBTORCH of the right version, with a suffix" own
libtorch LIBTORCH="$mine" --cuda
check "LIBTORCH without CUDA where --cuda is asked for: a warning" \
    eval 'own && [[ $err == *"warning: "*libtorch_cuda.so* ]]'
echo 2.10.1 >"$mine/build-version"
libtorch LIBTORCH="$mine"
check "LIBTORCH of another version" refused "is version \`2.10.1\`; 2.11.0 is needed" "unset LIBTORCH"
rm "$mine/build-version"
mv "$mine/lib/libtorch_cpu.so" "$mine/lib/libtorch_cpu.dylib"
libtorch LIBTORCH="$mine" FAKE_SYSTEM=Darwin
check "LIBTORCH on macOS" own
libtorch LIBTORCH="$target"
check "LIBTORCH set to the folder to be made counts as unset" made

# --- the recipe itself ---------------------------------------------------------------------------

well_formed() {
    local rows
    rows=$(sed -n "/^    cat <<'ROWS'/,/^ROWS/p" "$here/libtorch.sh" | sed '1d;$d')
    [[ $(grep -c . <<<"$rows") -ge 16 ]] &&
        ! grep -qvE '^(cpu|cuda|all) [0-9a-f]{64} [1-9][0-9]+ [a-z0-9_]+-[0-9.]+-[a-z0-9]+-(cp312|none)-manylinux[a-z0-9_.]*_x86_64\.whl( [A-Za-z0-9_.-]+\.so[0-9.]*)+$' \
            <<<"$rows"
}
check "each row of the pinned recipe is well formed" well_formed

echo
echo "$passed passed, $failed failed"
[[ $failed == 0 ]]
