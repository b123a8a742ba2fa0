#pragma once

#include <cstdint>
#include <string>

#include <levin/cli/command.h>
#include <levin/framework/core/options.h>

namespace levin {

struct Arguments;

/// The options of `levin bench-serve URL`.
struct BenchServeOptions {
  std::string model{};
  std::string format = "json";
  std::string rows{};
  std::string path{};
  int64_t request_rows = 1;
  int64_t connections = 32;
  double rate = 0.0;
  std::string arrivals = "poisson";
  double seconds = 10.0;
  double warmup = 1.0;
  double timeout = 10.0;
  bool sweep = false;
  int64_t steps = 10;
  int64_t seed = 0;
  std::string token_file{};
  std::string ca_file{};
  bool insecure = false;
};

Fields describe(BenchServeOptions& o);

/// Runs `levin bench-serve URL`: loads the server, prints a table and, with --json, one object as
/// the last line. A sweep writes OUTPUT.svg, .json and .csv. Returns the exit status: kFailed if no
/// request was answered, kInterrupted after Ctrl-C, when the figures are those so far. Throws
/// ConfigError for wrong options and DataError if the server can't be reached.
int bench_serve(const Arguments& arguments);

/// The command `bench-serve`, for run_command_line.
Command bench_serve_command();

}  // namespace levin
