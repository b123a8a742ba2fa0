# ./run bench [NAME...]: read by run. Builds and runs the benchmarks, all or those named, one after another, and
# writes what they print to benchmarks/results/<date>.md. Those that compare with Lightning install it into .deps/.
prepare
build release
exec 9>&-
lightning=2.6.1  # never 2.6.2 or 2.6.3: those releases were compromised
python=$root/.deps/python/bin/python
results=$root/benchmarks/results/$(date +%Y-%m-%d).md

bench_step_overhead() { "$release/bin/bench_step_overhead" 20 100000; }

bench_against_lightning() {
  if [ -z "${MNIST_DIR:-}" ]; then
    say "skipped: against_lightning needs MNIST_DIR, the folder of MNIST's files"
    return 0
  fi
  "$python" -c "import pytorch_lightning as l; assert l.__version__ == '$lightning'" 2>/dev/null ||
    "$python" -m pip install "pytorch-lightning==$lightning" >&2 || return 1
  "$python" "$root/benchmarks/against_lightning.py" --levin "$release/bin/bench_mnist_epoch" --mnist "$MNIST_DIR"
}

[ $# -gt 0 ] || set -- step_overhead against_lightning
{
  printf '# %s\n\n%s, commit %s\n' "$(date +%Y-%m-%d)" \
    "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores" \
    "$(git -C "$root" rev-parse --short HEAD 2>/dev/null || echo unknown)"
} >"$results.new"
for name; do
  case $name in
    step_overhead | against_lightning) ;;
    *) fail "there is no benchmark $name" "there are: step_overhead against_lightning" ;;
  esac
  say "== $name"
  printf '\n## %s\n\n' "$name" >>"$results.new"
  "bench_$name" >"$results.part" || fail "the benchmark $name failed"
  cat "$results.part"
  cat "$results.part" >>"$results.new"
done
rm -f "$results.part"
mv "$results.new" "$results"
say "written to $results"
