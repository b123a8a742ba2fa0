#pragma once

#include <cstdint>
#include <string>

#include <levin/framework/parameter_server/server_values.h>

namespace levin {

/// Options of ParameterServer.
struct ParameterServerOptions {
  int64_t workers = 1;
  /// How many pushes a worker may be ahead of the slowest one: see ServerClock.
  int64_t staleness = 0;
  /// The parameters of this server: `rows` rows of `width` numbers each.
  int64_t rows = 0;
  int64_t width = 1;
  /// A text of 1 to 64 bytes that only the ranks of the run know.
  std::string token{};
  /// The address of this host at which the server listens.
  std::string host = "127.0.0.1";
  /// This server's number among those that hold a table together, and how many they are. All have
  /// the same workers, staleness, width and type; the first rows of the table are those of the
  /// first server.
  int64_t server = 0;
  int64_t servers = 1;
  /// What happens if a worker's connection ends and it hasn't said that it leaves: the calls of all
  /// workers fail and name it, or the others go on as if it had left.
  enum class OnLostWorker { fail, leave_out };
  OnLostWorker on_lost_worker = OnLostWorker::fail;
  /// lambda of DC-ASGD (Zheng et al., "Asynchronous Stochastic Gradient Descent with Delay
  /// Compensation", 2017): a gradient g becomes g + lambda * g * g * (w - w'), where w' are the
  /// values that its worker pulled last. Costs a copy of the values for each worker. Not for
  /// workers in step.
  double delay_compensation = 0.0;
};

/// Returns the options. Throws ConfigError if one is out of range, or `values` aren't rows * width
/// numbers.
ParameterServerOptions checked_server_options(ParameterServerOptions options,
                                              ConstServerSpan values);

}  // namespace levin
