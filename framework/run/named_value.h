#pragma once

#include <string_view>

#include <levin/framework/tensor/tensor.h>

namespace levin {

class Metric;

/// A value for log_dict: a number, a tensor of one element, or a metric with a state. It refers to
/// the tensor or metric and owns nothing, so that a list of values allocates no memory. Use it for
/// the length of one call.
class LoggableValue {
 public:
  LoggableValue(double number) : number_(number) {}                 // NOLINT
  LoggableValue(const torch::Tensor& tensor) : tensor_(&tensor) {}  // NOLINT
  LoggableValue(Metric& metric) : metric_(&metric) {}               // NOLINT

  /// Calls `take` with the number, the tensor or the metric.
  template <class Take>
  void visit(const Take& take) const {
    if (tensor_ != nullptr) {
      take(*tensor_);
    } else if (metric_ != nullptr) {
      take(*metric_);
    } else {
      take(number_);
    }
  }

 private:
  double number_ = 0.0;
  const torch::Tensor* tensor_ = nullptr;
  Metric* metric_ = nullptr;
};

/// A name and its value, as log_dict gets them in braces: `{"val_loss", loss}`.
struct NamedValue {
  std::string_view name;
  LoggableValue value;
};

}  // namespace levin
