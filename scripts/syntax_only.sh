#!/bin/sh
# A compiler launcher: syntax_only.sh COMPILER ARGUMENTS... has the compiler read the source, and leaves an empty object
# file. Precompiled headers are made as they are.
for argument; do
  [ "$argument" != -emit-pch ] || exec "$@"
done
"$@" -fsyntax-only || exit
while [ $# -gt 1 ]; do
  if [ "$1" = -o ]; then
    : >"$2"
    exit
  fi
  shift
done
