#!/bin/sh
# run_test.sh SOURCE_FOLDER: `./run fit` on a machine without LibTorch, whose apt-get, pip, cmake and ninja are made up here. The
# program's sources must be compiled while pip still downloads what LibTorch needs, and linked only afterwards; and if pip
# fails, its lines are shown and nothing goes on.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin" "$work/levin" "$work/state"
cp "$1/run" "$work/levin/run"
export WORK="$work"

# make_up NAME: a program of this name that does what stdin says, and writes its call to the log.
make_up() {
  # shellcheck disable=SC2016
  { printf '#!/bin/sh\nset -eu\necho "%s $*" >>"$WORK/log"\n' "$1"; cat; } >"$work/bin/$1"
  chmod +x "$work/bin/$1"
}
# Waits up to a minute for a file.
cat >"$work/bin/await" <<'END'
#!/bin/sh
for _ in $(seq 600); do
  [ ! -e "$1" ] || exit 0
  sleep 0.1
done
echo "$1 did not appear" >&2
exit 1
END
chmod +x "$work/bin/await"
make_up dpkg-query <<'END'
exit 0
END
make_up apt-get <<'END'
exit 0
END
make_up sudo <<'END'
[ "$1" != -n ] || shift
exec "$@"
END
make_up df <<'END'
printf 'head\n/dev/disk 1 1 90000000\n'
END
make_up flock <<'END'
exit 0
END
make_up python3 <<'END'
[ "$*" = "-m venv --clear $WORK/levin/.deps/python" ]
mkdir -p "$WORK/levin/.deps/python/bin"
cp "$WORK/bin/venv-python" "$WORK/levin/.deps/python/bin/python"
END
make_up venv-python <<'END'
[ "$1" = -m ] || exit 1  # -c 'import pip'
[ ! -e "$WORK/state/pip-fails" ] || { echo "pip's own last line"; exit 1; }
site=$WORK/levin/.deps/python/lib/python3.11/site-packages
case $* in
  *--no-deps*)
    mkdir -p "$site/torch/lib" "$site/torch-2.11.0.dist-info"
    touch "$site/torch/lib/libtorch_cpu.so" "$site/torch-2.11.0.dist-info/RECORD"
    ;;
  *)
    await "$WORK/state/compiled"
    echo "the rest of LibTorch is there" >>"$WORK/log"
    touch "$WORK/state/installed"
    ;;
esac
END
make_up cmake <<'END'
mkdir -p "$WORK/levin/build/release"
touch "$WORK/levin/build/release/build.ninja"
END
make_up ninja <<'END'
case $* in
  *"-t targets all") printf '%s\n' 'CMakeFiles/levin.dir/a.cpp.o: CXX' 'CMakeFiles/levin_plain.dir/b.cpp.o: CXX' \
      'CMakeFiles/levin_test.dir/c.cpp.o: CXX' 'bin/levin: LINK' ;;
  *.o) touch "$WORK/state/compiled" ;;
  *levin_cli)
    [ -e "$WORK/state/installed" ] || { echo "linked too early" >&2; exit 1; }
    mkdir -p "$WORK/levin/build/release/bin"
    printf '#!/bin/sh\necho "trained: $*"\n' >"$WORK/levin/build/release/bin/levin"
    chmod +x "$WORK/levin/build/release/bin/levin"
    ;;
esac
END
unset LEVIN_TORCH_DIR LEVIN_UNITY LEVIN_WERROR
run() { LEVIN_JOBS=2 PATH="$work/bin:$PATH" "$work/levin/run" "$@" 2>"$work/errors"; }
fail() {
  echo "run_test.sh: $1" >&2
  cat "$work/log" "$work/errors" >&2
  exit 1
}

touch "$work/state/pip-fails"
! run list || fail "it went on although pip had failed"
grep -q "pip's own last line" "$work/errors" || fail "it doesn't show what pip printed"
grep -q "pip could not install torch==2.11.0" "$work/errors" || fail "it doesn't say that pip failed"
! grep -q '^ninja' "$work/log" || fail "it built although pip had failed"

rm "$work/state/pip-fails" "$work/log"
printed=$(run fit --config a.yaml) || fail "it failed"
[ "$printed" = "trained: fit --config a.yaml" ] || fail "it printed: $printed"
# pip starts once Python is there. What it does first and the other packages' installation have no order among each other.
steps() { sed -n "$1" "$work/log" | tr '\n' ' '; }
steps=$(steps 's/^apt-get.* install .*python3-venv.*/python/p; s/^venv-python .*--no-deps.*/headers/p
  s/^ninja .*CMakeFiles.*/compile/p; s/^the rest of LibTorch.*/rest/p; s/^ninja .* levin_cli$/link/p')
[ "$steps" = "python headers compile rest link " ] || fail "it took these steps: $steps"
steps=$(steps 's/^apt-get.* install .*python3-venv.*/python/p; s/^apt-get.* install .*g++.*/compiler/p
  s/^cmake --preset.*/configure/p')
[ "$steps" = "python compiler configure " ] || fail "it took these steps: $steps"
grep -q '^ninja .*CMakeFiles/levin.dir/a.cpp.o CMakeFiles/levin_plain.dir/b.cpp.o$' "$work/log" ||
  fail "it compiled something else than the library and the program"
[ ! -e "$work/levin/.deps/.incomplete" ] || fail "it left .deps/.incomplete behind"

: >"$work/log"
printed=$(run list) || fail "the second call failed"
! grep -q 'python' "$work/log" || fail "the second call started Python"
