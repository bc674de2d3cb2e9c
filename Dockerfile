# The images of Parlor's three programs: `docker build --target chat-service --tag parlor/chat-service .`, and the same with
# user-service and operator. Each holds its program and nothing that the program does not need, and runs as nobody in particular.

FROM node:22-bookworm-slim AS web
WORKDIR /src/web
COPY web/package.json web/package-lock.json ./
RUN --mount=type=cache,target=/tmp/npm npm ci --cache /tmp/npm
COPY web ./
RUN npm run build

FROM rust:1.95-bookworm AS programs
WORKDIR /src
COPY . .
COPY --from=web /src/web/dist web/dist
# The queries are checked against .sqlx, not against a database.
ENV SQLX_OFFLINE=true
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --locked --package chat-service --package user-service --package operator \
    && mkdir --parents /out/var/lib/parlor/keys /out/var/lib/parlor/tokens \
    && for program in chat-service user-service operator; do strip -o /out/$program target/release/$program; done

FROM debian:bookworm-slim AS base
COPY --from=programs /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
# A new volume has the owner of the folder that it stands for.
COPY --from=programs --chown=65532:65532 /out/var/lib/parlor /var/lib/parlor
USER 65532:65532

FROM base AS chat-service
COPY --from=programs /out/chat-service /usr/bin/
ENTRYPOINT ["/usr/bin/chat-service"]

FROM base AS user-service
COPY --from=programs /out/user-service /usr/bin/
ENTRYPOINT ["/usr/bin/user-service"]

FROM base AS operator
COPY --from=programs /out/operator /usr/bin/
ENTRYPOINT ["/usr/bin/operator"]
