#pragma once

#include <cstdint>
#include <exception>
#include <string>
#include <vector>

#include <levin/framework/data/datamodule.h>

namespace levin {

/// A data module that passes every call on to another one. Derive from it to change a part of what
/// the other one does:
///
///     class FirstRows : public levin::DataModuleWrapper {
///      public:
///       using DataModuleWrapper::DataModuleWrapper;
///       levin::DataLoaders train_dataloader() override { return first_rows(wrapped()); }
///     };
///
/// Checkpoints then name the other one's class and settings.
class DataModuleWrapper : public DataModule {
 public:
  /// Keeps a reference to `data`.
  explicit DataModuleWrapper(DataModule& data) : data_(data) {}

  void prepare_data() override { data_.prepare_data(); }
  void set_floating_type(at::ScalarType type) override;
  /// Also passes on what the other one notes.
  void setup(Stage stage) override;
  DataLoaders train_dataloader() override { return data_.train_dataloader(); }
  DataLoaders val_dataloader() override { return data_.val_dataloader(); }
  DataLoaders test_dataloader() override { return data_.test_dataloader(); }
  DataLoaders predict_dataloader() override { return data_.predict_dataloader(); }
  void set_loader_epoch(int64_t epoch) override;
  void teardown(Stage stage) override { data_.teardown(stage); }
  void on_exception(const std::exception& error) override { data_.on_exception(error); }
  void on_before_batch_transfer(Batch& batch) override { data_.on_before_batch_transfer(batch); }
  void on_after_batch_transfer(Batch& batch) override;
  StateDict state_dict() const override { return data_.state_dict(); }
  void load_state_dict(const StateDict& state) override { data_.load_state_dict(state); }
  std::vector<std::string> class_names() override { return data_.class_names(); }
  int64_t num_classes() override { return data_.num_classes(); }
  StateDict fitted_state() override { return data_.fitted_state(); }
  void load_fitted_state(const StateDict& state) override { data_.load_fitted_state(state); }
  std::string class_name() const override { return data_.class_name(); }
  Value hyper_parameters() const override { return data_.hyper_parameters(); }
  std::vector<std::string> fitted_settings() const override { return data_.fitted_settings(); }

 protected:
  DataModule& wrapped() { return data_; }
  const DataModule& wrapped() const { return data_; }
  /// Says that this one leaves batches as they are if the other one does; for an override of
  /// on_after_batch_transfer.
  void leave_batches_as_wrapped(Batch& batch);
  /// Notes what the other one has noted; for an override of `setup`.
  void pass_notes();

 private:
  DataModule& data_;
};

}  // namespace levin
