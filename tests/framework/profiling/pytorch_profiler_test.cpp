#include <levin/framework/profiling/pytorch_profiler.h>

#include "framework/support.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/profiling/nvtx_profiler.h>
#include <levin/framework/profiling/profilers.h>

namespace levin::pytorch_profiler_test {

using nlohmann::json;
using test::TemporaryFolder;

/// Fits for an epoch of 6 batches; returns the profiler's operations, and its trace if there is
/// one.
std::pair<std::vector<OperationTime>, json> record(const PytorchProfilerOptions& options,
                                                   bool fails = false) {
  class Fails : public test::Classifier {
   public:
    void on_train_epoch_end(Run&) override { throw std::runtime_error("as planned"); }
  };
  TemporaryFolder folder;
  test::PointsModule data(48, {.batch_size = 8}, 8);
  test::Classifier model;
  Fails failing;
  TrainerOptions trainer_options;
  trainer_options.accelerator = "cpu";
  trainer_options.max_epochs = 1;
  trainer_options.limit_val_batches = 0;
  trainer_options.log_every_n_steps = 0;
  trainer_options.default_root_dir = folder.string();
  Trainer trainer(trainer_options);
  auto owned = std::make_unique<PytorchProfiler>(options, nullptr);
  const PytorchProfiler& profiler = *owned;
  trainer.set_profiler(std::move(owned));
  try {
    trainer.fit(fails ? failing : model, data);
  } catch (const std::runtime_error&) {
  }
  const auto path = trainer.run().log_dir() / "pytorch_trace.json";
  json trace;
  if (files::exists(path)) trace = json::parse(files::read_text(path));
  return {profiler.operations(), trace};
}

int64_t calls_of(const std::vector<OperationTime>& operations, const std::string& name) {
  for (const auto& one : operations) {
    if (one.name == name) return one.calls;
  }
  return 0;
}

TEST(PytorchProfiler, records_the_operations_of_the_batches_that_it_shall) {
  const auto [operations, trace] = record({.skip_batches = 2, .batches = 3});
  EXPECT_EQ(calls_of(operations, "forward"), 3);
  EXPECT_EQ(calls_of(operations, "aten::addmm"), 2 * 3) << "two layers in three batches";
  EXPECT_GT(operations.front().seconds, 0.0);
  EXPECT_GE(operations.front().seconds, operations.back().seconds) << "the longest come first";
  int64_t forwards = 0;
  for (const json& event : trace.at("traceEvents")) {
    if (event.value("name", "") == "forward" && event.value("ph", "") == "X") ++forwards;
  }
  EXPECT_EQ(forwards, 3);
}

TEST(PytorchProfiler, records_to_the_end_of_a_run_that_is_shorter) {
  EXPECT_EQ(calls_of(record({.skip_batches = 4, .batches = 50}).first, "forward"), 2);
}

TEST(PytorchProfiler, leaves_no_trace_of_a_run_that_fails_or_ends_before) {
  EXPECT_TRUE(record({.skip_batches = 1}, /*fails=*/true).second.is_null());
  EXPECT_TRUE(record({.skip_batches = 50}).second.is_null());
}

TEST(PytorchProfiler, refuses_numbers_of_batches_that_cannot_be) {
  EXPECT_THROW(PytorchProfiler({.skip_batches = -1}), ConfigError);
  EXPECT_THROW(PytorchProfiler({.batches = 0}), ConfigError);
}

TEST(NvtxProfiler, measures_as_the_simple_one_or_is_refused_by_name) {
  if (!NvtxProfiler::is_available()) {
    EXPECT_THROW(make_profiler("nvtx"), ConfigError);
    return;
  }
  const auto profiler = make_profiler("nvtx");
  profiler->begin_run(Stage::fit);
  {
    const ProfilePart optimizer(profiler.get(), Part::optimizer);
    const ProfilePart forward(profiler.get(), Part::forward);
  }
  profiler->end_run(false);
  EXPECT_EQ(profiler->profile().row(Part::forward).calls, 1);
}

TEST(Profilers, are_made_by_their_names) {
  for (const auto& name : profiler_names()) {
    if (name == "nvtx" && !NvtxProfiler::is_available()) continue;
    EXPECT_NE(make_profiler(name), nullptr) << name;
    EXPECT_NO_THROW(validate(TrainerOptions{.profiler = name}));
  }
  EXPECT_THROW(make_profiler("advanced"), ConfigError);
  EXPECT_THROW(Trainer({.profiler = "advanced"}), ConfigError);
}

}  // namespace levin::pytorch_profiler_test
