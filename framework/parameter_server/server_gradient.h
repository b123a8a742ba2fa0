#pragma once

#include <cstdint>
#include <vector>

#include <levin/framework/parameter_server/server_values.h>

namespace levin {

/// A gradient of some rows, as a worker has pushed it.
struct ServerGradient {
  int64_t worker = 0;
  /// How many gradients the worker has pushed, this one included.
  int64_t number = 0;
  double weight = 1.0;
  /// The numbers of the rows in the server's table, ascending, if `is_list`; otherwise they are
  /// `count` rows from `first`.
  bool is_list = false;
  std::vector<int64_t> rows{};
  int64_t first = 0;
  int64_t count = 0;
  /// [count, width]; the server may change them.
  ServerSpan values{};
};

/// Adds `factor` times a gradient to the values, [rows, width], of a table of the same type.
void add_gradient(ServerSpan values, int64_t width, const ServerGradient& gradient,
                  double factor = 1.0);

/// Makes a gradient g of workers out of step into g + lambda * g * g * (w - pulled), where w are
/// the values now, and `pulled` those that its worker has computed it at: see
/// ParameterServerOptions::delay_compensation.
void compensate_delay(ConstServerSpan values, ConstServerSpan pulled, int64_t width,
                      const ServerGradient& gradient, double lambda);

}  // namespace levin
