# ./run gpu-check. This file is sourced by run. It installs Levin into build/gpu-check/levin, with MNIST if MNIST_DIR is set,
# and runs the CUDA tests and the GPU benchmarks from there. The installed tree can also be copied to another machine that has
# a GPU and LibTorch; its libexec/levin/gpu-check does the same there. The tree should be at most 64 MiB.
prepare
build release
tree=$root/build/gpu-check/levin
rm -rf "$tree"
for component in Unspecified checks bundle; do
  cmake --install "$release" --prefix "$tree" --component $component --strip >/dev/null || fail "cmake --install failed"
done
exec 9>&-

# What gpu-check doesn't use is left out: the examples, and the tests that need no GPU.
rm -rf "$tree/libexec/levin/examples" "$tree/share/levin/examples" "$tree/include"
for program in "$tree"/libexec/levin/tests/*_test; do
  tests=$(LD_LIBRARY_PATH=$tree/lib:$torch/lib "$program" --gtest_list_tests) || fail "$program --gtest_list_tests failed"
  case $tests in
    *Cuda*) ;;
    *) rm "$program" ;;
  esac
done

# MNIST's files, gzipped and named as the programs expect them.
pack_mnist() {
  mkdir -p "$tree/share/levin/mnist"
  for name in train-images-idx3-ubyte train-labels-idx1-ubyte t10k-images-idx3-ubyte t10k-labels-idx1-ubyte; do
    to=$tree/share/levin/mnist/$name.gz
    for from in "$MNIST_DIR/MNIST/raw/$name" "$MNIST_DIR/${name%-idx*}.idx${name#*-idx}" "$MNIST_DIR/$name"; do
      if [ -e "$from.gz" ]; then cp -f "$from.gz" "$to"; elif [ -e "$from" ]; then gzip -n <"$from" >"$to"; fi
    done
    [ -e "$to" ] || fail "MNIST_DIR = $MNIST_DIR has no $name, gzipped or not"
  done
}
[ -z "${MNIST_DIR:-}" ] || pack_mnist

say "Levin is installed in $tree, $(du -sm "$tree" | cut -f 1) MiB (at most 64, so that it can be carried)"
LEVIN_TORCH_DIR=$torch "$tree/libexec/levin/gpu-check" "$root/benchmarks/results"
