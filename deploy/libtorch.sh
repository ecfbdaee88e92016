#!/usr/bin/env bash
#
# Puts libtorch 2.11.0 together from pinned Python wheels, for `tch` to link against.
#
# usage: deploy/libtorch.sh [--cuda] [--dir DIR]
#
#   --cuda      with CUDA 13.0 (2.5 GB to fetch) instead of CPU only (0.5 GB)
#   --dir DIR   the folder to work in, instead of .libtorch in the repository
#   --help      print this
#
# The result lies in DIR/cpu or DIR/cuda, and its path is the last line on stdout; all else goes to
# stderr. A call that finds the result complete returns at once. A call that was cut off, however
# hard, leaves nothing half done behind, and the next one goes on with the wheels that had arrived.
#
# Layout of the result, as torch-sys expects it:
#   include/        C++ headers
#   lib/            the shared libraries, flat: each finds the others beside itself
#   licenses/       one folder for each wheel that something was taken from
#   build-version   2.11.0
#   .swfn-stamp     hash of the recipe that made it
#
# environment:
#   LIBTORCH            a libtorch of your own: it is checked, printed, and nothing is fetched
#   SWFN_KEEP_WHEELS=1  keep the fetched wheels in DIR/wheels
#   CXX                 the C++ compiler, where it is neither `c++` nor `g++`
#   PIP_INDEX_URL, PIP_CERT, ... are pip's own, as are its cache and configuration files

set -euo pipefail

readonly SCRIPT_VERSION=1       # raise it when the layout of the result changes
readonly TORCH_VERSION=2.11.0   # the only one that tch 0.24 binds

# One row for each wheel: flavour (cpu, cuda or all), sha256, size in bytes, file name, and the
# shared libraries taken from it. Wheels for CPython 3.12 whatever Python runs here: no Python code
# in them is used.
#
# libtorch_cpu.so of this build needs libcudart and libcupti even where there is no GPU. Left out of
# the CUDA flavour is what only Python, profilers or clusters of machines load: libtorch_python,
# libnvperf*, cuFile's RDMA, NVSHMEM's transports, nvtx, cusolverMg, cufftw, nvblas.
recipe() {
    cat <<'ROWS'
cpu 0f68f4ac6d95d12e896c3b7a912b5871619542ec54d3649cf48cc1edd4dd2756 530712279 torch-2.11.0-cp312-cp312-manylinux_2_28_x86_64.whl libtorch_cpu.so libc10.so libgomp.so.1
cuda 0f68f4ac6d95d12e896c3b7a912b5871619542ec54d3649cf48cc1edd4dd2756 530712279 torch-2.11.0-cp312-cp312-manylinux_2_28_x86_64.whl libtorch_cpu.so libc10.so libgomp.so.1 libtorch.so libtorch_cuda.so libtorch_cuda_linalg.so libtorch_nvshmem.so libc10_cuda.so libcaffe2_nvrtc.so
all 7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548 2243632 nvidia_cuda_runtime-13.0.96-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl libcudart.so.13
all 4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8 10715597 nvidia_cuda_cupti-13.0.85-py3-none-manylinux_2_25_x86_64.whl libcupti.so.13
cuda ee8722c1f0145ab246bccb9e452153b5e0515fd094c3678df50b2a0888b8b171 423133236 nvidia_cublas-13.1.0.3-py3-none-manylinux_2_27_x86_64.whl libcublas.so.13 libcublasLt.so.13
cuda ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575 90215200 nvidia_cuda_nvrtc-13.0.88-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl libnvrtc.so.13 libnvrtc-builtins.so.13.0
cuda d20e1734305e9d68889a96e3f35094d733ff1f83932ebe462753973e53a572bf 366066321 nvidia_cudnn_cu13-9.19.0.56-py3-none-manylinux_2_27_x86_64.whl libcudnn.so.9 libcudnn_adv.so.9 libcudnn_cnn.so.9 libcudnn_engines_precompiled.so.9 libcudnn_engines_runtime_compiled.so.9 libcudnn_graph.so.9 libcudnn_heuristic.so.9 libcudnn_ops.so.9
cuda 6c44f692dce8fd5ffd3e3df134b6cdb9c2f72d99cf40b62c32dde45eea9ddad3 214085489 nvidia_cufft-12.0.0.61-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl libcufft.so.12
cuda 08a3ecefae5a01c7f5117351c64f17c7c62efa5fffdbe24fc7d298da19cd0b44 1223672 nvidia_cufile-1.15.1.6-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl libcufile.so.0
cuda 1aee33a5da6e1db083fe2b90082def8915f30f3248d5896bcec36a579d941bfc 59544258 nvidia_curand-10.4.0.35-py3-none-manylinux_2_27_x86_64.whl libcurand.so.10
cuda 0a759da5dea5c0ea10fd307de75cdeb59e7ea4fcb8add0924859b944babf1112 200941980 nvidia_cusolver-12.0.4.66-py3-none-manylinux_2_27_x86_64.whl libcusolver.so.12
cuda 2b3c89c88d01ee0e477cb7f82ef60a11a4bcd57b6b87c33f789350b59759360b 145942937 nvidia_cusparse-12.6.3.3-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl libcusparse.so.12
cuda 25e30a8a7323935d4ad0340b95a0b69926eee755767e8e0b1cf8dd85b197d3fd 169884119 nvidia_cusparselt_cu13-0.8.0-py3-none-manylinux2014_x86_64.whl libcusparseLt.so.0
cuda e4553a30f34195f3fa1da02a6da3d6337d28f2003943aa0a3d247bbc25fefc42 196493177 nvidia_nccl_cu13-2.28.9-py3-none-manylinux_2_18_x86_64.whl libnccl.so.2
cuda 13a74f429e23b921c1109976abefacc69835f2f433ebd323d3946e11d804e47b 40713933 nvidia_nvjitlink-13.0.88-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl libnvJitLink.so.13
cuda 290f0a2ee94c9f3687a02502f3b9299a9f9fe826e6d0287ee18482e78d495b80 60412546 nvidia_nvshmem_cu13-3.4.5-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl libnvshmem_host.so.3
ROWS
}

