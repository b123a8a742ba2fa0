#pragma once

#include <memory>
#include <string>

#include <levin/framework/data/dataset.h>
#include <levin/framework/data/sampler.h>

namespace levin {

/// Rows and the order in which they are read.
struct SampledRows {
  std::shared_ptr<const Dataset> dataset{};
  /// Null: as the loader's other options say.
  std::shared_ptr<const Sampler> sampler{};
};

/// Throws ConfigError unless `sampling` is "", "stratified", "balanced" or "weighted" (see
/// SplitDataModule::set_sampling).
void check_sampling(const std::string& sampling);

/// Returns the training rows with the order that `sampling` names. With "weighted", the rows have
/// no tensor "weight" any more. Throws ConfigError if they aren't in memory, or have no classes as
/// "target" or no "weight" although these are needed.
SampledRows sampled(std::shared_ptr<const Dataset> rows, const std::string& sampling);

}  // namespace levin
