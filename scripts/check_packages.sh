#!/bin/sh
# check_packages.sh [--project] [deb] [tgz] [wheel]: installs the packages of ./run package, each in a fresh Debian that debootstrap
# makes, and trains there. Root only; takes three minutes and 1 GB of disk. LibTorch isn't downloaded: the one in LEVIN_TORCH_DIR, or
# in .deps/, is mounted. The Debian is that of this machine, because a .deb is for the release that it was built on.
#
# With --project, it also installs a compiler there, and builds, tests and trains what `levin new project` writes. That takes two
# minutes more for each package.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
torch=${LEVIN_TORCH_DIR:-$(echo "$root"/.deps/python/lib/python3*/site-packages/torch)}
site=$(CDPATH='' cd -- "$torch/.." && pwd -P)
[ -e "$site/torch/lib/libtorch_cpu.so" ] || { echo "no LibTorch in $torch; set LEVIN_TORCH_DIR" >&2; exit 1; }

# enter KIND ROOT: what a process with mounts of its own does. They end with it, so nothing that is mounted is there when its
# caller removes the root.
enter() {
  kind=$1 fresh=$2
  mount -t proc proc "$fresh/proc"
  mount --bind "$site" "$fresh/site"
  mount -o remount,bind,ro "$fresh/site"
  package=/packages/$(ls "$fresh/packages")
  case $kind in
    deb)
      # shellcheck disable=SC2016
      in_root sh -c 'apt-get update && apt-get install -y --no-install-recommends "$0"' "$package" >"$fresh.log" 2>&1 ||
        { cat "$fresh.log" >&2; exit 1; }
      levin=levin prefix=/usr
      ;;
    tgz)
      in_root tar -xzf "$package" -C /opt
      prefix=/opt/$(ls "$fresh/opt")
      levin=$prefix/bin/levin
      ;;
    wheel)
      # pip takes the mounted packages for installed ones.
      # shellcheck disable=SC2016
      in_root sh -c 'python3 -m venv /venv && echo /site >"$(echo /venv/lib/python3*/site-packages)/site.pth" &&
        /venv/bin/pip install --no-index "$0"' "$package" >"$fresh.log" 2>&1 || { cat "$fresh.log" >&2; exit 1; }
      levin=/venv/bin/levin prefix=$(in_root /venv/bin/levin --cmake-prefix)
      ;;
  esac
  expect 0 "$prefix" "$levin" --cmake-prefix
  train="cd /tmp && '$levin' fit --config '$prefix/share/levin/examples/configs/iris.yaml' --trainer.max_epochs=2 --json"
  if [ "$kind" = wheel ]; then
    expect 0 '"epochs":2' sh -c "$train"
  else
    expect 1 'pip" install "torch==2.11.*"' sh -c "$train"
    expect 0 '"epochs":2' env LEVIN_TORCH_DIR=/site/torch sh -c "$train"
  fi
  expect 0 levin.h ls "$prefix/include/levin"
  [ -z "${LEVIN_CHECK_PROJECT:-}" ] || check_project
}

# check_project: a model, a data module and a callback of somebody's own, built against the installed package.
check_project() {
  torch_of_root=
  [ "$kind" = wheel ] || torch_of_root=LEVIN_TORCH_DIR=/site/torch
  # A project needs no other packages than these, because Levin's public headers include LibTorch's and the standard library's alone.
  expect 0 "" sh -c "apt-get update && apt-get install -y --no-install-recommends g++ cmake ninja-build libgtest-dev"
  in_project() { expect "$1" "$2" env $torch_of_root sh -c "cd /tmp && PATH=\"${levin%/*}:\$PATH\" && $3"; }
  levin=$(in_root sh -c "command -v '$levin'")
  in_project 0 "" "levin new project Flowers"
  in_project 0 "LibTorch 2" "cmake -G Ninja -S Flowers -B Flowers/build -DCMAKE_PREFIX_PATH='$prefix' && cmake --build Flowers/build"
  in_project 0 "100% tests passed" "ctest --test-dir Flowers/build"
  plugin='--plugin Flowers/build/libflowers.so'
  in_project 0 "best val_loss" "levin fit $plugin --config Flowers/config.yaml --trainer.max_epochs=2"
  in_project 0 test_loss "levin test $plugin --config Flowers/config.yaml --ckpt-path best"
  in_project 0 "best val_loss" "Flowers/build/flowers_trainer fit --config Flowers/config.yaml --trainer.max_epochs=2"
}

in_root() { chroot "$fresh" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 OMP_NUM_THREADS=1 "$@"; }

# expect STATUS TEXT COMMAND...: a command in the root ends with this status and prints this.
expect() {
  wanted=$1 text=$2
  shift 2
  status=0
  in_root "$@" >"$fresh.log" 2>&1 || status=$?
  if [ $status != "$wanted" ] || ! grep -qF "$text" "$fresh.log"; then
    echo "check_packages.sh: '$*' ended with $status instead of $wanted, or did not print: $text" >&2
    cat "$fresh.log" >&2
    exit 1
  fi
  echo "ok: $*"
}

if [ "${1:-}" = --enter ]; then
  enter "$2" "$3"
  exit
fi
if [ "${1:-}" = --project ]; then
  export LEVIN_CHECK_PROJECT=1
  shift
fi
[ $# -gt 0 ] || set -- deb tgz wheel
# shellcheck source=/dev/null
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT
echo "== a fresh $suite"
debootstrap --variant=minbase --include=ca-certificates,python3-venv "$suite" "$work/base" >"$work/log" 2>&1 ||
  { cat "$work/log" >&2; exit 1; }
for kind; do
  echo "== $kind"
  cp -a "$work/base" "$work/$kind"
  mkdir "$work/$kind/site" "$work/$kind/packages"
  cp "$root"/build/packages/*."$(echo "$kind" | sed 's/tgz/tar.gz/; s/wheel/whl/')" "$work/$kind/packages/"
  unshare -m "$0" --enter "$kind" "$work/$kind"
  rm -rf --one-file-system "${work:?}/$kind"
done
echo "all packages work"