say() {
    printf 'libtorch.sh: %s\n' "$1" >&2
}

# die ERROR HINT...
die() {
    say "error: $1"
    shift
    printf 'hint: %s\n' "$@" >&2
    exit 1
}

megabytes() {
    printf '%d MB' $(($1 / 1000000))
}

# sha256_of FILE
sha256_of() {
    local hash
    # From stdin, since sha256sum escapes odd file names in its output.
    hash=$(sha256sum <"$1")
    printf '%s' "${hash%% *}"
}

# use_libtorch_of_the_user: checks a LIBTORCH that the user set, prints it and exits.
use_libtorch_of_the_user() {
    local own version
    for own in "$base/cpu" "$base/cuda"; do
        # If LIBTORCH is a folder that this script makes (from .cargo/config.toml or an earlier
        # call), it only names the place of the result.
        if [[ ${LIBTORCH%/} == "$own" || $LIBTORCH -ef $own ]]; then
            return
        fi
    done
    if [[ ! -e $LIBTORCH/lib/libtorch_cpu.so && ! -e $LIBTORCH/lib/libtorch_cpu.dylib ]]; then
        die "LIBTORCH is \`$LIBTORCH\`, which has no lib/libtorch_cpu.so" \
            "set LIBTORCH to the folder that has include/ and lib/ in it, or unset it to have one made"
    fi
    if [[ -f $LIBTORCH/build-version ]]; then
        version=$(<"$LIBTORCH/build-version")
        if [[ $version != "$TORCH_VERSION" && $version != "$TORCH_VERSION"[!0-9]* ]]; then
            die "LIBTORCH is \`$LIBTORCH\`, which is version \`$version\`; $TORCH_VERSION is needed" \
                "install libtorch $TORCH_VERSION, or unset LIBTORCH to have one made"
        fi
    fi
    if [[ $flavour == cuda && ! -e $LIBTORCH/lib/libtorch_cuda.so ]]; then
        say "warning: --cuda is given, but LIBTORCH \`$LIBTORCH\` has no lib/libtorch_cuda.so"
    fi
    printf '%s\n' "$LIBTORCH"
    exit 0
}

