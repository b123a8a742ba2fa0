#!/bin/sh
# launcher_test.sh LAUNCHER: the program `levin` of a package, which finds LibTorch, in trees that are made up here. LAUNCHER is
# packaging/levin.sh.in as CMake has configured it.
set -eu
for system in /opt/libtorch /usr/local/lib/python3*/*-packages/torch /usr/lib/python3*/*-packages/torch; do
  [ ! -e "$system/lib/libtorch_cpu.so" ] || { echo "this machine has $system, which would be found"; exit 77; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
work=$(readlink -f "$work")
site=$work/levin
mkdir -p "$site/bin" "$site/libexec/levin" "$work/home"
cp "$1" "$site/bin/levin"
cat >"$site/libexec/levin/levin" <<'END'
#!/bin/sh
echo "started with $* in ${LD_LIBRARY_PATH:-no folder}"
exit 3
END
chmod +x "$site/libexec/levin/levin"
version=$(sed -n 's/^series=//p' "$1")
[ -n "$version" ]

# torch FOLDER VERSION: a LibTorch with CUDA libraries.
torch() {
  mkdir -p "$1/lib" "$1/include/torch/headeronly"
  touch "$1/lib/libtorch_cpu.so" "$1/lib/libtorch_cuda.so"
  printf '#define TORCH_VERSION_MAJOR %s\n#define TORCH_VERSION_MINOR %s\n' "${2%.*}" "${2#*.}" \
    >"$1/include/torch/headeronly/version.h"
}
# expect STATUS TEXT [NAME=VALUE...] -- ARGUMENTS...: calls the launcher by a link, in an environment of its own, with the
# variables.
ln -s "$site/bin/levin" "$work/link"
expect() {
  wanted=$1 text=$2
  shift 2
  variables=
  while [ "$1" != -- ]; do
    variables="$variables $1"
    shift
  done
  shift
  status=0
  # shellcheck disable=SC2086  # a list of words
  output=$(env -i PATH="$PATH" HOME="$work/home" $variables "$work/link" "$@" 2>&1) || status=$?
  if [ $status != "$wanted" ] || ! printf '%s\n' "$output" | grep -qF "$text"; then
    echo "launcher_test.sh: levin $* (with$variables) ended with $status and printed:" >&2
    printf '%s\n' "$output" "instead of $wanted and: $text" >&2
    exit 1
  fi
}

expect 1 "\"$work/home/.local/share/levin/bin/pip\" install \"torch==$version.*\"" -- fit
expect 0 "$site" -- --cmake-prefix

torch "$work/old" 2.4
expect 1 "$work/old can't be used: it is version 2.4." LEVIN_TORCH_DIR="$work/old" -- fit
expect 1 "LEVIN_TORCH_DIR = $work/none has no lib/libtorch_cpu.so." LEVIN_TORCH_DIR="$work/none" -- fit
torch "$work/cpu" "$version"
rm "$work/cpu/lib/libtorch_cuda.so"
if grep -q '^with_cuda=ON' "$1"; then
  expect 1 "$work/cpu can't be used: it has no CUDA libraries" LEVIN_TORCH_DIR="$work/cpu" -- fit
else
  expect 3 "started with fit in $work/cpu/lib" LEVIN_TORCH_DIR="$work/cpu" -- fit
fi

# Each place comes before those that were tried earlier; an unfit one is passed over.
torch "$work/home/.local/lib/python3.9/site-packages/torch" "$version"
expect 3 "started with fit in $work/home/.local/lib/python3.9/site-packages/torch/lib" -- fit
torch "$work/home/.local/share/levin/lib/python3.12/site-packages/torch" "$version"
expect 3 "started with a b in $work/home/.local/share/levin/lib/python3.12/site-packages/torch/lib" -- a b
torch "$work/venv/lib/python3.11/site-packages/torch" "$version"
expect 3 "started with fit in $work/venv/lib/python3.11/site-packages/torch/lib" VIRTUAL_ENV="$work/venv" -- fit
expect 3 "in $work/venv/lib/python3.11/site-packages/torch/lib:/own" VIRTUAL_ENV="$work/venv" LD_LIBRARY_PATH=/own -- fit
torch "$work/torch" 2.4
expect 3 "started with fit in $work/venv/lib/python3.11/site-packages/torch/lib" VIRTUAL_ENV="$work/venv" -- fit
torch "$work/torch" "$version"  # beside the tree, where the program finds it without help
expect 3 "started with fit in no folder" VIRTUAL_ENV="$work/venv" -- fit
expect 0 "$work/torch" -- --torch-dir
torch "$work/named" "$version"
expect 3 "started with fit in $work/named/lib" LEVIN_TORCH_DIR="$work/named" -- fit

# The tree of a wheel asks the Python that it was installed for.
if command -v python3 >/dev/null; then
  python3 -m venv --without-pip "$work/own"
  packages=$(echo "$work/own/lib"/python3*/site-packages)
  cp -R "$site" "$packages/levin"
  touch "$packages/levin/__init__.py"
  mkdir "$work/shared"
  echo "$work/shared" >"$packages/shared.pth"
  rm "$work/link"
  ln -s "$packages/levin/bin/levin" "$work/link"
  expect 3 "started with fit in $work/venv/lib/python3.11/site-packages/torch/lib" VIRTUAL_ENV="$work/venv" -- fit
  torch "$work/shared/torch" "$version"
  touch "$work/shared/torch/__init__.py"
  expect 3 "started with fit in $work/shared/torch/lib" VIRTUAL_ENV="$work/venv" -- fit
  expect 0 "$work/shared/torch" -- --torch-dir
fi
