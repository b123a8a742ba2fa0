#include "framework/support.h"

#include <gtest/gtest.h>

#include <levin/framework/run/module_callbacks.h>

// The order of hooks that framework/run/hooks.h documents, written down by everybody who has any.

namespace levin::hook_order_test {

using test::TemporaryFolder;
using Log = std::vector<std::string>;

/// A Module or Callback that writes down every hook as "name.hook".
template <class Base>
class Recording : public Base {
 public:
  void record_as(std::string name, Log& log) {
    name_ = std::move(name);
    log_ = &log;
  }

  void setup(Stage stage, Run&) override { note("setup", stage); }
  void teardown(Stage stage, Run&) override { note("teardown", stage); }
  void on_fit_start(Run&) override { note("on_fit_start"); }
  void on_fit_end(Run&) override { note("on_fit_end"); }
  void on_sanity_check_start(Run&) override { note("on_sanity_check_start"); }
  void on_sanity_check_end(Run&) override { note("on_sanity_check_end"); }
  void on_train_start(Run&) override { note("on_train_start"); }
  void on_train_end(Run&) override { note("on_train_end"); }
  void on_train_epoch_start(Run&) override { note("on_train_epoch_start"); }
  void on_train_epoch_end(Run&) override { note("on_train_epoch_end"); }
  void on_train_batch_start(const Batch&, Step&) override { note("on_train_batch_start"); }
  void on_train_batch_end(const torch::Tensor&, const Batch&, Step&) override {
    note("on_train_batch_end");
  }
  void on_before_zero_grad(Optimizer&, Step&) override { note("on_before_zero_grad"); }
  void on_before_backward(const torch::Tensor&, Step&) override { note("on_before_backward"); }
  void on_after_backward(Step&) override { note("on_after_backward"); }
  void on_before_optimizer_step(Optimizer&, Step&) override { note("on_before_optimizer_step"); }
  void on_validation_start(Run&) override { note("on_validation_start"); }
  void on_validation_end(Run&) override { note("on_validation_end"); }
  void on_validation_epoch_start(Run&) override { note("on_validation_epoch_start"); }
  void on_validation_epoch_end(Run&) override { note("on_validation_epoch_end"); }
  void on_validation_batch_start(const Batch&, Step&) override {
    note("on_validation_batch_start");
  }
  void on_validation_batch_end(const Batch&, Step&) override { note("on_validation_batch_end"); }
  void on_test_start(Run&) override { note("on_test_start"); }
  void on_test_end(Run&) override { note("on_test_end"); }
  void on_test_epoch_start(Run&) override { note("on_test_epoch_start"); }
  void on_test_epoch_end(Run&) override { note("on_test_epoch_end"); }
  void on_test_batch_start(const Batch&, Step&) override { note("on_test_batch_start"); }
  void on_test_batch_end(const Batch&, Step&) override { note("on_test_batch_end"); }
  void on_predict_start(Run&) override { note("on_predict_start"); }
  void on_predict_end(Run&) override { note("on_predict_end"); }
  void on_predict_epoch_start(Run&) override { note("on_predict_epoch_start"); }
  void on_predict_epoch_end(Run&) override { note("on_predict_epoch_end"); }
  void on_predict_batch_start(const Batch&, Step&) override { note("on_predict_batch_start"); }
  void on_predict_batch_end(const NamedTensors&, const Batch&, Step&) override {
    note("on_predict_batch_end");
  }
  void on_save_checkpoint(StateDict&, Run&) override { note("on_save_checkpoint"); }
  void on_load_checkpoint(const StateDict&, Run&) override { note("on_load_checkpoint"); }
  void on_exception(const std::exception&, Run&) override { note("on_exception"); }

 protected:
  void note(const std::string& hook) const { log_->push_back(name_ + "." + hook); }
  void note(const std::string& hook, Stage stage) const {
    note(hook + "(" + std::string(stage_name(stage)) + ")");
  }
  Log& log() const { return *log_; }

