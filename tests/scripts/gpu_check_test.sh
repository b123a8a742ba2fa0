#!/bin/sh
# gpu_check_test.sh SOURCE_FOLDER: runs scripts/gpu-check in an installed tree of programs that are made up here. Suites that
# hang, crash or fail must count as failed and be named, while all others still run; and the results must have the tables of
# the benchmarks, what compute-sanitizer says, and what was left out.
set -eu
source=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tree=$work/levin/libexec/levin
mkdir -p "$tree/tests" "$tree/benchmarks/baselines" "$work/torch/lib" "$work/bin" "$work/mnist"
touch "$work/torch/lib/libtorch_cpu.so" "$work/mnist/train-images-idx3-ubyte.gz"
printf "__version__ = '9.8.7'\ncuda: Optional[str] = '6.5'\n" >"$work/torch/version.py"
cp "$source/scripts/gpu-check" "$tree"
for file in report.py gpu_report.py link_costs.py solver_curves.py; do
  cp "$source/benchmarks/$file" "$tree/benchmarks"
done

# program FILE: writes a program of the lines that follow.
program() {
  { echo "#!/bin/sh" && cat; } >"$1"
  chmod +x "$1"
}

# The suites of one test program. GoodCuda has a case that is skipped; HangingCuda has started a process, doesn't heed SIGTERM
# and must be killed with it.
program "$tree/tests/fake_test" <<'END'
case $* in
  --gtest_list_tests)
    echo "Running main() from gtest_main.cc"
    for suite in Plain HangingCuda CrashingCuda FailingCuda GoodKernelsCuda Typed/GoodCuda/0; do
      echo "$suite.  # TypeParam = float"
      echo "  a"
    done ;;
  *HangingCuda*)
    trap '' TERM
    echo "[ RUN      ] HangingCuda.waits"
    sleep 100 &
    echo $! >"$FAKE_WORK/child"
    echo "it waits"
    sleep 100 ;;
  *CrashingCuda*)
    echo "[ RUN      ] CrashingCuda.breaks"
    exit 3 ;;
  *FailingCuda*)
    echo "[ RUN      ] FailingCuda.adds"
    echo "x.cpp:12: Failure"
    echo "[  FAILED  ] FailingCuda.adds, where GetParam() = 3 (2 ms)"
    echo "[  FAILED  ] FailingCuda.adds, where GetParam() = 3"
    exit 1 ;;
  *Good*Cuda*)
    echo "[ RUN      ] GoodCuda.a"
    echo "[       OK ] GoodCuda.a (7 ms)"
    echo "[ RUN      ] GoodCuda.b"
    echo "[  SKIPPED ] GoodCuda.b (0 ms)"
    echo "[  SKIPPED ] GoodCuda.b" ;;
  *) echo "must not run: $*"; exit 9 ;;
esac
END
program "$work/bin/nvidia-smi" <<'END'
case $* in *driver_version*) echo 123.45 ;; *) echo "Fake GPU 1" ;; esac
END
program "$work/bin/compute-sanitizer" <<'END'
case $* in
  *racecheck*Good*) echo "========= RACECHECK SUMMARY: 2 hazards displayed"; exit 99 ;;
  *memcheck*Good*) echo "========= ERROR SUMMARY: 0 errors" ;;
  *) exit 1 ;;
esac
END
# Programs that measure: each prints what it trains in 10 microseconds a step, or in as many as the second argument says.
json() {
  printf 'echo "{\\"problem\\": \\"%s\\", \\"loop\\": \\"auto\\", \\"storage\\": \\"float32\\", ' "$1"
  printf '\\"steps_per_epoch\\": 100, \\"epoch_seconds\\": [9, 9, %s], \\"accuracy\\": 0.93, ' "$2"
  printf '\\"built\\": \\"somehow\\", \\"data\\": \\"MNIST\\", \\"seconds_to_accuracy\\": 0.25}"\n'
}
{ json logistic_regression 0.001 && json wide_mlp 0.01 && echo 'echo "|  | a table |"'; } |
  program "$tree/benchmarks/bench_gpu_training"
