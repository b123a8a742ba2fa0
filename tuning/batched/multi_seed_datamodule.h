#pragma once

#include <cstdint>
#include <exception>
#include <string>
#include <utility>
#include <vector>

#include <levin/framework/data/datamodule.h>

namespace levin {

/// The data of models that are trained together, but with several seeds: each training batch has a
/// part for each seed, with the rows that a model alone would see if `seed_everything` had been
/// called with it. All else is that of another data module.
///
///     levin::MultiSeedDataModule data(digits, {1, 2});
///     parts_by_seed(batch).at(1).input()  // the rows for seed 2
///
/// All models are validated on the same rows.
class MultiSeedDataModule : public DataModule {
 public:
  /// Keeps a reference to `data`.
  MultiSeedDataModule(DataModule& data, std::vector<uint64_t> seeds)
      : data_(data), seeds_(std::move(seeds)) {}

  void prepare_data() override { data_.prepare_data(); }
  void set_floating_type(at::ScalarType type) override;
  void setup(Stage stage) override;
  /// One loader for each seed, which are read together. Throws ConfigError if the other data module
  /// has several loaders, one of unknown length, or one with a sampler that isn't known to get its
  /// seed from the loader.
  DataLoaders train_dataloader() override;
  DataLoaders val_dataloader() override { return data_.val_dataloader(); }
  DataLoaders test_dataloader() override { return data_.test_dataloader(); }
  DataLoaders predict_dataloader() override { return data_.predict_dataloader(); }
  void set_loader_epoch(int64_t epoch) override;
  void teardown(Stage stage) override { data_.teardown(stage); }
  void on_before_batch_transfer(Batch& batch) override;
  void on_after_batch_transfer(Batch& batch) override;
  StateDict state_dict() const override { return data_.state_dict(); }
  void load_state_dict(const StateDict& state) override { data_.load_state_dict(state); }
  std::vector<std::string> class_names() override { return data_.class_names(); }
  int64_t num_classes() override { return data_.num_classes(); }
  StateDict fitted_state() override { return data_.fitted_state(); }
  void load_fitted_state(const StateDict& state) override { data_.load_fitted_state(state); }
  std::vector<std::string> fitted_settings() const override { return data_.fitted_settings(); }
  void on_exception(const std::exception& error) override { data_.on_exception(error); }
  std::string class_name() const override { return data_.class_name(); }
  Value hyper_parameters() const override { return data_.hyper_parameters(); }

 private:
  void call_for_parts(void (DataModule::*hook)(Batch&), Batch& batch);

  DataModule& data_;
  std::vector<uint64_t> seeds_;
};

/// The parts of a batch of a MultiSeedDataModule, in the order of its seeds; the batch itself if it
/// is one of a single loader, such as one of validation.
std::vector<Batch> parts_by_seed(const Batch& batch);

}  // namespace levin
