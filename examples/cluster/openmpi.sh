#!/bin/sh
# As many processes as the host file has slots, started by Open MPI; MPICH's mpirun takes the same
# variables by -genv. With one host MASTER_ADDR and MASTER_PORT may be left out.
#
#   HOSTS=hosts.txt MASTER_ADDR=10.0.0.1 examples/cluster/openmpi.sh levin fit --config job.yaml
set -eu
if [ -n "${HOSTS:-}" ]; then set -- --hostfile "$HOSTS" "$@"; fi
export MASTER_PORT="${MASTER_PORT:-29500}"
exec mpirun -x MASTER_ADDR -x MASTER_PORT --bind-to none "$@"
