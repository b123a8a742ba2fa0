#!/bin/sh
# summary.sh SECONDS BUDGET LOGS CASES: prints the summary of a ./run check that took SECONDS: its steps (LOGS/steps), whether
# it took longer than BUDGET, and the results of the tests (LOGS/release.xml of ctest and CASES/*.xml of GoogleTest). Exits
# with 1 if no tests were run.
set -eu
seconds=$1 budget=$2 logs=$3 cases=$4
cat "$logs/steps"
[ "$seconds" -le "$budget" ] ||
  echo "over budget: $seconds s, and $budget s is what this may take on two cores (CONTRIBUTING.md says how to stay below)"
[ -e "$logs/release.xml" ] || exit 1
awk -f "$(dirname "$0")/summary.awk" "$logs/release.xml" "$cases"/*.xml
