# ./run bench [NAME...] [--rounds N]. This file is sourced by run. It builds Levin, its benchmarks and the programs that they
# are compared with, and calls benchmarks/bench.py, which runs them in turns (--help lists the names). PyTorch Lightning is
# installed into .deps/ if necessary. The results name the programs that couldn't be run.
case " $* " in
  *" --help "* | *" -h "*) exec python3 "$root/benchmarks/bench.py" --help ;;
esac
prepare
python=$root/.deps/python/bin/python
[ -x "$python" ] || python=python3
lightning=2.6.1  # never use 2.6.2 or 2.6.3: these releases were compromised
"$python" -c "import importlib.metadata as m; assert m.version('pytorch-lightning') == '$lightning'" 2>/dev/null || {
  say "installing pytorch-lightning $lightning into .deps/"
  { [ "$python" != python3 ] &&
    "$python" -m pip install --disable-pip-version-check "pytorch-lightning==$lightning" >&2 9>&-; } ||
    say "pytorch-lightning could not be installed; the results will not include it"
}
targets="levin_cli baselines"
for source in "$root"/benchmarks/*.cpp; do
  name=${source##*/}
  targets="$targets bench_${name%.cpp}"
done
# shellcheck disable=SC2086  # a list of words
build release $targets
exec 9>&-
exec "$python" -B "$root/benchmarks/bench.py" --bin "$release/bin" --python "$python" "$@"