 private:
  std::string name_;
  Log* log_ = nullptr;
};

class RecordingModule : public Recording<test::Classifier> {
 public:
  explicit RecordingModule(Log& log) { record_as("module", log); }
  torch::Tensor training_step(const Batch& batch, Step& step) override {
    note("training_step");
    return Classifier::training_step(batch, step);
  }
  void validation_step(const Batch& batch, Step& step) override {
    note("validation_step");
    Classifier::validation_step(batch, step);
  }
  void test_step(const Batch& batch, Step& step) override {
    note("test_step");
    Classifier::test_step(batch, step);
  }
  NamedTensors predict_step(const Batch& batch, Step& step) override {
    note("predict_step");
    return Classifier::predict_step(batch, step);
  }
  Optimizers configure_optimizers() override {
    note("configure_optimizers");
    return {Adam(parameters(), {.learning_rate = 1e-2}),
            ExponentialLR({.gamma = 0.5}),
            {.interval = Interval::step}};
  }
  void backward(const torch::Tensor& loss) override {
    note("backward");
    Classifier::backward(loss);
  }
  void optimizer_step(Optimizer& optimizer, const Closure& closure) override {
    note("optimizer_step");
    Classifier::optimizer_step(optimizer, closure);
  }
  void configure_gradient_clipping(Optimizer& optimizer, Step& step) override {
    note("configure_gradient_clipping");
    Classifier::configure_gradient_clipping(optimizer, step);
  }
  void lr_scheduler_step(ScheduleStep& schedule) override {
    note("lr_scheduler_step");
    Classifier::lr_scheduler_step(schedule);
  }
  ModuleCallbacks configure_callbacks() override {
    note("configure_callbacks");
    return Classifier::configure_callbacks();
  }
  void on_before_batch_transfer(Batch&) override { note("on_before_batch_transfer"); }
  void on_after_batch_transfer(Batch&) override { note("on_after_batch_transfer"); }
};

/// 3 batches to train on, 1 for everything else.
class RecordingData : public test::PointsModule {
 public:
  explicit RecordingData(Log& log)
      : PointsModule(18, {.batch_size = 6}, /*val_rows=*/8), log_(log) {}
  void prepare_data() override { log_.push_back("data.prepare_data"); }
  void setup(Stage stage) override { note("setup", stage); }
  void teardown(Stage) override { before_teardown = log_.back(); }
  void on_before_batch_transfer(Batch&) override {
    log_.push_back("data.on_before_batch_transfer");
  }
  void on_after_batch_transfer(Batch&) override { log_.push_back("data.on_after_batch_transfer"); }
  StateDict state_dict() const override {
    log_.push_back("state_dict");
    return {};
  }
  void load_state_dict(const StateDict&) override { log_.push_back("load_state_dict"); }
  std::string before_teardown;

 private:
  void note(const std::string& hook, Stage stage) const {
    log_.push_back("data." + hook + "(" + std::string(stage_name(stage)) + ")");
  }
  Log& log_;
};

class RecordingCallback : public Recording<Callback> {
 public:
  RecordingCallback(std::string name, Order order, Log& log) : key_(name), order_(order) {
    record_as(std::move(name), log);
  }
  Order order() const override { return order_; }
  std::string state_key() const override { return key_; }
  StateDict state_dict() const override {
    log().push_back("state_dict");
    StateDict state;
    state.values["is"] = "here";
    return state;
  }
  void load_state_dict(const StateDict&) override { log().push_back("load_state_dict"); }
  void on_train_epoch_end(Run& run) override {
    Recording::on_train_epoch_end(run);
    if (order_ == Order::checkpoint) run.save("checkpoints/end.ckpt");
  }

 private:
  std::string key_;
  Order order_;
};

/// What is expected, built up from the same words as the documentation.
class Expected {
 public:
  Expected& just(std::initializer_list<const char*> calls) {
    log.insert(log.end(), calls.begin(), calls.end());
    return *this;
  }
  Expected& everybody(const std::string& hook) {
    for (const char* name : {"first", "second", "module", "monitor", "checkpoint"}) {
      log.push_back(name + ("." + hook));
    }
    return *this;
  }
  Expected& transfer() {
    return just({"data.on_before_batch_transfer", "module.on_before_batch_transfer",
                 "data.on_after_batch_transfer", "module.on_after_batch_transfer"});
  }
  Expected& begin(const std::string& stage) {
    just({"module.configure_callbacks", "data.prepare_data"});
    log.push_back("data.setup(" + stage + ")");
    return everybody("setup(" + stage + ")");
  }
  Expected& end(const std::string& stage) { return everybody("teardown(" + stage + ")"); }
  /// One pass over one batch.
  Expected& evaluation(const std::string& kind, const char* step) {
    everybody("on_" + kind + "_start").everybody("on_" + kind + "_epoch_start");
    transfer().everybody("on_" + kind + "_batch_start").just({step});
    everybody("on_" + kind + "_batch_end").everybody("on_" + kind + "_epoch_end");
    return everybody("on_" + kind + "_end");
  }
  Expected& validation() { return evaluation("validation", "module.validation_step"); }
  /// A training batch; windows are of two batches.
  Expected& train_batch(bool window_starts, bool window_ends) {
    transfer().everybody("on_train_batch_start");
    if (window_ends) just({"module.optimizer_step"});
    just({"module.training_step"});
    if (window_starts) everybody("on_before_zero_grad");
    everybody("on_before_backward").just({"module.backward"}).everybody("on_after_backward");
    if (window_ends) {
      everybody("on_before_optimizer_step");
      just({"module.configure_gradient_clipping", "module.lr_scheduler_step"});
    }
    return everybody("on_train_batch_end");
  }
  /// Three batches, the validation, the end of the epoch, and the checkpoint taken there.
  Expected& train_epoch() {
    everybody("on_train_epoch_start");
    train_batch(true, false).train_batch(false, true).train_batch(true, true);
    validation().everybody("on_train_epoch_end");
    return just({"state_dict", "state_dict", "state_dict", "state_dict", "state_dict"})
        .everybody("on_save_checkpoint");
  }
  Log log;
};

/// Line by line, so that a failure shows where the order first differs.
void expect_order(const Log& seen, const Log& expected) {
  for (size_t i = 0; i < std::min(seen.size(), expected.size()); ++i) {
    ASSERT_EQ(seen[i], expected[i]) << "call " << i << ", after " << (i > 0 ? seen[i - 1] : "");
  }
  EXPECT_EQ(seen.size(), expected.size());
}

class HookOrder : public testing::Test {
 protected:
  HookOrder() : module_(log_), data_(log_) {}

