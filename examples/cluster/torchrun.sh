#!/bin/sh
# Trains on two hosts with four processes each, which torchrun starts and restarts. torchrun is part
# of PyTorch for Python; the levin program itself needs no Python. Run this on both hosts, with the
# address of one of them:
#
#   export LEVIN_RUN_SECRET=...  # the same random text on both hosts, from `openssl rand -hex 16`
#   HOST=10.0.0.1 examples/cluster/torchrun.sh levin fit --config job.yaml
#
# --rdzv-id names the job: restarted ranks resume from its last checkpoint. With NODES=1:2, training
# goes on with one host if the other is lost, and the global batch stays the same.
set -eu
exec torchrun --no-python \
  --nnodes="${NODES:-2}" --nproc-per-node="${DEVICES:-4}" --max-restarts="${MAX_RESTARTS:-3}" \
  --rdzv-backend=c10d --rdzv-endpoint="${HOST:?the address of one of the hosts}:${PORT:-29400}" \
  --rdzv-id="${JOB:-levin}" "$@"