check_platform() {
    local system machine libc own_build
    own_build="install libtorch $TORCH_VERSION (C++11 ABI) yourself and set LIBTORCH to its folder"
    system=$(uname -s)
    machine=$(uname -m)
    if [[ $system != Linux || $machine != x86_64 ]]; then
        die "no libtorch wheels are pinned for \`$system $machine\`, only for Linux x86_64" "$own_build"
    fi
    # getconf knows this name with glibc only.
    libc=$(getconf GNU_LIBC_VERSION 2>/dev/null || true)
    if [[ $libc != "glibc "* ]]; then
        die "the C library here is not glibc (musl?); the libtorch wheels need glibc 2.28 or newer" \
            "use a distribution with glibc, such as Debian or Ubuntu" "or $own_build"
    fi
    if ! version_at_least "${libc#glibc }" 2 28; then
        die "the C library here is \`$libc\`; the libtorch wheels need glibc 2.28 or newer" \
            "use a newer distribution (Debian 10, Ubuntu 18.10, RHEL 8 or later)" "or $own_build"
    fi
}

# version_at_least VERSION MAJOR MINOR
version_at_least() {
    local major minor
    IFS=. read -r major minor _ <<<"$1"
    minor=${minor%%[!0-9]*}
    ((major > $2 || (major == $2 && ${minor:-0} >= $3)))
}

# check_compiler: only cargo needs it, but its absence should show before the download.
check_compiler() {
    local compiler
    for compiler in ${CXX:+"${CXX%% *}"} c++ g++; do
        if command -v "$compiler" >/dev/null; then
            return
        fi
    done
    die "no C++ compiler: neither c++ nor g++ is installed${CXX:+, nor CXX=\`$CXX\`}" \
        "tch compiles C++: install one, e.g. \`apt-get install g++\` or \`dnf install gcc-c++\`"
}

check_python() {
    local version
    if ! command -v python3 >/dev/null; then
        die "python3 is missing" "install it, e.g. \`apt-get install python3 python3-pip\`; 3.8 or newer will do"
    fi
    # The syntax is also valid for Python 2, so that any Python can print its version.
    if ! version=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null); then
        die "\`$(command -v python3)\` does not run" \
            "try \`python3 --version\`, or put a working Python 3.8 or newer first in PATH"
    fi
    if ! version_at_least "$version" 3 8; then
        die "python3 is version \`$version\`; 3.8 or newer is needed" \
            "put a newer one first in PATH, e.g. in a virtual environment"
    fi
}

check_pip() {
    if ! python3 -m pip --version >/dev/null 2>&1; then
        die "python3 has no pip (\`python3 -m pip\` fails)" \
            "install it, e.g. \`apt-get install python3-pip\` or \`python3 -m ensurepip\`"
    fi
}

# check_space BYTES
check_space() {
    local free
    # -P: one line for each file system, however long its name.
    free=$(df -Pk "$base" | tail -n 1 | awk '{ print $4 }')
    free=$((free * 1024))
    if ((free < $1)); then
        die "$(megabytes "$free") free in \`$base\`; $(megabytes "$1") are needed while working" \
            "make room, or give a folder on another disk with --dir DIR"
    fi
}

# lock: ensures that only one call works in $base. The lock ends with the process, however that
# ends.
lock() {
    if command -v flock >/dev/null; then
        # Python and pip inherit the descriptor. If only this shell is killed, they keep the lock,
        # and no other call removes their folders.
        exec 9>"$base/lock"
        if ! flock -n 9; then
            say "another call is at work in \`$base\`; waiting for it"
            flock 9
        fi
    else
        lock_by_tickets
    fi
}

# lock_by_tickets: the lock where flock is missing. Each call that gets it leaves a ticket in
# lock.d: a symlink named by the next number, which contains the process. A symlink is made with its
# contents in one step, and only one of two calls can make it. The process with the highest ticket
# holds the lock while it lives. Tickets are never removed: a slow call could otherwise take a
# number twice.
lock_by_tickets() {
    local tickets=$base/lock.d last holder said=
    mkdir -p "$tickets"
    while true; do
        last=0
        while [[ -L $tickets/$((last + 1)) ]]; do
            last=$((last + 1))
        done
        holder=$(readlink "$tickets/$last" || true)
        if [[ -n $holder && $(process "${holder%%.*}") == "$holder" ]]; then
            if [[ -z $said ]]; then
                say "another call is at work in \`$base\`; waiting for it"
                said=1
            fi
            sleep 0.2
        elif ln -s "$(process $$)" "$tickets/$((last + 1))" 2>/dev/null; then
            return
        fi
    done
}

# process: names a process uniquely by its number and its start time, since numbers are used again.
process() {
    local stat fields
    if { read -r stat <"/proc/$1/stat"; } 2>/dev/null; then
        # The second field, the command's name in parentheses, may contain anything.
        read -r -a fields <<<"${stat##*) }"
        printf '%s.%s' "$1" "${fields[19]}"
    fi
}

