# ./run bench [NAME...] [--rounds N]: read by run. Builds Levin's benchmarks and the programs they are measured
# against, and runs them in turns; benchmarks/bench.py has the rest, its --help the names. PyTorch Lightning comes into
# .deps/ on demand; what can't be obtained is named in the results.
case " $* " in
  *" --help "* | *" -h "*) exec python3 "$root/benchmarks/bench.py" --help ;;
esac
prepare
python=$root/.deps/python/bin/python
[ -x "$python" ] || python=python3
lightning=2.6.1  # never 2.6.2 or 2.6.3: those releases were compromised
"$python" -c "import importlib.metadata as m; assert m.version('pytorch-lightning') == '$lightning'" 2>/dev/null || {
  say "pytorch-lightning $lightning into .deps/"
  { [ "$python" != python3 ] &&
    "$python" -m pip install --disable-pip-version-check "pytorch-lightning==$lightning" >&2 9>&-; } ||
    say "it could not be installed: the results will lack it"
}
targets=baselines
for source in "$root"/benchmarks/*.cpp; do
  name=${source##*/}
  targets="$targets bench_${name%.cpp}"
done
# shellcheck disable=SC2086  # a list of words
build release $targets
exec 9>&-
exec "$python" -B "$root/benchmarks/bench.py" --bin "$release/bin" --python "$python" "$@"
