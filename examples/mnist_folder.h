#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>

/// What an example returns to say that it couldn't run here: ctest counts it as skipped.
constexpr int kSkipped = 77;

/// The folder of MNIST's files: the first argument, else $MNIST_DIR, else data/mnist, where the
/// data module downloads to. With $LEVIN_OFFLINE set (the tests), empty where there is none.
inline std::string mnist_folder(int argc, char** argv) {
  if (argc > 1) return argv[1];
  if (const char* folder = std::getenv("MNIST_DIR")) return folder;
  if (std::getenv("LEVIN_OFFLINE") == nullptr) return "data/mnist";
  std::puts("skipped: needs MNIST; set MNIST_DIR to the folder of its four files");
  return {};
}