# fetch SHA256 WHEEL: brings it into $wheels.
fetch() {
    local sha256=$1 wheel=$2 name version abi platform actual
    # NAME-VERSION-PYTHON-ABI-PLATFORM.whl. One of a platform's several names is enough.
    IFS=- read -r name version _ abi platform <<<"${wheel%.whl}"
    platform=${platform%%.*}
    mkdir -p "$work/fetched"
    printf '%s==%s --hash=sha256:%s\n' "$name" "$version" "$sha256" >"$work/requirement.txt"
    # Each wheel is fetched alone, with exactly its own tags. So a pip that does not know newer
    # platforms works, too, and a failure loses no earlier wheel. pip's temporary files lie beside
    # the result, since /tmp may be small.
    if ! (
        cd "$work"
        TMPDIR=$work python3 -m pip download --no-deps --only-binary=:all: --require-hashes \
            --python-version 3.12 --implementation cp --abi "$abi" --platform "$platform" \
            --disable-pip-version-check --dest fetched -r requirement.txt >&2 2>pip.log
    ); then
        tail -n 15 "$work/pip.log" >&2
        die "pip could not fetch \`$name\` $version; see its output above" \
            "check the network and run this again: fetched wheels are kept" \
            "behind a proxy or with a mirror of the package index, set PIP_INDEX_URL (and PIP_CERT)" \
            "or install libtorch $TORCH_VERSION yourself and set LIBTORCH to its folder"
    fi
    actual=$(sha256_of "$work/fetched/$wheel")
    if [[ $actual != "$sha256" ]]; then
        die "\`$wheel\` has sha256 \`$actual\`; \`$sha256\` is pinned" \
            "the index or mirror serves another file: set PIP_INDEX_URL to one that you trust"
    fi
    mkdir -p "$wheels"
    mv "$work/fetched/$wheel" "$wheels/$wheel"
}

# Reads rows WHEEL LIBRARY... from stdin, and unpacks the needed files of each wheel in folder
# argv[1] into the folder argv[2].
# shellcheck disable=SC2016  # the backticks are Python's
readonly UNPACK='
import os, posixpath, shutil, sys, zipfile

wheels, out = sys.argv[1:]
for row in sys.stdin:
    wheel, *libraries = row.split()
    name = wheel.split("-")[0]
    missing = set(libraries)
    with zipfile.ZipFile(os.path.join(wheels, wheel)) as archive:
        for entry in archive.infolist():
            path = entry.filename
            folder, file = posixpath.split(path)
            if not file:
                continue
            if path.startswith("torch/include/"):
                target = path[len("torch/"):]
            elif posixpath.basename(folder) == "lib" and file in libraries:
                target = "lib/" + file
                missing.discard(file)
            elif file.split(".")[0].upper() in ("LICENSE", "NOTICE") and not path.startswith("torch/"):
                target = "licenses/%s/%s" % (name, file)
            else:
                continue
            target = os.path.join(out, target)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with archive.open(entry) as source, open(target, "wb") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)
    if missing:
        sys.exit("`%s` has no %s" % (wheel, ", ".join(sorted(missing))))
'

# unpack OUT
unpack() {
    local wheel libraries
    while read -r _ _ wheel libraries; do
        printf '%s %s\n' "$wheel" "$libraries"
    done <<<"$rows" | python3 -I -c "$UNPACK" "$wheels" "$1" ||
        die "the wheels in \`$wheels\` could not be unpacked; see Python's output above" \
            "delete that folder and run this again"
    if [[ $flavour == cpu ]]; then
        # The wheel's own libtorch.so is empty and loads the CUDA libraries.
        ln -s libtorch_cpu.so "$1/lib/libtorch.so"
    fi
    printf '%s\n' "$TORCH_VERSION" >"$1/build-version"
}

