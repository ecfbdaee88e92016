#!/usr/bin/env bash
#
# Builds the images.
#
# usage: deploy/images/build.sh [--engine docker|buildah|podman] [--prefix NAME]
#                               [IMAGE...] [-- OPTION...]
#
#   IMAGE           coordinator, worker-cpu, worker-cuda [default: coordinator worker-cpu]
#   --engine NAME   builder of the images [default: the first of docker, buildah, podman that works]
#   --prefix NAME   prefix of their names, such as registry.example/team/ [default: nothing]
#   OPTION...       for the engine's build command, such as --build-arg PIP_INDEX_URL=...
#
# Names are PREFIX + swfn-coordinator:VERSION, swfn-worker:VERSION-cpu, swfn-worker:VERSION-cuda.
# They are printed on stdout, one a line. deploy/images/pins has the bases. The same commit with
# pinned bases gives the same files; with buildah and podman, the same layers.

set -euo pipefail

die() {
    printf 'build.sh: error: %s\n' "$1" >&2
    shift
    if (($# > 0)); then
        printf 'hint: %s\n' "$@" >&2
    fi
    exit 1
}

# find_engine: takes the first engine that is installed and works.
find_engine() {
    local engine
    for engine in docker buildah podman; do
        if "$engine" info >/dev/null 2>&1; then
            printf '%s' "$engine"
            return
        fi
    done
    die "neither docker, buildah nor podman works here" "install one of them, or start docker's daemon"
}

# build NAME DOCKERFILE TARGET: TARGET may be empty.
build() {
    local name=$1 dockerfile=deploy/images/$2 target=$3
    local options=(--file "$dockerfile" --tag "$name" ${target:+--target "$target"})
    local argument
    for argument in "${arguments[@]}"; do
        options+=(--build-arg "$argument")
    done
    printf 'build.sh: %s\n' "$name" >&2
    case $engine in
        docker) docker buildx build --load "${options[@]}" "${extra[@]}" . >&2 ;;
        # Format docker is used, because OCI's has no health checks. The files of all layers get the
        # time of the commit.
        buildah) buildah bud --format docker --layers --timestamp "$epoch" "${options[@]}" "${extra[@]}" . >&2 ;;
        podman) podman build --format docker --layers --timestamp "$epoch" "${options[@]}" "${extra[@]}" . >&2 ;;
        *) die "engine \`$engine\` is unknown" "use docker, buildah or podman" ;;
    esac
    printf '%s\n' "$name"
}

main() {
    local prefix='' images=() line image
    engine=
    extra=()
    while (($# > 0)); do
        case $1 in
            --engine | --prefix)
                [[ -n ${2:-} ]] || die "\`$1\` needs a value" "see \`build.sh --help\`"
                if [[ $1 == --engine ]]; then engine=$2; else prefix=$2; fi
                shift
                ;;
            --help | -h)
                sed -n '3,/^$/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
                exit 0
                ;;
            --)
                shift
                extra=("$@")
                break
                ;;
            coordinator | worker-cpu | worker-cuda) images+=("$1") ;;
            *) die "unknown argument \`$1\`" "see \`build.sh --help\`" ;;
        esac
        shift
    done
    if ((${#images[@]} == 0)); then
        images=(coordinator worker-cpu)
    fi
    cd "$(dirname "${BASH_SOURCE[0]}")/../.."
    engine=${engine:-$(find_engine)}

    local version revision
    version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
    epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
    revision=$(git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
    if [[ -n $(git status --porcelain --untracked-files=no 2>/dev/null || true) ]]; then
        revision+=.dirty
    fi
    arguments=("SOURCE_DATE_EPOCH=$epoch" "VERSION=$version" "REVISION=$revision"
        "CREATED=$(date --utc --date="@$epoch" +%Y-%m-%dT%H:%M:%SZ)")
    while read -r line; do
        arguments+=("$line")
        if [[ $line == *_DIGEST= ]]; then
            printf 'build.sh: note: %s has no digest: it is not pinned\n' "${line%=}" >&2
        fi
    done < <(grep -v '^#' deploy/images/pins)

    for image in "${images[@]}"; do
        case $image in
            coordinator) build "${prefix}swfn-coordinator:$version" coordinator.Dockerfile '' ;;
            worker-cpu) build "${prefix}swfn-worker:$version-cpu" worker.Dockerfile cpu ;;
            worker-cuda) build "${prefix}swfn-worker:$version-cuda" worker.Dockerfile cuda ;;
        esac
    done
}

main "$@"
