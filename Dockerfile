# syntax=docker/dockerfile:1
# Targets: `control` (the service), `filter` (the module alone, one layer, as Istio and Envoy Gateway read it),
# `envoy` (Envoy with the module and its bootstrap), `seed` (loads the demo's data once).

FROM rust:1.95-bookworm AS build
RUN rustup target add wasm32-wasip1
WORKDIR /src
COPY . .
RUN cargo build --locked --release --package miroir-control --bin miroir-control --package miroirctl --bin miroirctl
RUN cargo build --locked --profile wasm --package miroir-filter --target wasm32-wasip1
RUN target/release/miroir-control envoy-bootstrap --node-id envoy --control control:7703 \
      --listen 0.0.0.0:7700 --admin 0.0.0.0:9901 --module /etc/miroir/plugin.wasm > /envoy.yaml

FROM gcr.io/distroless/cc-debian12:nonroot AS control
COPY --from=build /src/target/release/miroir-control /src/target/release/miroirctl /usr/local/bin/
ENTRYPOINT ["/usr/local/bin/miroir-control"]
CMD ["serve"]

FROM scratch AS filter
COPY --from=build /src/target/wasm32-wasip1/wasm/miroir_filter.wasm /plugin.wasm

FROM envoyproxy/envoy:v1.40.0 AS envoy
COPY --from=build /src/target/wasm32-wasip1/wasm/miroir_filter.wasm /etc/miroir/plugin.wasm
COPY --from=build /envoy.yaml /etc/miroir/envoy.yaml
CMD ["envoy", "--config-path", "/etc/miroir/envoy.yaml"]

FROM node:22-bookworm-slim AS seed
WORKDIR /seed
RUN npm install --no-save --no-audit --no-fund vega-datasets@3.2.1
COPY envoy/seed.mjs /seed/seed.mjs
USER node
CMD ["node", "/seed/seed.mjs"]
