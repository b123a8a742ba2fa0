#!/bin/sh
# Two hosts of four processes, started and watched over by torchrun (it comes with PyTorch; Levin's
# program needs no Python itself). Run this on both hosts, with the address of one of them:
#
#   HOST=10.0.0.1 examples/cluster/torchrun.sh levin fit --config job.yaml
#
# --rdzv-id names the job: ranks that are started again go on from its last checkpoint. With
# --nnodes=1:2 it goes on with one host if the other is lost, the global batch kept.
set -eu
exec torchrun --no-python \
  --nnodes="${NODES:-2}" --nproc-per-node="${DEVICES:-4}" --max-restarts="${MAX_RESTARTS:-3}" \
  --rdzv-backend=c10d --rdzv-endpoint="${HOST:?the address of one of the hosts}:${PORT:-29400}" \
  --rdzv-id="${JOB:-levin}" "$@"
