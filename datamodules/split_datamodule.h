#pragma once

#include <memory>

#include <levin/framework/data/datamodule.h>

namespace levin {

/// The common part of data modules that keep one data set for each stage in memory: it makes the
/// loaders. A subclass fills `sets_` in `setup`:
///
///     class Spirals : public levin::SplitDataModule {
///      public:
///       Spirals() : SplitDataModule({.batch_size = 32, .shuffle = true}) {}
///       void setup(levin::Stage) override { sets_.train = std::make_shared<...>(x, y); }
///     };
class SplitDataModule : public DataModule {
 public:
  /// Each calls `setup` for its stage first, and returns no loader if there is no such set. Throws
  /// ConfigError if the loader's options are invalid.
  DataLoaders train_dataloader() override;
  DataLoaders val_dataloader() override;
  DataLoaders test_dataloader() override;
  DataLoaders predict_dataloader() override;

 protected:
  /// The sets that were loaded; null for none.
  struct Sets {
    std::shared_ptr<const Dataset> train;
    std::shared_ptr<const Dataset> val;
    std::shared_ptr<const Dataset> test;
    std::shared_ptr<const Dataset> predict;
  };

  /// `training` are the options of the training loader. The other loaders have the same, except
  /// that they neither shuffle nor drop a last batch that isn't full.
  explicit SplitDataModule(DataLoaderOptions training) : training_(std::move(training)) {}

  Sets sets_;

 private:
  DataLoaders loader(const std::shared_ptr<const Dataset>& set, bool is_train) const;

  DataLoaderOptions training_;
};

/// The options of a training loader, from the options of a data module, which have the same names.
template <class Options>
DataLoaderOptions training_loader_options(const Options& options) {
  return {.batch_size = options.batch_size,
          .shuffle = options.shuffle,
          .drop_last = options.drop_last,
          .num_workers = options.num_workers,
          .pin_memory = options.pin_memory};
}

}  // namespace levin
