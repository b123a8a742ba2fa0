# ./run check [--full]: read by run.
#
# Always: everything is built (our warnings are errors) and every ctest runs.
# --full, which CI runs, adds: the unit tests under the address and undefined-behaviour sanitizers, in a build from which
# CUDA is hidden; what has threads (loaders, launcher, heartbeat, shared sums) under the thread sanitizer; every source
# read by clang 14 for its warnings; the layout of the sources.
#
# The budget is part of the promise: on two cores, with an empty compiler cache and LibTorch there, `./run check` takes at
# most 12 minutes and `./run check --full` at most 40. The summary says when that was not so.
full=
budget=720
case ${1:-} in
  '') ;;
  --full) full=1 budget=2400 ;;
  *) fail "check knows only --full, not $1" ;;
esac

prepare
logs=$root/build/check
rm -rf "$logs"
mkdir -p "$logs"
status=0
started=$(date +%s)

# step NAME COMMAND...: runs it; a failure is remembered, the rest still runs.
step() {
  name=$1
  shift
  begun=$(date +%s)
  say "== $name"
  if "$@"; then result=ok; else result=FAILED status=1; fi
  printf '%-8s %s (%s s)\n' "$result" "$name" "$(($(date +%s) - begun))" >>"$logs/steps"
  [ $result = ok ]
}

# tests PRESET [CTEST_ARGUMENTS...]
tests() {
  preset=$1
  shift
  rm -f "$root/build/$preset/cases/"*.xml
  { ctest --test-dir "$root/build/$preset" --output-on-failure --no-tests=error -j "$(nproc)" \
      --output-junit "$logs/$preset.xml" "$@" 9>&- || echo failed >"$logs/$preset.failed"; } | tee "$logs/$preset.log"
  [ ! -e "$logs/$preset.failed" ]
}

# -k 0: what else is wrong shows in the same run.
compile() { (build release -k 0); }
sanitized() { (configure asan && build asan -k 0 unit_tests); }
threads_built() { (configure tsan && build tsan -k 0 threads_test processes_test); }
# What forks first, and by itself: under the sanitizer a process that has had threads forks badly.
threads_clean() {
  for tests in 'processes_test Launcher*:Cluster*:*Port*:FailureReport*' 'processes_test Heartbeat*' \
    'threads_test Host*' 'threads_test DataLoader*:-*Cuda*'; do
    OMP_NUM_THREADS=1 TSAN_OPTIONS="suppressions=$root/scripts/sanitizers/tsan.txt" \
      "$root/build/tsan/bin/${tests%% *}" --gtest_brief=1 "--gtest_filter=${tests#* }" 9>&- || return 1
  done
}
clang_clean() { (configure clang && build clang -k 0); }
# What reads Levin's checkpoints from Python, for the test that they are what they claim to be.
python_reader() {
  python=$root/.deps/python/bin/python
  [ -x "$python" ] || return 0  # LEVIN_TORCH_DIR: the test says that it was skipped
  "$python" -c "import safetensors, numpy" 2>/dev/null ||
    "$python" -m pip install --disable-pip-version-check safetensors numpy >&2 9>&-
}
layout() { (set -- --check && . "$root/scripts/format.sh"); }

if step "build" compile; then
  if [ -n "$full" ]; then step "safetensors for Python" python_reader || :; fi
  exec 9>&-  # from here on another ./run finds the program built
  step "tests" tests release || :
  if [ -n "$full" ]; then
    step "layout of the sources" layout || :
    if step "build with sanitizers, CUDA hidden" sanitized; then
      step "unit tests with sanitizers" tests asan -L unit || :
    fi
    if step "build with the thread sanitizer, CUDA hidden" threads_built; then
      step "loaders, launcher and heartbeat with the thread sanitizer" threads_clean || :
    fi
    if command -v clang++ >/dev/null; then
      step "clang's warnings" clang_clean || :
    else
      printf '%-8s %s\n' skipped "clang's warnings: clang++ is not installed" >>"$logs/steps"
    fi
  fi
fi

taken=$(($(date +%s) - started))
say ""
say "== summary ($taken s)"
cat "$logs/steps"
[ $taken -le $budget ] ||
  echo "over budget: $taken s, and $budget s is what this may take on two cores (CONTRIBUTING.md says how to stay below)"
[ -e "$logs/release.xml" ] || exit 1
awk -f "$root/scripts/summary.awk" "$logs/release.xml" "$root"/build/release/cases/*.xml
[ -n "${MNIST_DIR:-}" ] || echo "MNIST_DIR is not set: tests and examples that need MNIST were skipped"
sed -n '/tests passed,/,$p' "$logs/release.log"
exit $status
