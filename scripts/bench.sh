# ./run bench [NAME...]: read by run. Builds and runs the benchmarks, all or those named, one after another.
prepare
build release
exec 9>&-
[ $# -gt 0 ] || set -- "$build"/bin/bench_*
for name; do
  name=${name##*/}
  program=$build/bin/bench_${name#bench_}
  [ -x "$program" ] || fail "there is no benchmark ${name#bench_}" "there are: $(cd "$build/bin" && echo bench_*)"
  say "== ${name#bench_}"
  "$program"
done
