#!/bin/sh
# Asks a served model with curl: client.sh URL MODEL ROWS.csv. LEVIN_TOKEN is sent if it is set.
set -eu
url=${1:?usage: client.sh URL MODEL ROWS.csv} model=${2:?} rows=${3:?}

ask() {
  if [ -n "${LEVIN_TOKEN:-}" ]; then
    # Not as an argument, which other users of this machine could read.
    printf 'header = "Authorization: Bearer %s"\n' "$LEVIN_TOKEN" | curl --config - --silent --show-error --fail-with-body "$@"
  else
    curl --silent --show-error --fail-with-body "$@"
  fi
}

ask "$url/v2/health/ready" && echo
ask "$url/v2/models/$model" && echo
ask --retry 3 -H 'Content-Type: text/csv' --data-binary "@$rows" "$url/models/$model/predict" && echo