  /// A Trainer whose callbacks are added in another order than they are called in.
  Trainer trainer(int64_t max_epochs) {
    Trainer trainer({.accelerator = "cpu",
                     .max_epochs = max_epochs,
                     .num_sanity_val_steps = 1,
                     .accumulate_grad_batches = 2,
                     .default_root_dir = folder_.string()});
    using Order = Callback::Order;
    for (const auto& [name, order] :
         {std::pair("checkpoint", Order::checkpoint), std::pair("monitor", Order::monitor),
          std::pair("first", Order::normal), std::pair("second", Order::normal)}) {
      trainer.add(std::make_unique<RecordingCallback>(name, order, log_));
    }
    return trainer;
  }

  TemporaryFolder folder_;
  Log log_;
  RecordingModule module_;
  RecordingData data_;
};

// Row 33: callbacks that mix; each hook reaches callbacks, the module, monitors, checkpoints.
TEST_F(HookOrder, fit_calls_every_hook_in_the_documented_order) {
  trainer(1).fit(module_, data_);
  Expected expected;
  expected.begin("fit").just({"module.configure_optimizers"}).everybody("on_fit_start");
  expected.everybody("on_sanity_check_start").validation().everybody("on_sanity_check_end");
  expected.everybody("on_train_start").train_epoch().everybody("on_train_end");
  expected.everybody("on_fit_end").end("fit");
  expect_order(log_, expected.log);
}

TEST_F(HookOrder, resuming_loads_before_on_fit_start_and_checks_nothing_again) {
  trainer(1).fit(module_, data_);
  log_.clear();
  trainer(2).fit(module_, data_,
                 (folder_.path() / "levin_logs/version_0/checkpoints/end.ckpt").string());
  Expected expected;
  expected.begin("fit").just({"module.configure_optimizers"}).everybody("on_load_checkpoint");
  expected.just({"load_state_dict", "load_state_dict", "load_state_dict", "load_state_dict",
                 "load_state_dict"});
  expected.everybody("on_fit_start").everybody("on_train_start").train_epoch();
  expected.everybody("on_train_end").everybody("on_fit_end").end("fit");
  expect_order(log_, expected.log);
}

TEST_F(HookOrder, validate_calls_every_hook_in_the_documented_order) {
  trainer(1).validate(module_, data_);
  expect_order(log_, Expected().begin("validate").validation().end("validate").log);
}

TEST_F(HookOrder, test_calls_every_hook_in_the_documented_order) {
  trainer(1).test(module_, data_);
  expect_order(log_,
               Expected().begin("test").evaluation("test", "module.test_step").end("test").log);
}

TEST_F(HookOrder, predict_calls_every_hook_in_the_documented_order) {
  trainer(1).predict(module_, data_);
  expect_order(
      log_,
      Expected().begin("predict").evaluation("predict", "module.predict_step").end("predict").log);
}

TEST_F(HookOrder, an_evaluation_of_a_checkpoint_loads_it_before_its_first_hook) {
  trainer(1).fit(module_, data_);
  log_.clear();
  trainer(1).test(module_, data_,
                  (folder_.path() / "levin_logs/version_0/checkpoints/end.ckpt").string());
  expect_order(log_, Expected()
                         .begin("test")
                         .everybody("on_load_checkpoint")
                         .evaluation("test", "module.test_step")
                         .end("test")
                         .log);
}

// Lightning: setup and teardown both go to the data module, the callbacks, the module.
TEST_F(HookOrder, the_data_module_is_torn_down_before_everybody_else) {
  trainer(1).fit(module_, data_);
  EXPECT_EQ(data_.before_teardown, "checkpoint.on_fit_end");
  trainer(1).validate(module_, data_);
  EXPECT_EQ(data_.before_teardown, "checkpoint.on_validation_end");
}

TEST_F(HookOrder, an_exception_reaches_everybody_in_the_same_order) {
  class Failing : public RecordingModule {
   public:
    using RecordingModule::RecordingModule;
    torch::Tensor training_step(const Batch&, Step&) override {
      log().clear();
      throw std::runtime_error("no more");
    }
  } failing(log_);
  EXPECT_THROW(trainer(1).fit(failing, data_), std::runtime_error);
  expect_order(log_, Expected().everybody("on_exception").log);
}

}  // namespace levin::hook_order_test
