# The coordinator: one program, without libtorch. The context is the root of the repository:
#
#   deploy/images/build.sh coordinator
#
# The digests come from deploy/images/pins; without one, a tag is taken as it is today.
ARG RUST_TAG=1.95-bookworm
ARG RUST_DIGEST=
ARG DEBIAN_TAG=bookworm-slim
ARG DEBIAN_DIGEST=

FROM debian:${DEBIAN_TAG}${DEBIAN_DIGEST} AS packages
RUN dpkg-query --show --showformat='${Package} ${Version} ${Architecture}\n' >/packages.txt

FROM rust:${RUST_TAG}${RUST_DIGEST} AS build
# Time of the commit, in seconds since 1970. All files get it.
ARG SOURCE_DATE_EPOCH=0
ARG CARGO_NET_OFFLINE=false
# Programs contain paths, so the folder is always the same.
WORKDIR /src
COPY . .
COPY --from=packages /packages.txt /packages.txt
RUN deploy/images/stage.sh coordinator

FROM debian:${DEBIAN_TAG}${DEBIAN_DIGEST}
ARG VERSION=unknown
ARG REVISION=unknown
ARG CREATED=unknown
LABEL org.opencontainers.image.title="swfn-coordinator" \
      org.opencontainers.image.description="Runs a grid of trials on workers and tells which regulariser wins" \
      org.opencontainers.image.licenses="Apache-2.0 OR MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.base.name="debian:bookworm-slim"
ENV PATH=/opt/swfn/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
# Nothing runs or is installed here, so the image depends on its base and its files alone.
COPY --from=build /out/opt/ /opt/
# These folders are writable, for the run directory and for certificates, unless a volume with
# another owner covers them.
COPY --from=build --chown=10001:10001 /out/lib/ /var/lib/
COPY --from=build --chown=10001:10001 /out/etc/ /etc/
# The user is a number, because Kubernetes cannot tell that a name is not root.
USER 10001:10001
WORKDIR /var/lib/swfn
VOLUME /var/lib/swfn
EXPOSE 7077 7078
HEALTHCHECK --interval=15s --timeout=10s --start-period=30s --retries=4 \
    CMD ["/opt/swfn/bin/swfn-health", "coordinator"]
ENTRYPOINT ["/opt/swfn/bin/swfn-coordinator"]
CMD ["--help"]
