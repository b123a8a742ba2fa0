#pragma once

#include <string>
#include <vector>

#include <levin/framework/data/datamodule.h>

namespace levin {

/// The training data of another data module, for trials before a fit. It has no other data, and
/// passes everything on; derive from it to change what trials get.
class TrialData : public DataModule {
 public:
  explicit TrialData(DataModule& data) : data_(data) {}
  void prepare_data() override { data_.prepare_data(); }
  void set_floating_type(at::ScalarType type) override { data_.set_floating_type(type); }
  void setup(Stage stage) override { data_.setup(stage); }
  DataLoaders train_dataloader() override { return data_.train_dataloader(); }
  void set_loader_epoch(int64_t epoch) override { data_.set_loader_epoch(epoch); }
  void teardown(Stage stage) override { data_.teardown(stage); }
  void on_before_batch_transfer(Batch& batch) override { data_.on_before_batch_transfer(batch); }
  void on_after_batch_transfer(Batch& batch) override { data_.on_after_batch_transfer(batch); }
  StateDict state_dict() const override { return data_.state_dict(); }
  void load_state_dict(const StateDict& state) override { data_.load_state_dict(state); }
  std::vector<std::string> class_names() override { return data_.class_names(); }
  int64_t num_classes() override { return data_.num_classes(); }
  StateDict fitted_state() override { return data_.fitted_state(); }
  void load_fitted_state(const StateDict& state) override { data_.load_fitted_state(state); }
  Value hyper_parameters() const override { return data_.hyper_parameters(); }

 protected:
  DataModule& data_;
};

}  // namespace levin
