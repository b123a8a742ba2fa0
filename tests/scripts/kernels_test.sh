#!/bin/sh
# kernels_test.sh LIBRARY: the sums of a tile of the matrix products (framework/kernels/cpu/tiles.h) stay in registers. What a
# compiler makes of the loops can change with any other code in their file; if it writes the sums to the stack in each turn,
# training takes 1.5 times as long, and no other test notices. A function may keep a few vectors there.
set -eu
command -v objdump >/dev/null || { echo "skipped: objdump is not installed"; exit 77; }
tiles=$(objdump -d --no-show-raw-insn -C "$1" | awk '
  function report() { if (tile != "") print (2 * stores > multiplications ? "IN MEMORY" : "in registers"), tile }
  /^[0-9a-f]+ <.*>:$/ {
    report()
    tile = /(logits|gradient)_tile</ ? $0 : ""
    multiplications = stores = 0
  }
  tile != "" && /vfn?madd[0-9]+ps/ { ++multiplications }
  tile != "" && /vmov[au]ps +%[yz]mm[0-9]+,.*\(%r[sb]p\)/ { ++stores }
  END { report() }')
count=$(printf '%s\n' "$tiles" | grep -c "in registers" || :)
[ "$count" -ge 20 ] || { echo "only $count tiles were found in $1"; exit 1; }
if printf '%s\n' "$tiles" | grep "IN MEMORY"; then
  echo "These tiles write their sums to the stack in the loops that sum them up."
  exit 1
fi
echo "$count tiles keep their sums in registers"
