# The worker with its libtorch. Targets: cpu, cuda. The context is the root of the repository:
#
#   deploy/images/build.sh worker-cpu worker-cuda
#
# The CUDA libraries come with libtorch, from wheels that deploy/libtorch.sh pins by hash. The
# machine only needs NVIDIA's driver, which its container runtime mounts. So both targets have the
# same small base.
ARG RUST_TAG=1.95-bookworm
ARG RUST_DIGEST=
ARG DEBIAN_TAG=bookworm-slim
ARG DEBIAN_DIGEST=

FROM debian:${DEBIAN_TAG}${DEBIAN_DIGEST} AS packages
RUN dpkg-query --show --showformat='${Package} ${Version} ${Architecture}\n' >/packages.txt

FROM rust:${RUST_TAG}${RUST_DIGEST} AS tools
# Only deploy/libtorch.sh needs this. Nothing of it gets into an image, and downloads are checked
# against hashes.
RUN python3 -m pip --version >/dev/null 2>&1 || \
    { apt-get update && apt-get install --yes --no-install-recommends python3-pip && rm -rf /var/lib/apt/lists/*; }

# This stage takes most of the time, so it changes with the script alone. Its files have a fixed
# date, so that its layer of the image stays the same from version to version.
FROM tools AS libtorch-cpu
ARG PIP_INDEX_URL
COPY deploy/libtorch.sh /deploy/libtorch.sh
RUN /deploy/libtorch.sh --dir /libtorch && cp -a /libtorch/cpu /opt/libtorch && \
    find /opt/libtorch -exec touch --no-dereference --date=@0 {} +

FROM tools AS build
# Time of the commit, in seconds since 1970. All files get it.
ARG SOURCE_DATE_EPOCH=0
ARG CARGO_NET_OFFLINE=false
# The commit, since there is no repository here: `swfn-worker --version` prints it, and results name
# it.
ARG REVISION=
ENV SWFN_REVISION=${REVISION}
# Programs contain paths, so the folders are always the same.
ENV LIBTORCH=/opt/libtorch
WORKDIR /src
COPY . .
COPY --from=packages /packages.txt /packages.txt

FROM build AS build-cpu
COPY --from=libtorch-cpu /opt/libtorch /opt/libtorch
RUN deploy/images/stage.sh worker cpu

# The common part of both targets. Nothing runs or is installed, so an image depends on its base and
# its files alone.
FROM debian:${DEBIAN_TAG}${DEBIAN_DIGEST} AS runtime
ENV PATH=/opt/swfn/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
# Downloads, trained VAEs, checkpoints and waiting reports.
ENV SWFN_CACHE=/var/cache/swfn
# The user is a number, because Kubernetes cannot tell that a name is not root.
USER 10001:10001
HEALTHCHECK --interval=15s --timeout=10s --start-period=60s --retries=4 CMD ["/opt/swfn/bin/swfn-health", "worker"]
ENTRYPOINT ["/opt/swfn/bin/swfn-worker"]

FROM runtime AS cpu
ARG VERSION=unknown
ARG REVISION=unknown
ARG CREATED=unknown
LABEL org.opencontainers.image.title="swfn-worker" \
      org.opencontainers.image.description="Trains the trials that a coordinator hands out, on CPUs" \
      org.opencontainers.image.licenses="Apache-2.0 OR MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.base.name="debian:bookworm-slim"
# libtorch comes first, as above.
COPY --from=libtorch-cpu /opt/libtorch/lib/ /opt/swfn/lib/
COPY --from=libtorch-cpu /opt/libtorch/licenses/ /opt/swfn/licenses/
COPY --from=build-cpu --chown=10001:10001 /out/cache/ /var/cache/
COPY --from=build-cpu --chown=10001:10001 /out/etc/ /etc/
COPY --from=build-cpu /out/opt/ /opt/
# An earlier WORKDIR would make the folder for root.
WORKDIR /var/cache/swfn
VOLUME /var/cache/swfn

# This stage follows the target cpu: some builders build all stages before their target.
FROM tools AS libtorch-cuda
ARG PIP_INDEX_URL
COPY deploy/libtorch.sh /deploy/libtorch.sh
RUN /deploy/libtorch.sh --cuda --dir /libtorch && cp -a /libtorch/cuda /opt/libtorch && \
    find /opt/libtorch -exec touch --no-dereference --date=@0 {} +

FROM build AS build-cuda
COPY --from=libtorch-cuda /opt/libtorch /opt/libtorch
RUN deploy/images/stage.sh worker cuda

FROM runtime AS cuda
ARG VERSION=unknown
ARG REVISION=unknown
ARG CREATED=unknown
LABEL org.opencontainers.image.title="swfn-worker" \
      org.opencontainers.image.description="Trains the trials that a coordinator hands out, on GPUs with CUDA 13.0" \
      org.opencontainers.image.licenses="Apache-2.0 OR MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.base.name="debian:bookworm-slim"
# The container's runtime chooses the GPUs. The driver keeps compiled kernels with the other caches.
ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility
ENV CUDA_CACHE_PATH=/var/cache/swfn/cuda
COPY --from=libtorch-cuda /opt/libtorch/lib/ /opt/swfn/lib/
COPY --from=libtorch-cuda /opt/libtorch/licenses/ /opt/swfn/licenses/
COPY --from=build-cuda --chown=10001:10001 /out/cache/ /var/cache/
COPY --from=build-cuda --chown=10001:10001 /out/etc/ /etc/
COPY --from=build-cuda /out/opt/ /opt/
WORKDIR /var/cache/swfn
VOLUME /var/cache/swfn
