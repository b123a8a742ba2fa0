#include <levin/framework/data/datamodule_wrapper.h>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "framework/support.h"

namespace levin::datamodule_wrapper_test {

using Calls = std::vector<std::string>;

/// Writes down what is called.
class Recorder : public DataModule {
 public:
  explicit Recorder(bool changes_batches = false) : changes_batches_(changes_batches) {}

  void prepare_data() override { calls.emplace_back("prepare_data"); }
  void set_floating_type(at::ScalarType type) override {
    DataModule::set_floating_type(type);
    calls.emplace_back("set_floating_type");
  }
  void setup(Stage) override {
    calls.emplace_back("setup");
    note("a note");
  }
  DataLoaders train_dataloader() override { return called("train_dataloader"); }
  DataLoaders val_dataloader() override { return called("val_dataloader"); }
  DataLoaders test_dataloader() override { return called("test_dataloader"); }
  DataLoaders predict_dataloader() override { return called("predict_dataloader"); }
  void set_loader_epoch(int64_t epoch) override {
    DataModule::set_loader_epoch(epoch);
    calls.emplace_back("set_loader_epoch");
  }
  void teardown(Stage) override { calls.emplace_back("teardown"); }
  void on_exception(const std::exception&) override { calls.emplace_back("on_exception"); }
  void on_before_batch_transfer(Batch& batch) override {
    calls.emplace_back("on_before_batch_transfer");
    if (!changes_batches_) DataModule::on_before_batch_transfer(batch);
  }
  void on_after_batch_transfer(Batch& batch) override {
    calls.emplace_back("on_after_batch_transfer");
    if (!changes_batches_) DataModule::on_after_batch_transfer(batch);
  }
  StateDict state_dict() const override {
    return {.tensors = {}, .values = Value::Object{{"place", 3}}};
  }
  void load_state_dict(const StateDict&) override { calls.emplace_back("load_state_dict"); }
  std::vector<std::string> class_names() override { return {"a", "b"}; }
  int64_t num_classes() override { return 5; }
  StateDict fitted_state() override {
    return {.tensors = {}, .values = Value::Object{{"mean", 2}}};
  }
  void load_fitted_state(const StateDict&) override { calls.emplace_back("load_fitted_state"); }
  std::string class_name() const override { return "Mine"; }
  Value hyper_parameters() const override { return Value::Object{{"x", "train.csv"}}; }
  std::vector<std::string> fitted_settings() const override { return {"scale"}; }

  Calls calls;

 private:
  DataLoaders called(const char* name) {
    calls.emplace_back(name);
    return {};
  }

  bool changes_batches_;
};

TEST(DataModuleWrapper, passes_every_call_on) {
  Recorder inner;
  DataModuleWrapper outer(inner);
  DataModule& data = outer;
  data.set_floating_type(at::kDouble);
  data.prepare_data();
  data.load_fitted_state({});
  data.setup(Stage::fit);
  EXPECT_EQ(data.take_notes(), Calls{"a note"});
  data.set_loader_epoch(4);
  data.train_dataloader();
  data.val_dataloader();
  data.test_dataloader();
  data.predict_dataloader();
  data.load_state_dict({});
  Batch batch;
  data.on_before_batch_transfer(batch);
  data.on_after_batch_transfer(batch);
  data.on_exception(std::runtime_error("it fails"));
  data.teardown(Stage::fit);
  EXPECT_EQ(inner.calls,
            (Calls{"set_floating_type", "prepare_data", "load_fitted_state", "setup",
                   "set_loader_epoch", "train_dataloader", "val_dataloader", "test_dataloader",
                   "predict_dataloader", "load_state_dict", "on_before_batch_transfer",
                   "on_after_batch_transfer", "on_exception", "teardown"}));
  for (const DataModule* const each : {static_cast<DataModule*>(&inner), &data}) {
    EXPECT_EQ(each->floating_type(), at::kDouble);
    EXPECT_EQ(each->loader_epoch(), 4);
  }
  EXPECT_EQ(data.state_dict().values.at("place"), Value(3));
  EXPECT_EQ(data.fitted_state().values.at("mean"), Value(2));
  EXPECT_EQ(data.class_names(), (Calls{"a", "b"}));
  EXPECT_EQ(data.num_classes(), 5);
  EXPECT_EQ(data.class_name(), "Mine");
  EXPECT_EQ(data.hyper_parameters().at("x"), Value("train.csv"));
  EXPECT_EQ(data.fitted_settings(), Calls{"scale"});
}

TEST(DataModuleWrapper, leaves_batches_as_they_are_if_the_other_one_does) {
  for (const bool changes_batches : {false, true}) {
    Recorder inner(changes_batches);
    DataModuleWrapper data(inner);
    Batch batch;
    data.on_before_batch_transfer(batch);
    data.on_after_batch_transfer(batch);
    EXPECT_EQ(data.leaves_batches(), !changes_batches);
  }
}

}  // namespace levin::datamodule_wrapper_test