# check_loads FOLDER: whether the loader finds all dependencies of the libraries in it.
check_loads() {
    local missing
    if ! command -v ldd >/dev/null; then
        return
    fi
    # libcuda comes with the driver, which the building machine may not have.
    missing=$(env -u LD_LIBRARY_PATH ldd "$1"/lib/*.so* 2>/dev/null |
        awk '/not found/ && $1 != "libcuda.so.1" { print $1 }' | sort -u | tr '\n' ' ' || true)
    if [[ -n $missing ]]; then
        die "the system lacks libraries that libtorch needs: \`${missing% }\`" \
            "install them, e.g. \`apt-get install libstdc++6 zlib1g\`, and run this again"
    fi
}

# finished: whether this very recipe has made the result.
finished() {
    [[ -f $target/.swfn-stamp && $(<"$target/.swfn-stamp") == "$recipe_hash" ]]
}

# make: makes the result in $work and renames it into place.
make() {
    local sha256 bytes wheel missing=0 largest=0 row
    local to_fetch=()

    check_compiler
    check_python

    # These folders are from killed calls.
    rm -rf "$base"/work.*
    work=$base/work.$flavour.$$
    trap 'rm -rf "$work"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    mkdir "$work"

    while read -r sha256 bytes wheel _; do
        if [[ ! -f $wheels/$wheel || $(sha256_of "$wheels/$wheel") != "$sha256" ]]; then
            to_fetch+=("$sha256 $bytes $wheel")
            missing=$((missing + bytes))
            largest=$((bytes > largest ? bytes : largest))
        fi
    done <<<"$rows"

    # For a moment pip holds a wheel twice. Unpacked sizes are measured and rounded up.
    local unpacked=500000000
    if [[ $flavour == cuda ]]; then
        unpacked=3600000000
    fi
    check_space $((missing + largest + unpacked))

    if ((missing > 0)); then
        check_pip
        for row in "${to_fetch[@]}"; do
            read -r sha256 bytes wheel <<<"$row"
            say "fetching $wheel ($(megabytes "$bytes"))"
            fetch "$sha256" "$wheel"
        done
    fi

    say "unpacking into \`$target\`"
    unpack "$work/new"
    check_loads "$work/new"
    printf '%s\n' "$recipe_hash" >"$work/new/.swfn-stamp"
    if [[ -e $target || -L $target ]]; then
        mv "$target" "$work/old"
    fi
    mv "$work/new" "$target"
}

# drop_wheels: deletes this recipe's wheels, and their folder unless it has wheels of the other
# flavour.
drop_wheels() {
    local wheel
    if [[ ${SWFN_KEEP_WHEELS:-} != 1 ]]; then
        while read -r _ _ wheel _; do
            rm -f "$wheels/$wheel"
        done <<<"$rows"
        rmdir "$wheels" 2>/dev/null || true
    fi
}

main() {
    flavour=cpu
    base=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/.libtorch
    local recipe_file=
    while (($# > 0)); do
        case $1 in
            --cuda) flavour=cuda ;;
            --dir | --recipe)
                if [[ -z ${2:-} ]]; then
                    die "\`$1\` needs a value" "see \`libtorch.sh --help\`"
                fi
                if [[ $1 == --dir ]]; then
                    base=${2%/}
                else
                    recipe_file=$2   # for the test of this script only
                fi
                shift
                ;;
            --help | -h)
                sed -n '3,/^$/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
                exit 0
                ;;
            *) die "unknown argument \`$1\`" "see \`libtorch.sh --help\`" ;;
        esac
        shift
    done
    if [[ $base != /* ]]; then
        base=$PWD/$base
    fi
    target=$base/$flavour
    wheels=$base/wheels

    if [[ -n ${LIBTORCH:-} ]]; then
        use_libtorch_of_the_user
    fi

    # The platform is checked first, so that an unsupported system hears of it before it misses a
    # tool.
    check_platform

    rows=$({ if [[ -n $recipe_file ]]; then cat "$recipe_file"; else recipe; fi; } |
        sed -n "s/^\(all\|$flavour\) //p")
    recipe_hash=$(printf '%s\n' "$SCRIPT_VERSION" "$flavour" "$rows" | sha256sum)
    recipe_hash=${recipe_hash%% *}

    # A call that was killed after its last step has left its folder and wheels, which are removed
    # here.
    if ! finished || compgen -G "$base/work.$flavour.*" >/dev/null; then
        if ! mkdir -p "$base" || [[ ! -w $base ]]; then
            die "cannot write to the folder \`$base\`" "make it writable, or give another with --dir DIR"
        fi
        lock
        # The call that held the lock may have made the result.
        if ! finished; then
            make
        fi
        drop_wheels
        rm -rf "$base"/work.*
    fi
    printf '%s\n' "$target"
}

main "$@"
