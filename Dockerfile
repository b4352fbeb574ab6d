# One static binary on an empty base: no shell, no libc, no package manager, nothing to patch but Hallpass itself.
# Builds with Docker, BuildKit and buildah, for x86-64 and aarch64.

FROM rust:1.95-slim-bookworm AS build
WORKDIR /build

# `--target` names the machine's own triple: only with it do RUSTFLAGS leave build scripts and procedural macros
# alone, which can't be static.
ENV RUSTFLAGS="-C target-feature=+crt-static"

# The allocator is built by make. Debian keeps one version of each in a release, so there is nothing to pin.
# hadolint ignore=DL3008
RUN { command -v make > /dev/null && test -s /etc/ssl/certs/ca-certificates.crt; } \
 || (apt-get update && apt-get install -y --no-install-recommends ca-certificates make && rm -rf /var/lib/apt/lists/*)

# The dependencies first, against an empty program: this layer is rebuilt only when they or how they are built
# changes.
COPY .cargo .cargo
COPY Cargo.toml Cargo.lock ./
RUN mkdir src \
 && echo 'fn main() {}' > src/main.rs \
 && touch src/lib.rs \
 && cargo build --release --locked --bin hallpass --target "$(rustc --print host-tuple)"

COPY migrations migrations
COPY src src
# The touch makes Cargo see the real sources as newer than the empty program, whatever their dates say.
RUN touch src/main.rs src/lib.rs \
 && cargo build --release --locked --bin hallpass --target "$(rustc --print host-tuple)" \
 && mkdir -p /image/data \
 && cp "target/$(rustc --print host-tuple)/release/hallpass" /image/hallpass \
 && cp /etc/ssl/certs/ca-certificates.crt /image/certificates.pem

FROM scratch
LABEL org.opencontainers.image.title="Hallpass" \
      org.opencontainers.image.description="Issues short-lived client-side access tokens for Letta agents, and enforces them" \
      org.opencontainers.image.licenses="Apache-2.0"

COPY LICENSE /LICENSE
# Whom to believe when the agent server is reached by TLS.
COPY --from=build /image/certificates.pem /etc/ssl/certs/ca-certificates.crt
COPY --from=build /image/hallpass /hallpass
# The volume's first content: an empty folder that the server's user owns.
COPY --from=build --chown=65532:65532 /image/data /data

USER 65532:65532
# Also where SQLite may put a temporary file when the root file system is read-only.
WORKDIR /data
VOLUME /data
ENV HALLPASS_SERVER__LISTEN=0.0.0.0:8284 \
    HALLPASS_DATABASE__URL=sqlite:/data/hallpass.db
EXPOSE 8284
HEALTHCHECK --interval=30s --timeout=5s --start-period=5s CMD ["/hallpass", "healthcheck"]
ENTRYPOINT ["/hallpass"]
CMD ["serve"]
