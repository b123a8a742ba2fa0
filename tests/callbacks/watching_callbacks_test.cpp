#include <levin/callbacks/device_stats_monitor.h>
#include <levin/callbacks/parameter_histograms.h>
#include <levin/callbacks/slow_step_detector.h>
#include <levin/callbacks/spike_detection.h>
#include <levin/callbacks/throughput_monitor.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>

#include <nlohmann/json.hpp>

#include "callbacks/counter.h"

namespace levin::test::watching_callbacks_test {

/// Returns these losses, one after another.
class Scripted : public Counter {
 public:
  explicit Scripted(std::vector<double> losses) : losses_(std::move(losses)) {}
  torch::Tensor training_step(const Batch&, Step&) override {
    return 0.0 * weight.sum() + losses_.at(next_++);
  }

 private:
  std::vector<double> losses_;
  size_t next_ = 0;
};

/// Fits for one epoch of 8 batches; returns the reason for its end, and the spikes that the file
/// has.
std::pair<std::string, nlohmann::json> spikes_of(std::vector<double> losses,
                                                 SpikeDetectionOptions options) {
  TemporaryFolder folder;
  Scripted model(std::move(losses));
  SmallData data(16);
  Trainer trainer(short_fit(folder, 1));
  trainer.add<SpikeDetection>(std::move(options));
  const auto history = trainer.fit(model, data);
  const auto path = trainer.run().log_dir() / "spikes.json";
  return {history.stop_reason, fs::exists(path) ? nlohmann::json::parse(files::read_text(path))
                                                : nlohmann::json::array()};
}

TEST(SpikeDetection, StopsAtALossFarFromTheMeanAndKeepsItsRows) {
  const auto [reason, spikes] = spikes_of({1, 1, 1, 9, 1, 1, 1, 1}, {});
  EXPECT_EQ(reason,
            "spike detection: the loss of batch 3 in epoch 0 is 9, but the mean of the batches "
            "before it is 1");
  ASSERT_EQ(spikes.size(), 1U);
  EXPECT_EQ(spikes[0].at("rows"), (std::vector<int64_t>{6, 7}));
  EXPECT_EQ(spikes[0].at("loss"), 9.0);
}

TEST(SpikeDetection, GoesOnIfItShallWarnOnlyAndLeavesSpikesOutOfTheMean) {
  const auto [reason, spikes] = spikes_of({1, 1, 9, 1, 9, 1, 1, 1}, {.action = "warn"});
  EXPECT_NE(reason.find("max_epochs"), std::string::npos) << reason;
  ASSERT_EQ(spikes.size(), 2U);
  EXPECT_EQ(spikes[1].at("mean"), 1.0);
}

TEST(SpikeDetection, WhatASpikeIsFollowsFromTheOptions) {
  const auto count = [](std::vector<double> losses, SpikeDetectionOptions options) {
    options.action = "warn";
    return spikes_of(std::move(losses), std::move(options)).second.size();
  };
  const std::vector<double> rises{1, 1, 1, 2, 1, 1, 1, 1};
  EXPECT_EQ(count(rises, {}), 0U) << "twice the mean away is allowed";
  EXPECT_EQ(count(rises, {.rtol = 0.5}), 1U);
  EXPECT_EQ(count(rises, {.atol = 2.0, .rtol = 0.5}), 0U);
  EXPECT_EQ(count(rises, {.warmup = 4, .rtol = 0.5}), 0U);
  EXPECT_EQ(count({9, 9, 9, 1, 9, 9, 9, 9}, {.rtol = 0.5}), 0U) << "a smaller loss is better";
  EXPECT_EQ(count({9, 9, 9, 1, 9, 9, 9, 9}, {.mode = "max", .rtol = 0.5}), 1U);
  EXPECT_EQ(count({1, 1, NAN, 1, 1, 1, 1, 1}, {}), 1U);
  EXPECT_EQ(count({1, 1, NAN, 1, 1, 1, 1, 1}, {.finite_only = false}), 0U);
  EXPECT_THROW(SpikeDetection({.mode = "up"}), ConfigError);
  EXPECT_THROW(SpikeDetection({.window = 0}), ConfigError);
  EXPECT_THROW(SpikeDetection({.action = "explode"}), ConfigError);
}

/// A clock that stands still unless it is set.
class Clock {
 public:
  Clock() {
    files::inject_clock([this] { return now; });
  }
  ~Clock() { files::inject_clock({}); }
  double now = 1000.0;
};

TEST(ThroughputMonitor, LogsBatchesAndRowsASecondWithoutValidations) {
  TemporaryFolder folder;
  Counter model;
  SmallData data;  // 4 batches of 2 rows
  Trainer trainer(short_fit(folder, 2));
  Clock clock;
  trainer.add<ThroughputMonitor>({.window_size = 3});
  auto& kept = trainer.add_logger<Kept>();
  trainer.add<LambdaCallback>(
      {.on_train_batch_start = [&](const Batch&,
                                   Step& step) { clock.now += step.epoch() == 0 ? 0.5 : 0.25; },
       .on_validation_batch_start = [&](const Batch&, Step&) { clock.now += 100.0; }});
  trainer.fit(model, data);
  EXPECT_EQ(kept.values.at("batches_per_sec").size(), 7U) << "none for the first batch";
  EXPECT_DOUBLE_EQ(kept.values.at("batches_per_sec").front(), 2.0);
  EXPECT_DOUBLE_EQ(kept.values.at("batches_per_sec").back(), 4.0) << "the window has moved on";
  EXPECT_DOUBLE_EQ(kept.values.at("samples_per_sec").back(), 8.0);
  EXPECT_THROW(ThroughputMonitor({.window_size = 1}), ConfigError);
}

TEST(ThroughputMonitor, LogsItemsAndOperationsASecondWhereAsked) {
  TemporaryFolder folder;
  Classifier model;  // 4 features, 16 hidden, 3 classes
  PointsModule data(32, {.batch_size = 8});
  Clock clock;
  const auto values_of = [&](Module& module, ThroughputMonitorOptions options) {
    Trainer trainer(short_fit(folder, 1));
    auto& monitor = trainer.add<ThroughputMonitor>(options);
    monitor.set_length_fn([](const Batch& batch) { return batch.input().numel(); });
    auto& kept = trainer.add_logger<Kept>();
    trainer.add<LambdaCallback>(
        {.on_train_batch_start = [&](const Batch&, Step&) { clock.now += 0.5; }});
    trainer.fit(module, data);
    return kept.values;
  };
  auto values = values_of(model, {.flops = true});
  EXPECT_EQ(values.at("items_per_sec"), (std::vector<double>{64.0, 64.0, 64.0}));
  // A product of each layer forward, one for its weights and, but for the first, one for its input.
  const double batch = 2.0 * (8 * 4 * 16) * 2.0 + 2.0 * (8 * 16 * 3) * 3.0;
  EXPECT_EQ(values.at("flops_per_sec"), std::vector<double>(3, 2.0 * batch));
  EXPECT_EQ(values_of(model, {}).count("flops_per_sec"), 0U);
  Counter none;
  testing::internal::CaptureStderr();
  EXPECT_EQ(values_of(none, {.flops = true}).count("flops_per_sec"), 0U);
  EXPECT_NE(testing::internal::GetCapturedStderr().find("set flops_per_batch"), std::string::npos);
  EXPECT_EQ(values_of(none, {.flops_per_batch = 100.0}).at("flops_per_sec").front(), 200.0);
  EXPECT_FALSE(ThroughputMonitor().used_hooks(HookSet::all()).has(BatchHook::train_batch_start))
      << "counting costs nothing unless asked for";
}

TEST(SlowStepDetector, NamesTheBatchAndWhetherItWaitedForData) {
  TemporaryFolder folder;
  Counter model;
  SmallData data(24, /*with_validation=*/false);  // 12 batches
  Trainer trainer(short_fit(folder, 1));
  Clock clock;
  const auto& detector = trainer.add<SlowStepDetector>({.factor = 3.0, .window = 4, .most = 1});
  trainer.add<LambdaCallback>(
      {.on_before_backward = [&](const torch::Tensor&,
                                 Step& step) { clock.now += step.batch_index() == 6 ? 4.0 : 0.5; },
       .on_train_batch_end =
           [&](const torch::Tensor&, const Batch&, Step& step) {
             if (step.batch_index() == 8) clock.now += 2.0;
           }});
  testing::internal::CaptureStderr();
  trainer.fit(model, data);
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_EQ(detector.slow(), 2);
  EXPECT_NE(text.find("slow step: batch 6 of epoch 0 took 4 s, 8 times the usual 0.5 s; 0 s of it"),
            std::string::npos)
      << text;
  EXPECT_EQ(text.find("slow step: batch 9"), std::string::npos) << "only one shall be named";
  EXPECT_NE(text.find("2 batches of this fit were slow, of which 1 were named"), std::string::npos)
      << text;
  EXPECT_THROW(SlowStepDetector({.factor = 1.0}), ConfigError);
}

TEST(DeviceStatsMonitor, LogsWhatTheProcessTakes) {
  TemporaryFolder folder;
  Counter model;
  SmallData data;
  Trainer trainer(short_fit(folder, 1));
  trainer.add<DeviceStatsMonitor>({.every_n_steps = 2});
  auto& kept = trainer.add_logger<Kept>();
  trainer.fit(model, data);
  const auto& memory = kept.values.at("cpu/process_mib");
  ASSERT_EQ(memory.size(), 4U);
  EXPECT_GT(memory.front(), 10.0);
  EXPECT_EQ(memory[0], memory[1]) << "it is read every second step";
  EXPECT_GE(kept.values.at("cpu/percent").front(), 0.0);
  EXPECT_THROW(DeviceStatsMonitor({.every_n_steps = 0}), ConfigError);
}

TEST(ParameterHistograms, HandsWeightsAndGradientsToTheLoggers) {
  TemporaryFolder folder;
  Counter model;
  SmallData data;
  Trainer trainer(short_fit(folder, 1));
  trainer.add<ParameterHistograms>({.every_n_steps = 2});
  auto& kept = trainer.add_logger<Kept>();
  trainer.fit(model, data);
  EXPECT_EQ(kept.histograms, (std::vector<std::string>{"0 weights/weight", "0 gradients/weight",
                                                       "2 weights/weight", "2 gradients/weight"}));
  EXPECT_EQ(kept.sizes.front(), 1);
}

TEST(ParameterHistograms, LogsOnlyWhatIsAskedForAndNothingWithoutLoggers) {
  TemporaryFolder folder;
  Counter model;
  SmallData data;
  Trainer trainer(short_fit(folder, 1));
  trainer.add<ParameterHistograms>({.every_n_steps = 4, .gradients = false});
  trainer.fit(model, data);
  auto& kept = trainer.add_logger<Kept>();
  trainer.fit(model, data);
  EXPECT_EQ(kept.histograms, std::vector<std::string>{"0 weights/weight"});
  EXPECT_TRUE(trainer.run().loggers().size() == 1);
  trainer.predict(model, data);
  EXPECT_TRUE(trainer.run().loggers().empty()) << "predict starts no loggers";
}

}  // namespace levin::test::watching_callbacks_test
