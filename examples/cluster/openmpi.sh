#!/bin/sh
# Starts as many processes with Open MPI as the host file has slots. With MPICH's mpirun, pass the
# variables by -genv instead of -x. On a single host, MASTER_ADDR and MASTER_PORT may be left out.
#
#   HOSTS=hosts.txt MASTER_ADDR=10.0.0.1 examples/cluster/openmpi.sh levin fit --config job.yaml
set -eu
if [ -n "${HOSTS:-}" ]; then set -- --hostfile "$HOSTS" "$@"; fi
export MASTER_PORT="${MASTER_PORT:-29500}"
# Encrypts what the ranks leave for each other when they meet.
LEVIN_RUN_SECRET="${LEVIN_RUN_SECRET:-$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')}"
export LEVIN_RUN_SECRET
exec mpirun -x MASTER_ADDR -x MASTER_PORT -x LEVIN_RUN_SECRET --bind-to none "$@"
