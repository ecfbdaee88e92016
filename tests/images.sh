#!/usr/bin/env bash
#
# Builds the images and runs them: a sweep in two containers with minimal rights, and one of the
# pods of deploy/k8s/overlays/local-cpu.
#
# usage: tests/images.sh [--cuda] [--twice]
#
#   --cuda    build the CUDA target, too (2.5 GB to fetch)
#   --twice   build the coordinator a second time, from nothing, and compare the two images
#
# It needs root on Linux with buildah, podman and runc; apt-get installs what is missing. No engine
# runs, and no registry of images is used. A base from debootstrap gets the name of the real one,
# and this machine's Rust that of Rust's image. Where this fails, it says so and exits with 0.
#
# Everything lies in target/images, including the bases: remove that folder to begin anew.
# STORAGE_DRIVER=vfs forces that driver even where overlays can be mounted.

set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && git rev-parse --show-toplevel)
cd "$root"
work=$root/target/images
logs=$work
readonly topic=images
# shellcheck source=tests/checks.sh
source tests/checks.sh
readonly SUITE=bookworm
# The first package validates bills of materials, the second reads manifests.
readonly PACKAGES=('cyclonedx-python-lib[json-validation]==11.12.0' 'PyYAML==6.0.3')
# The tags come from the pins.
rust_tag=$(sed -n 's/^RUST_TAG=//p' deploy/images/pins)
debian_tag=$(sed -n 's/^DEBIAN_TAG=//p' deploy/images/pins)

# storage_driver: overlays take a third of the space, but cannot be mounted everywhere.
storage_driver() {
    local try driver=vfs
    try=$(mktemp --directory "$work/overlay.XXXXXX")
    mkdir "$try"/{lower,upper,work,merged}
    if mount -t overlay overlay -o "lowerdir=$try/lower,upperdir=$try/upper,workdir=$try/work" "$try/merged" 2>/dev/null; then
        umount "$try/merged"
        driver=overlay
    fi
    rm -rf "$try"
    printf '%s' "$driver"
}

# settings: makes a separate storage and configuration, without systemd or networks.
settings() {
    export BUILDAH_ISOLATION=chroot
    STORAGE_DRIVER=${STORAGE_DRIVER:-$(storage_driver)}
    export STORAGE_DRIVER
    export DISABLE_HC_SYSTEMD=true
    export CONTAINERS_CONF=$work/containers.conf
    export CONTAINERS_STORAGE_CONF=$work/storage.conf
    export TMPDIR=$work/tmp
    mkdir -p "$work/tmp"
    cat >"$CONTAINERS_STORAGE_CONF" <<CONF
[storage]
driver = "$STORAGE_DRIVER"
graphroot = "$work/storage-$STORAGE_DRIVER"
runroot = "$work/run"
CONF
    cat >"$CONTAINERS_CONF" <<'CONF'
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
cgroup_manager = "cgroupfs"
runtime = "runc"
events_logger = "file"
CONF
}

