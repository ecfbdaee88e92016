#!/usr/bin/env bash
#
# Compiles a program within an image's build stage and lays out the image's files under /out.
#
# usage: deploy/images/stage.sh coordinator
#        deploy/images/stage.sh worker cpu|cuda

set -euo pipefail
export LC_ALL=C

name=$1
flavour=${2:-}
program=swfn-$name
out=/out
target=$(rustc --version --verbose | sed -n 's/^host: //p')

cargo build --release --locked --package "$program"
install -D --mode=755 "target/release/$program" "$out/opt/swfn/bin/$program"
strip --strip-debug "$out/opt/swfn/bin/$program"
if [[ $flavour == cuda ]] && ! readelf -d "$out/opt/swfn/bin/$program" | grep -q 'NEEDED.*libtorch_cuda\.so'; then
    # Without this the loader drops the library as unused, and torch finds no GPUs.
    echo "error: \`$program\` does not need libtorch_cuda.so" >&2
    exit 1
fi
install --mode=755 deploy/images/health.sh "$out/opt/swfn/bin/swfn-health"
install -D --mode=644 LICENSE "$out/opt/swfn/licenses/swfn/LICENSE"
install --directory "$out/lib/swfn" "$out/cache/swfn" "$out/etc/swfn/pki"

cargo metadata --locked --format-version 1 --filter-platform "$target" |
    python3 -I deploy/images/sbom.py --program "$program" --lock Cargo.lock --debian /packages.txt \
        ${flavour:+--wheels deploy/libtorch.sh --flavour "$flavour"} >"$out/opt/swfn/sbom.cdx.json"

# These gigabytes are no longer needed, but a builder with a cache would keep them.
rm -rf target

# The same commit gives the same layers.
find "$out" -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH:-0}" {} +
