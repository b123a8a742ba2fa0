# ./run format [--check]. This file is sourced by run. It formats the sources with clang-format; with --check it changes
# nothing and fails if a file isn't formatted. Only version 14 will do, since other versions format some lines differently.
clang_format=
for candidate in clang-format-14 clang-format; do
  if command -v $candidate >/dev/null && $candidate --version | grep -q 'version 14\.'; then
    clang_format=$candidate
    break
  fi
done
[ -n "$clang_format" ] || fail "clang-format 14 is not installed" "Install it: apt-get install clang-format-14"

case ${1:-} in
  '') mode=-i ;;
  --check) mode="--dry-run -Werror" ;;
  *) fail "unknown argument $1; ./run format only takes --check" ;;
esac
cd "$root" || exit 1
# shellcheck disable=SC2086
find levin.h framework models datamodules callbacks cli serving tuning program examples benchmarks tests cmake \
  \( -name '*.h' -o -name '*.cpp' \) -print | sort | xargs $clang_format $mode ||
  fail "some sources are not formatted as .clang-format says" "Call ./run format to format them."
