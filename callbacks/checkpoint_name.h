#pragma once

#include <levin/framework/logged/logged_values.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace levin {

/// A pattern for the names of checkpoint files, with placeholders for numbers: `{epoch}`, `{step}`,
/// or any metric's name. Lightning: ModelCheckpoint's `filename`.
///
/// A number format may follow a colon. It is one of Python's, such as `02d` or `.2f`.
///
///     CheckpointName("{epoch}-{val_loss:.2f}", true).format(3, 400, metrics);
///     // "epoch=3-val_loss=0.12"
///     CheckpointName("best-{epoch:02d}", false).format(3, 400, metrics);  // "best-03"
class CheckpointName {
 public:
  /// If `insert_names` is true, each number is preceded by its name and "=". Throws ConfigError if
  /// braces don't match, a number format is invalid, or the name leads out of the checkpoints'
  /// folder.
  CheckpointName(std::string_view pattern, bool insert_names);

  /// Returns the file name without extension. Metrics that `metrics` doesn't have become "nan", and
  /// slashes in a metric's name become "_".
  std::string format(int64_t epoch, int64_t step, const MetricMap& metrics) const;
  /// Returns the metrics of placeholders that `metrics` doesn't have.
  std::vector<std::string> missing(const MetricMap& metrics) const;

 private:
  /// A placeholder and the text before it.
  struct Part {
    std::string text;
    std::string metric;  // empty if no placeholder follows the text
    std::string spec;    // the number format, as in {metric:spec}
  };
  std::vector<Part> parts_;
  bool insert_names_;
};

}  // namespace levin
