# syntax=docker/dockerfile:1.7
# Two images of one static binary each:
#   docker build --target broker   -t ghcr.io/stompbroker/stompbroker:0.2.0 .
#   docker build --target operator -t ghcr.io/stompbroker/stompbroker-operator:0.2.0 .

FROM rust:1.95-bookworm AS build
WORKDIR /source
COPY . .
# A target named on the command line keeps +crt-static away from build scripts and procedural macros.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/target \
    target="$(rustc -vV | sed -n 's/^host: //p')" \
    && CARGO_TARGET_DIR=/target RUSTFLAGS='-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs' \
       cargo build --locked --release --target "$target" -p stompbroker -p stompbroker-operator \
    && install -D -t /out "/target/$target/release/stompbroker" "/target/$target/release/stompbroker-operator"

FROM scratch AS broker
COPY --from=build /out/stompbroker /stompbroker
USER 65532:65532
ENTRYPOINT ["/stompbroker"]

FROM scratch AS operator
COPY --from=build /out/stompbroker-operator /stompbroker-operator
USER 65532:65532
ENTRYPOINT ["/stompbroker-operator"]
