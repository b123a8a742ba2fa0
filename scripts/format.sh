# ./run format [--check]: read by run. Lays out our sources with clang-format; --check changes nothing.
# Other versions than 14 lay out some lines otherwise.
clang_format=
for candidate in clang-format-14 clang-format; do
  if command -v $candidate >/dev/null && $candidate --version | grep -q 'version 14\.'; then
    clang_format=$candidate
    break
  fi
done
[ -n "$clang_format" ] || fail "clang-format 14 is not installed" "apt-get install clang-format-14"

case ${1:-} in
  '') mode=-i ;;
  --check) mode="--dry-run -Werror" ;;
  *) fail "format knows only --check, not $1" ;;
esac
cd "$root" || exit 1
# shellcheck disable=SC2086
find levin.h framework models datamodules callbacks cli examples benchmarks tests cmake \
  \( -name '*.h' -o -name '*.cpp' \) -print | sort | xargs $clang_format $mode ||
  fail "some sources are laid out otherwise than .clang-format says" "./run format puts that right"
