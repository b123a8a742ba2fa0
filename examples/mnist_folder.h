#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>

/// The exit status of an example that can't run on this machine. ctest counts it as skipped.
constexpr int kSkipped = 77;

/// Returns the folder of MNIST's files: the first argument if there is one, otherwise $MNIST_DIR if
/// it is set, otherwise data/mnist, into which the data module downloads them.
///
/// If $LEVIN_OFFLINE is set, as it is in the tests, nothing may be downloaded. Without a folder,
/// the function then prints the reason and returns an empty text.
inline std::string mnist_folder(int argc, char** argv) {
  if (argc > 1) return argv[1];
  if (const char* folder = std::getenv("MNIST_DIR")) return folder;
  if (std::getenv("LEVIN_OFFLINE") == nullptr) return "data/mnist";
  std::puts("skipped: this example needs MNIST; set MNIST_DIR to the folder of its four files");
  return {};
}
