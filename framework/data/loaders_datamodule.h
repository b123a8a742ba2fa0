#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include <levin/framework/data/dataloader.h>
#include <levin/framework/data/datamodule.h>
#include <levin/framework/data/dataset.h>

namespace levin {

/// The loaders of each stage; those that aren't given stay empty.
struct StageLoaders {
  DataLoaders train{};
  DataLoaders val{};
  DataLoaders test{};
  DataLoaders predict{};
};

/// A data module of loaders that are there already:
///
///     levin::LoadersDataModule data({.train = train, .val = {first, second}});
///     trainer.fit(model, data);
///
/// `Trainer::fit(module, train, val)` and its like make one. A model that needs to know more than
/// the rows tell, such as the names of classes, needs a data module of its own class.
class LoadersDataModule : public DataModule {
 public:
  explicit LoadersDataModule(StageLoaders loaders) : loaders_(std::move(loaders)) {}

  DataLoaders train_dataloader() override { return loaders_.train; }
  DataLoaders val_dataloader() override { return loaders_.val; }
  DataLoaders test_dataloader() override { return loaders_.test; }
  DataLoaders predict_dataloader() override { return loaders_.predict; }

 private:
  StageLoaders loaders_;
};

/// The data sets of each stage. Each of them gets a loader of its own.
struct StageDatasets {
  std::vector<std::shared_ptr<const Dataset>> train{};
  std::vector<std::shared_ptr<const Dataset>> val{};
  std::vector<std::shared_ptr<const Dataset>> test{};
  std::vector<std::shared_ptr<const Dataset>> predict{};
};

/// How `from_datasets` reads the rows; see DataLoaderOptions.
struct FromDatasetsOptions {
  int64_t batch_size = 1;
  int64_t num_workers = 0;
  /// Whether the training rows are shuffled anew in each epoch. Streams of unknown length keep
  /// their order in any case.
  bool shuffle = true;
  /// Whether a last training batch that isn't full is left out.
  bool drop_last = false;
  bool pin_memory = false;
};

/// Makes a data module of data sets. Lightning: LightningDataModule.from_datasets. Throws what
/// DataLoader's constructor throws: ConfigError for options out of range or a null data set, and
/// DataError for one without rows.
///
///     auto data = levin::from_datasets({.train = {train}, .val = {val}}, {.batch_size = 32});
LoadersDataModule from_datasets(StageDatasets datasets, FromDatasetsOptions options = {});

}  // namespace levin
