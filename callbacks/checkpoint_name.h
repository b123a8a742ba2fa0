#pragma once

#include <levin/framework/logged/logged_values.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace levin {

/// A file name with places for numbers: `{epoch}`, `{step}`, `{val_loss:.2f}`. Lightning:
/// ModelCheckpoint's `filename`.
///
///     CheckpointName("{epoch}-{val_loss:.2f}", true)   epoch=3-val_loss=0.12
///     CheckpointName("best-{epoch:02d}", false)        best-03
class CheckpointName {
 public:
  /// Where `insert_names`, each number is written after its name and "=". Throws ConfigError for
  /// braces that don't match, a number format that isn't one, or a path out of the folder.
  CheckpointName(std::string_view pattern, bool insert_names);

  /// The name, without extension; a metric that isn't there is written as "nan".
  std::string format(int64_t epoch, int64_t step, const MetricMap& metrics) const;

 private:
  struct Part {
    std::string text;    // what stands before the number
    std::string metric;  // empty: no number
    std::string spec;    // as in {metric:spec}
  };
  std::vector<Part> parts_;
  bool insert_names_;
};

}  // namespace levin
