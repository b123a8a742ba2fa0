#!/bin/sh
# A compiler launcher: syntax_only.sh COMPILER ARGUMENTS... runs the compiler with -fsyntax-only and creates an empty object
# file. Precompiled headers are compiled as usual.
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
