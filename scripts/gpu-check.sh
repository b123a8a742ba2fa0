# ./run gpu-check. This file is sourced by run. It installs Levin into build/gpu-check/levin, and runs the CUDA tests and
# the GPU benchmarks from there. The installed tree can also be copied to another machine that has a GPU and LibTorch; its
# libexec/levin/gpu-check does the same there.
prepare
build release
tree=$root/build/gpu-check/levin
rm -rf "$tree"
for component in Unspecified bundle; do
  cmake --install "$release" --prefix "$tree" --component $component >/dev/null || fail "cmake --install failed"
done
exec 9>&-
say "Levin is installed in $tree"
LEVIN_TORCH_DIR=$torch "$tree/libexec/levin/gpu-check" "$root/benchmarks/results"
