# Images of `levin` with LibTorch for CPUs. In the repository's folder:
#
#   docker build -t levin .                        an image for `levin serve`, as the files in examples/serving use it
#   docker build -t levin-train --target train .   an image to train with, whose folder /work is the caller's:
#
#     docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/work" levin-train fit --config /opt/levin/share/levin/examples/configs/iris.yaml
#
# TORCH_INDEX is the index of packages that LibTorch for CPUs comes from, for networks with a mirror of their own:
# --build-arg TORCH_INDEX=https://mirror.example/whl/cpu
#
# .dockerignore keeps builds and downloads of this machine out of the images.
FROM debian:bookworm AS build
# The release of Debian fixes the versions, but for its security updates.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates g++ cmake ninja-build libyaml-cpp-dev \
    nlohmann-json3-dev zlib1g-dev libzip-dev libpng-dev libjpeg-dev libcurl4-openssl-dev libssl-dev libgtest-dev libgloo-dev \
    libboost-dev libhiredis-dev libsimdjson-dev libsqlite3-dev python3 python3-venv && rm -rf /var/lib/apt/lists/*
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN python3 -m venv /venv && \
    /venv/bin/pip install --no-cache-dir --no-compile --index-url "$TORCH_INDEX" torch==2.11.0 && \
    mv /venv/lib/python3.11/site-packages/torch /opt/torch
COPY . /levin
WORKDIR /levin
ENV LEVIN_TORCH_DIR=/opt/torch
# The component `bundle` has the libraries that the images below lack.
RUN ./run build levin_cli && \
    for component in Unspecified bundle; do \
      cmake --install build/release --prefix /opt/levin --component $component --strip; \
    done

FROM debian:bookworm-slim AS program
COPY --from=build /opt/levin/bin /opt/levin/bin
COPY --from=build /opt/levin/lib /opt/levin/lib
COPY --from=build /opt/torch/lib /opt/torch/lib
ENV LD_LIBRARY_PATH=/opt/levin/lib/levin
# Nobody. A program that serves only reads checkpoints, which must be readable by everybody.
USER 65534:65534
ENTRYPOINT ["/opt/levin/bin/levin"]

FROM program AS train
COPY --from=build /opt/levin/share /opt/levin/share
WORKDIR /work

FROM program AS serve
EXPOSE 8000