program "$tree/benchmarks/bench_other_gpu" <<'END'
echo "other: 5 GB/s"
END
# A Python that has PyTorch, and Lightning too.
program "$work/bin/fake_python" <<END
case \$* in
  -c*version*) exit 0 ;;
  -c*) exit 1 ;;
  *gpu_report*) exec python3 "\$@" ;;
  *lightning.py*logistic*--device\ cuda*--mnist\ $work/mnist*) $(json logistic_regression 0.06) ;;
  *lightning.py*) echo broken; exit 5 ;;
  *) $(json wide_mlp 0.05) ;;
esac
END

check() {
  code=0
  env "PATH=$work/bin:$PATH" LEVIN_TORCH_DIR="$work/torch" FAKE_WORK="$work" LEVIN_SUITE_SECONDS=1 "$@" \
    "$tree/gpu-check" "$work/results" >"$work/out" 2>&1 || code=$?
}
# expect LINE...: lines that the results must have.
expect() {
  for line; do
    grep -qxF -e "$line" "$work/results/fake-gpu-1.md" || {
      echo "the results lack: $line"
      cat "$work/out" "$work/results/fake-gpu-1.md"
      exit 1
    }
  done
}

check MNIST_DIR="$work/mnist" LEVIN_PYTHON=fake_python
[ $code = 1 ] || { cat "$work/out" && exit 1; }
expect "# Fake GPU 1" "## CUDA tests: 2 passed, 3 failed, 2 skipped" \
  "| HangingCuda.waits | FAILED: HangingCuda had not ended after 1 s | |" "it waits" \
  "| CrashingCuda.breaks | FAILED: CrashingCuda ended with status 3 before it finished | |" \
  "| FailingCuda.adds | FAILED | 2 ms |" "x.cpp:12: Failure" "| GoodCuda.a | OK | 7 ms |" \
  "- memcheck of GoodKernelsCuda: ERROR SUMMARY: 0 errors" \
  "- racecheck of GoodKernelsCuda: RACECHECK SUMMARY: 2 hazards displayed" "other: 5 GB/s"
grep -q "driver 123.45, LibTorch 9.8.7, CUDA 6.5, .* cores" "$work/results/fake-gpu-1.md"
if grep -q '^State:.*[RSD] ' "/proc/$(cat "$work/child")/status" 2>/dev/null; then
  echo "a process that a suite had started was left behind"
  exit 1
fi
if command -v python3 >/dev/null; then
  expect "| logistic regression: Lightning's time / Levin's | at least 50 | 60.0 | ok |" \
    "### lightning (wide_mlp) (status 5)"
  grep -q "The median of 3 rounds" "$work/results/fake-gpu-1.md"
fi

# Without Python, MNIST, compute-sanitizer and failures.
program "$tree/tests/fake_test" <<'END'
case $* in --gtest_list_tests) echo "GoodCuda." ;; *) echo "[       OK ] GoodCuda.a (7 ms)" ;; esac
END
rm "$work/bin/compute-sanitizer"
if ! command -v compute-sanitizer >/dev/null && [ ! -e /usr/local/cuda/bin/compute-sanitizer ]; then
  check LEVIN_PYTHON=no_python MNIST_DIR= CUDA_HOME=/nowhere
  [ $code = 0 ] || { cat "$work/out" && exit 1; }
  expect "## CUDA tests: 1 passed, 0 failed, 0 skipped" "|  | a table |" \
    "- PyTorch, because no_python has no torch or no numpy" \
    "- compute-sanitizer, which is neither on the PATH nor in a CUDA toolkit (set CUDA_HOME)"
fi

# When the time is over, what is left is named, and isn't a failure.
check LEVIN_PYTHON=no_python LEVIN_CHECK_SECONDS=0
[ $code = 0 ] || { cat "$work/out" && exit 1; }
expect "## CUDA tests: 0 passed, 0 failed, 0 skipped" "- fake_test, because the time was over" \
  "- round 1 of 3 of the comparison with PyTorch and Lightning, for which there was no time"
echo "gpu-check is as expected"