tools() {
    local missing=() program
    [[ $(uname -s) == Linux ]] || skip "the system is not Linux"
    [[ $(id -u) == 0 ]] || skip "root is needed, for chroots and namespaces"
    for program in buildah podman runc debootstrap; do
        command -v "$program" >/dev/null || missing+=("$program")
    done
    if ((${#missing[@]} > 0)); then
        command -v apt-get >/dev/null || skip "missing: ${missing[*]}"
        say "installing ${missing[*]}"
        { apt-get update -qq &&
            DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" catatonit; } \
            >/dev/null 2>"$work/apt.log" || skip "missing, and apt-get cannot install: ${missing[*]} (see $work/apt.log)"
    fi
    local free needed=8
    [[ $STORAGE_DRIVER == overlay ]] || needed=24
    [[ -z $cuda ]] || needed=$((needed + 20))
    free=$(df -Pk "$work" | awk 'END { print int($4 / 1048576) }')
    # Existing bases already use their part of the space.
    ((free >= needed)) || exists "rust:$rust_tag" ||
        skip "$free GiB free in $work, $needed are needed with storage driver $STORAGE_DRIVER"
    command -v cargo >/dev/null || skip "cargo is missing"
}

exists() {
    buildah inspect --type image "$1" >/dev/null 2>&1
}

# make_debian: makes the base and names it like Debian's.
make_debian() {
    exists "debian:$debian_tag" && return
    local tree=$work/$SUITE container
    rm -rf "$tree"
    say "debootstrap $SUITE"
    debootstrap --variant=minbase "$SUITE" "$tree" >"$work/debootstrap.log" 2>&1 ||
        skip "debootstrap cannot fetch $SUITE (see $work/debootstrap.log)"
    # An engine makes its own devices.
    rm -rf "$tree"/var/cache/apt/archives/*.deb "${tree:?}"/dev/*
    container=$(buildah from scratch)
    buildah add --quiet "$container" "$tree" / >/dev/null
    buildah config --cmd /bin/sh "$container"
    rm -rf "$tree"
    keep "$container" "debian:$debian_tag"
}

# make_rust: makes the compilers' image from this machine's Rust, with the name and the paths of
# Rust's image.
make_rust() {
    exists "rust:$rust_tag" && return
    local container sysroot packages=(ca-certificates g++ libc6-dev make python3 python3-pip)
    sysroot=$(rustc --print sysroot)
    container=$(buildah from --pull-never "debian:$debian_tag")
    say "installing ${packages[*]} in it"
    buildah run "$container" -- sh -c "apt-get update -qq && \
        DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends ${packages[*]} && \
        rm -rf /var/cache/apt/archives/*.deb /var/lib/apt/lists/*" >"$work/compilers.log" 2>&1 ||
        skip "apt-get cannot install compilers in the base (see $work/compilers.log)"
    buildah add --quiet "$container" "$sysroot/bin" /usr/local/rust/bin >/dev/null
    buildah add --quiet "$container" "$sysroot/lib" /usr/local/rust/lib >/dev/null
    buildah config --env PATH=/usr/local/rust/bin:/usr/sbin:/usr/bin:/sbin:/bin --env CARGO_HOME=/usr/local/cargo "$container"
    keep "$container" "rust:$rust_tag"
}

# keep CONTAINER IMAGE
keep() {
    buildah commit --quiet --format docker --timestamp 0 --rm "$1" "$2" >/dev/null
}

# build_images: builds the images from this machine's crates and libtorch, without downloads.
build_images() {
    local cargo_home=${CARGO_HOME:-$HOME/.cargo} images=(coordinator worker-cpu) flavours=(cpu)
    if [[ -n $cuda ]]; then
        images+=(worker-cuda)
        flavours+=(cuda)
    fi
    cargo fetch --locked --quiet --target "$(rustc -vV | sed -n 's/^host: //p')"
    local flavour option
    for flavour in "${flavours[@]}"; do
        option=()
        [[ $flavour == cpu ]] || option=(--cuda)
        # The folder is mounted below, so LIBTORCH is ignored.
        env -u LIBTORCH deploy/libtorch.sh "${option[@]}" >/dev/null
    done
    # Layers are off, because vfs keeps a whole copy of each. The bases made here have other digests
    # than the pinned ones.
    offline=(--pull-never --layers=false --build-arg CARGO_NET_OFFLINE=true --build-arg RUST_DIGEST= --build-arg DEBIAN_DIGEST=
        --volume "$cargo_home/registry:/usr/local/cargo/registry:ro" --volume "$root/.libtorch:/libtorch:ro")
    deploy/images/build.sh --engine buildah "${images[@]}" -- "${offline[@]}" >"$work/names"
}

# inspect IMAGE TEMPLATE
inspect() {
    podman image inspect --format "$2" "$1"
}

# in_image IMAGE COMMAND...: runs a command without any rights.
in_image() {
    local image=$1 program=$2
    shift 2
    podman run --rm "${confined[@]}" --network none --entrypoint "$program" "$image" "$@"
}

# make_python: makes a Python with the packages, if pip can fetch them.
make_python() {
    python=$work/venv/bin/python
    [[ -x $python ]] && "$python" -c 'import cyclonedx.validation.json, yaml' 2>/dev/null && return
    say "installing ${PACKAGES[*]}"
    rm -rf "$work/venv"
    if ! { python3 -m venv "$work/venv" && "$python" -m pip install --quiet "${PACKAGES[@]}"; } >"$work/pip.log" 2>&1; then
        say "note: pip cannot install ${PACKAGES[*]} (see $work/pip.log)"
        say "note: bills of materials are not validated, and no overlay runs"
        python=
    fi
}

# valid FILE: whether a file matches the strict schema of CycloneDX 1.6.
valid() {
    "$python" -c 'import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(sys.argv[1]).read())
sys.exit(error and repr(error)[:2000])' "$1"
}

# faulty_is_found: a file without versions is invalid, which shows that the validator works.
faulty_is_found() {
    sed 's/"specVersion"/"specificationVersion"/' "$1" >"$work/faulty.cdx.json"
    ! valid "$work/faulty.cdx.json" 2>/dev/null
}

# bill: checks that the bill names the required packages and no forbidden ones.
bill() {
    local file=$1 wanted=$2 unwanted=$3
    python3 -c 'import json, sys
bill = json.load(sys.stdin)
names = {component["name"] for component in bill["components"]}
assert sys.argv[1] in names and sys.argv[2] not in names and len(names) > 100, len(names)' "$wanted" "$unwanted" <"$file"
}

# owned IMAGE FOLDER...: whether exactly these folders belong to the user of the programs.
owned() {
    local image=$1
    shift
    [[ $(in_image "$image" find / -xdev -user 10001 2>/dev/null | sort | tr '\n' ' ') == "$* " ]]
}

look_at_images() {
    local image revision label folders wanted unwanted file=$work/sbom.cdx.json
    revision=$(git rev-parse --short=12 HEAD)
    while read -r image; do
        if [[ $image == *coordinator* ]]; then
            folders=(/etc/swfn /etc/swfn/pki /var/lib/swfn) wanted=rusqlite unwanted=torch
        else
            folders=(/etc/swfn /etc/swfn/pki /var/cache/swfn) wanted=torch unwanted=rusqlite
        fi
        check "$image is not root's" [ "$(inspect "$image" '{{.Config.User}}')" = 10001:10001 ]
        for label in title description licenses version created base.name; do
            check "$image has the label $label" [ -n "$(inspect "$image" "{{index .Config.Labels \"org.opencontainers.image.$label\"}}")" ]
        done
        check "$image is labelled with its revision" \
            grep -q "^$revision" <<<"$(inspect "$image" '{{index .Config.Labels "org.opencontainers.image.revision"}}')"
        check "$image has a health check" grep -q swfn-health <<<"$(podman image inspect "$image")"
        check "$image has folders to write to, and owns nothing else" owned "$image" "${folders[@]}"
        check "$image lacks no library" bash -c '! grep -q "not found"' <<<"$(in_image "$image" sh -c 'ldd /opt/swfn/bin/swfn-[cw]o*' 2>&1)"
        in_image "$image" cat /opt/swfn/sbom.cdx.json >"$file"
        check "$image has a bill of materials with $wanted, without $unwanted" bill "$file" "$wanted" "$unwanted"
        if [[ -n $python ]]; then
            check "its bill is valid" valid "$file"
            check "and would not be with a fault" faulty_is_found "$file"
        fi
        say "$image: $(($(inspect "$image" '{{.Size}}') / 1000000)) MB"
    done <"$work/names"
    check "the worker tells its revision" grep -q "+$revision" <<<"$(in_image "$worker" swfn-worker --version)"
}

# start NAME IMAGE OPTION... -- ARGUMENT...
start() {
    local name=$1 image=$2 options=()
    shift 2
    while [[ $1 != -- ]]; do
        options+=("$1")
        shift
    done
    shift
    podman run --detach --name "$name" "${confined[@]}" "${options[@]}" "$image" "$@" >/dev/null
    started+=("$name")
}

ended() {
    [[ $(podman inspect --format '{{.State.Status}}' "$1") == exited ]]
}

exit_code() {
    podman inspect --format '{{.State.ExitCode}}' "$1"
}

# count QUERY [RUN]: reads a number from the database of a run directory in $data.
count() {
    python3 -c 'import sqlite3, sys
print(sqlite3.connect("file:%s?mode=ro" % sys.argv[1], uri=True).execute(sys.argv[2]).fetchone()[0])' \
        "$data/${2:-run}/sweep.sqlite" "$1"
}

healthy() {
    podman healthcheck run "$1" >/dev/null 2>&1
}

# inside COMMAND...: runs a command in the pods' namespaces of mounts and of the network, if there
# are any.
inside() {
    if [[ -n $holder ]]; then
        nsenter --target "$holder" --mount --net "$@"
    else
        "$@"
    fi
}

# powerless NAME: whether its processes have an ordinary user, no capabilities and no way to more,
# and cannot write to their program's folder.
powerless() {
    # shellcheck disable=SC2016  # for the inner shell
    inside podman exec "$1" sh -c 'status=$(cat /proc/1/status) || exit 1
        for line in "Uid:.*10001.*10001" "CapEff:.*0000000000000000" "CapBnd:.*0000000000000000" "NoNewPrivs:.*1"; do
            echo "$status" | grep -q "^$line" || exit 1
        done
        ! touch /opt/swfn/file && ! touch /etc/swfn/file' 2>/dev/null
}

some_leased() {
    # The file may be missing, or have no tables yet.
    [[ $(count "SELECT count(*) FROM event WHERE kind = 'leased'" 2>/dev/null) -gt 0 ]]
}

# run_sweep: runs a coordinator with two workers after each other; the first is stopped in the
# middle.
run_sweep() {
    data=$work/data
    rm -rf "$data"
    mkdir -p "$data"/{cache,grids}
    chown 10001:10001 "$data" "$data/cache"
    # The results do not matter.
    sed -e 's/^seed = .*/seed = { count = 3 }/' -e 's/^iterations = .*/iterations = 300/' -e 's/^evaluate_every = .*/evaluate_every = 100/' \
        coordinator/grids/quick.toml >"$data/grids/grid.toml"
    local cache=(--volume "$data/cache:/var/cache/swfn") network=(--network container:coordinator)

    # The number of connections is small, since the limit of open files is low.
    start coordinator "$coordinator" --network none --volume "$data:/var/lib/swfn" -- --grid grids/grid.toml --run-dir run \
        --listen 127.0.0.1:7077 --health 127.0.0.1:7079 --max-connections 100
    within 60 "the coordinator is healthy" healthy coordinator
    check "the port for probes answers" podman exec coordinator swfn-health coordinator 7079
    check "a port without a server is not healthy" bash -c '! podman exec coordinator swfn-health coordinator 7080 2>/dev/null'
    check "the coordinator's container may do next to nothing" powerless coordinator
    start first "$worker" "${network[@]}" "${cache[@]}" -- --devices cpu --offline
    within 120 "the worker is healthy" healthy first
    check "the worker's container may do next to nothing" powerless first
    within 120 "a trial is leased" some_leased
    podman stop --time 30 first >/dev/null
    check "a worker that is stopped leaves in order" [ "$(exit_code first)" = 0 ]
    check "and gave back what it held" \
        [ "$(count "SELECT count(*) FROM event WHERE kind IN ('released', 'succeeded')")" -gt 0 ]
    check "which is no loss" [ "$(count "SELECT count(*) FROM event WHERE kind = 'lost'")" = 0 ]

    start second "$worker" "${network[@]}" "${cache[@]}" -- --devices cpu:2 --offline
    within 600 "the sweep ends" ended coordinator
    within 60 "the worker leaves" ended second
    check "the coordinator says that all succeeded" [ "$(exit_code coordinator)" = 0 ]
    check "the worker says that nothing is left to do" [ "$(exit_code second)" = 0 ]
    check "each trial has its result" [ "$(count "SELECT count(*) FROM trial WHERE state = 'succeeded'")" = 12 ]
    check "there is a report" [ -s "$data/run/report.html" ]
}

# hook: returns the hook of a worker's pod.
hook() {
    "$python" -c 'import sys, yaml
[command] = {tuple(container["lifecycle"]["preStop"]["exec"]["command"])
             for document in yaml.safe_load_all(sys.stdin) if document["kind"] == "Pod"
             for container in document["spec"]["containers"] if "lifecycle" in container}
print("\0".join(command), end="\0")' <"$1"
}

all_have_ended() {
    [[ $(count "SELECT count(*) FROM trial WHERE state IN ('succeeded', 'quarantined')") == "$1" ]]
}

# run_overlay: runs the overlay for one machine in podman as a kubelet would: its commands, users,
# rights, mounts and limits.
run_overlay() {
    local tree=$work/k8s pods=$work/pods.yaml render=(kustomize build) command=() table trials
    kustomize version >/dev/null 2>&1 || render=(kubectl kustomize)
    if [[ -z $python ]] || ! "${render[@]}" --help >/dev/null 2>&1; then
        say "note: the local overlay is not run: it needs kustomize (or kubectl) and PyYAML"
        return
    fi
    rm -rf "$tree"
    cp -r deploy/k8s "$tree"
    rm -rf "$tree/secrets/pki"
    # The user who makes the files may differ.
    chmod 777 "$tree/secrets"
    podman run --rm "${confined[@]}" --network none --volume "$tree/secrets:/secrets" "$coordinator" \
        certs --out /secrets/pki --hosts swfn-coordinator,localhost >/dev/null
    "${render[@]}" "$tree/overlays/local-cpu" | "$python" tests/pods.py >"$pods"

    unshare --mount --net --propagation private sleep infinity &
    holder=$!
    inside true || fail "namespaces do not work"
    inside ip link set lo up
    # podman makes a control group for each pod.
    inside mount -o remount,rw /sys/fs/cgroup 2>/dev/null || true
    printf '127.0.0.1 localhost swfn-coordinator\n' >"$work/hosts"
    inside mount --bind "$work/hosts" /etc/hosts
    inside podman play kube --quiet "$pods" >"$work/pods.log" ||
        fail "podman refuses the pods of the local overlay"
    data=$(podman volume inspect --format '{{.Mountpoint}}' run-swfn-coordinator-0)
    within 60 "a trial is leased to a pod" some_leased
    check "the coordinator's pod answers probes" \
        inside podman exec swfn-coordinator-0-coordinator swfn-health coordinator 7079
    for container in swfn-coordinator-0-coordinator swfn-worker-0-worker; do
        check "$container may do next to nothing" powerless "$container"
    done
    trials=$(count 'SELECT count(*) FROM trial')

    # As when a node is drained: one worker finishes its trials.
    mapfile -d '' -t command < <(hook "$pods")
    inside podman exec swfn-worker-1-worker "${command[@]}" >/dev/null 2>&1 || true
    within 60 "a worker ends behind its hook" ended swfn-worker-1-worker
    check "a worker that is drained ends well" [ "$(exit_code swfn-worker-1-worker)" = 0 ]
    within 600 "the overlay's sweep ends" all_have_ended "$trials"
    check "each of its $trials trials has its result" \
        [ "$(count "SELECT count(*) FROM trial WHERE state = 'succeeded'")" = "$trials" ]
    check "none was taken away from a worker" \
        [ "$(count "SELECT count(*) FROM event WHERE kind = 'lost'")" = 0 ]
    table=$(inside podman exec swfn-coordinator-0-coordinator swfn-coordinator report /var/lib/swfn/run)
    check "the report is told in the pod" grep -q 'regulariser' <<<"$table"
    inside podman exec swfn-coordinator-0-coordinator swfn-coordinator backup /var/lib/swfn/run /var/lib/swfn/copy >/dev/null
    check "a backup is made in the pod" [ "$(count "SELECT count(*) FROM trial WHERE state = 'succeeded'" copy)" = "$trials" ]
    clean_overlay
}

clean_overlay() {
    [[ -n $holder ]] || return 0
    local container
    for container in swfn-coordinator-0-coordinator swfn-worker-0-worker swfn-worker-1-worker; do
        inside podman logs "$container" >"$work/$container.log" 2>&1 || true
    done
    inside podman pod rm --all --force --time 5 >/dev/null 2>&1 || true
    # The second call is needed because control groups may outlive their pod by a moment.
    inside podman pod rm --all --force --time 0 >/dev/null 2>&1 || true
    podman volume rm --all --force >/dev/null 2>&1 || true
    kill "$holder" 2>/dev/null || true
    holder=
}

# build_twice: compares layers, which are named by hashes of their content. Image ids are not
# compared, since builders write the name of a container into them.
build_twice() {
    local all='{{json .RootFS.Layers}} {{json .Config}} {{.Created}}' first second
    first=$(inspect "$coordinator" "$all")
    deploy/images/build.sh --engine buildah --prefix again/ coordinator -- "${offline[@]}" --no-cache >/dev/null
    second=$(inspect "again/$coordinator" "$all")
    check "a second build gives the same layers and settings" [ "$first" = "$second" ]
}

clean() {
    local i name
    clean_overlay
    # The last one goes first: a pod whose network others use cannot be removed before them.
    for ((i = ${#started[@]} - 1; i >= 0; i--)); do
        name=${started[i]}
        podman logs "$name" >"$work/$name.log" 2>&1 || true
        podman rm --force --time 0 "$name" >/dev/null 2>&1 || true
    done
}

main() {
    cuda=
    local twice=
    started=() holder=
    while (($# > 0)); do
        case $1 in
            --cuda) cuda=1 ;;
            --twice) twice=1 ;;
            *)
                sed -n '3,/^$/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
                exit 2
                ;;
        esac
        shift
    done
    mkdir -p "$work"
    settings
    tools
    confined=(--read-only --cap-drop ALL --security-opt no-new-privileges --ulimit nofile=1024:1024 --ulimit nproc=1024:1024)
    make_debian
    make_rust
    build_images
    coordinator=$(grep coordinator "$work/names")
    worker=$(grep cpu "$work/names")
    trap clean EXIT
    make_python
    look_at_images
    run_sweep
    run_overlay
    [[ -z $twice ]] || build_twice
    say "$checks checks passed"
}

main "$@"
