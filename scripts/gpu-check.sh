# ./run gpu-check: read by run. Installs into build/gpu-check/levin, a tree that can be copied to a machine with a GPU
# (LibTorch beside it, see libexec/levin/gpu-check), and runs the cuda tests and GPU benchmarks from there.
prepare
build release
tree=$root/build/gpu-check/levin
rm -rf "$tree"
for component in Unspecified bundle; do
  cmake --install "$release" --prefix "$tree" --component $component >/dev/null || fail "the installation failed"
done
exec 9>&-
say "installed into $tree"
LEVIN_TORCH_DIR=$torch "$tree/libexec/levin/gpu-check" "$root/benchmarks/results"
