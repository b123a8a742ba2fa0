#!/bin/sh
# run_test.sh SOURCE_FOLDER: `./run fit` on a machine without LibTorch, whose apt-get, pip, cmake and ninja are made up here. The
# program's sources must be compiled while pip still downloads what LibTorch needs, and linked only afterwards; and if pip
# fails, its lines are shown and nothing goes on. What serves and tunes must be compiled for the first command that may need it, not
# before.
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
[ ! -e "$WORK/state/pip-fails" ] || { cat "$WORK/state/pip-fails"; exit 1; }
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
built() {
  [ -e "$WORK/state/installed" ] || { echo "linked too early" >&2; exit 1; }
  mkdir -p "$WORK/levin/build/release/$1"
  printf '#!/bin/sh\necho "%s: $*"\n' "$1" >"$WORK/levin/build/release/$1/levin"
  chmod +x "$WORK/levin/build/release/$1/levin"
}
case $* in
  *"-t targets all") for part in levin levin_core levin_plain levin_services_plain levin_first_cli levin_cli levin_test; do
      echo "CMakeFiles/$part.dir/a.cpp.o: CXX"
    done
    echo 'bin/levin: LINK' ;;
  *.o) touch "$WORK/state/compiled" ;;
  *levin_first_cli) built first/bin ;;
  *levin_cli) built bin ;;
esac
END
unset LEVIN_TORCH_DIR LEVIN_UNITY LEVIN_WERROR
run() { LEVIN_JOBS=2 PATH="$work/bin:$PATH" "$work/levin/run" "$@" 2>"$work/errors"; }
fail() {
  echo "run_test.sh: $1" >&2
  cat "$work/log" "$work/errors" >&2
  exit 1
}

echo "pip's own last line" >"$work/state/pip-fails"
! run list || fail "it went on although pip had failed"
grep -q "pip's own last line" "$work/errors" || fail "it doesn't show what pip printed"
grep -q "pip could not install torch==2.11.0" "$work/errors" || fail "it doesn't say that pip failed"
! grep -q '^ninja' "$work/log" || fail "it built although pip had failed"
echo "SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate'))" >"$work/state/pip-fails"
! run list || fail "it went on although pip trusted no certificate"
grep -q "/usr/local/share/ca-certificates" "$work/errors" || fail "it doesn't say what to do about a proxy's certificate"

rm "$work/state/pip-fails" "$work/log"
printed=$(run fit --config a.yaml) || fail "it failed"
[ "$printed" = "first/bin: fit --config a.yaml" ] || fail "it printed: $printed"
# pip starts once Python is there. What it does first and the other packages' installation have no order among each other.
steps() { sed -n "$1" "$work/log" | tr '\n' ' '; }
steps=$(steps 's/^apt-get.* install .*python3-venv.*/python/p; s/^venv-python .*--no-deps.*/headers/p
  s/^ninja .*CMakeFiles.*/compile/p; s/^the rest of LibTorch.*/rest/p; s/^ninja .* levin_first_cli$/link/p')
[ "$steps" = "python headers compile rest link " ] || fail "it took these steps: $steps"
steps=$(steps 's/^apt-get.* install .*python3-venv.*/python/p; s/^apt-get.* install .*g++.*/compiler/p
  s/^cmake --preset.*/configure/p')
[ "$steps" = "python compiler configure " ] || fail "it took these steps: $steps"
objects=$(sed -n 's/^ninja .* -j 2 \(CMakeFiles.*\)/\1/p' "$work/log" | sed 's/CMakeFiles.levin_\([a-z_]*\).dir.a.cpp.o/\1/g')
[ "$objects" = "core plain first_cli" ] || fail "to train, it compiled $objects"
[ ! -e "$work/levin/.deps/.incomplete" ] || fail "it left .deps/.incomplete behind"

# built ARGUMENTS...: what a call of ./run gave ninja to build, and which program it started.
built() {
  : >"$work/log"
  run "$@" >"$work/printed" || fail "./run $* failed"
  ! grep -q 'python' "$work/log" || fail "./run $* started Python, although LibTorch is there"
  echo "$(sed -n 's/^ninja .* \(levin[a-z_]*\)$/\1/p' "$work/log" | tr '\n' ' ')$(sed 's/:.*//' "$work/printed")"
}
expect() {
  [ "$2" = "$3" ] || fail "./run $1 built and started '$2' instead of '$3'"
}
expect "fit again" "$(built fit --config a.yaml)" "first/bin"
expect "fit with a plugin" "$(built fit --config a.yaml --plugin=b.so)" "levin_cli bin"
expect "fit after that" "$(built fit --config a.yaml)" "bin"
rm "$work/levin/build/release/bin/levin"
expect serve "$(built serve a.ckpt)" "levin_cli bin"
rm "$work/levin/build/release/bin/levin"
expect "fit --sweep" "$(built fit --config a.yaml --sweep)" "levin_cli bin"
touch "$work/levin/program" && rm -rf "$work/levin/build/release/bin"
expect "fit of changed sources" "$(built fit)" "levin_first_cli first/bin"
rm -rf "$work/levin/build/release/bin"
docs=$work/levin/.deps/docs
mkdir -p "$work/levin/scripts" "$docs/bin"
cp "$1/scripts/docs.sh" "$work/levin/scripts/docs.sh"
printf "#!/bin/sh\n" >"$docs/bin/python"
chmod +x "$docs/bin/python"
sed -n 's/^docs_packages="\(.*\)"/\1/p; s/^docs_axe="\([^"]*\)".*/\1/p' "$1/scripts/docs.sh" | paste -s -d ' ' >"$docs/.installed"
: >"$work/log"
run docs >"$work/printed" || fail "./run docs failed"
grep -q '^ninja .* levin_cli$' "$work/log" || fail "./run docs did not build levin_cli"
