#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include <levin/framework/data/datamodule_wrapper.h>

namespace levin {

/// The data of models that are trained together, but with several seeds: each training batch has a
/// part for each seed, with the rows that a model alone would see if `seed_everything` had been
/// called with it. All else is that of another data module.
///
///     levin::MultiSeedDataModule data(digits, {1, 2});
///     parts_by_seed(batch).at(1).input()  // the rows for seed 2
///
/// All models are validated on the same rows.
class MultiSeedDataModule : public DataModuleWrapper {
 public:
  /// Keeps a reference to `data`.
  MultiSeedDataModule(DataModule& data, std::vector<uint64_t> seeds)
      : DataModuleWrapper(data), seeds_(std::move(seeds)) {}

  /// One loader for each seed, which are read together. Throws ConfigError if the other data module
  /// has several loaders, one of unknown length, or one with a sampler that isn't known to get its
  /// seed from the loader.
  DataLoaders train_dataloader() override;
  void on_before_batch_transfer(Batch& batch) override;
  void on_after_batch_transfer(Batch& batch) override;

 private:
  void call_for_parts(void (DataModule::*hook)(Batch&), Batch& batch);

  std::vector<uint64_t> seeds_;
};

/// The parts of a batch of a MultiSeedDataModule, in the order of its seeds; the batch itself if it
/// is one of a single loader, such as one of validation.
std::vector<Batch> parts_by_seed(const Batch& batch);

}  // namespace levin
