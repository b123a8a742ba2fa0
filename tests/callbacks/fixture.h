#pragma once

#include <gtest/gtest.h>
#include <levin/framework/run/callback.h>
#include <levin/framework/run/run_control.h>
#include <torch/torch.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "framework/support.h"

namespace levin::test {

namespace fs = std::filesystem;

inline void write(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

/// Names of the files in a folder.
inline std::set<std::string> files_in(const fs::path& folder) {
  std::set<std::string> names;
  if (!fs::exists(folder)) return names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    names.insert(entry.path().filename().string());
  }
  return names;
}

/// A file that what is written to can be read back from.
class Capture {
 public:
  Capture() : file_(std::tmpfile()) {}
  ~Capture() { std::fclose(file_); }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;
  std::FILE* file() const { return file_; }
  std::string text() const {
    std::fflush(file_);
    std::string result(static_cast<size_t>(std::ftell(file_)), '\0');
    std::rewind(file_);
    const size_t got = std::fread(result.data(), 1, result.size(), file_);
    EXPECT_EQ(got, result.size());
    return result;
  }

 private:
  std::FILE* file_;
};

/// One weight that starts at 0; whoever wants training to do something sets it.
class OneWeight : public Module {
 public:
  OneWeight() : weight(register_parameter("weight", torch::zeros({1}))) {}
  void set_weight(double value) {
    const torch::NoGradGuard no_grad;
    weight.fill_(value);
  }
  double value() const { return weight.item<double>(); }
  torch::Tensor weight;
};

/// Rank 1 of two, of which nobody asks anything.
class OtherRank : public Ranks {
 public:
  int64_t rank() const override { return 1; }
  int64_t size() const override { return 2; }
  std::string from_rank_zero(const std::string&,
                             const std::function<std::string()>& make) override {
    return make();
  }
  bool any(bool raised) override { return raised; }
  std::vector<std::string> gather(const std::string& own) override { return {own, own}; }
  void barrier() override {}
};

/// Plays the loop for a callback without training anything: moves the progress on, sets metrics,
/// calls hooks, and takes the requests as the loop does at a boundary (a save writes a small file).
class FakeLoop {
 public:
  FakeLoop() {
    run.set_module(&module);
    run.set_log_dir(folder.path() / "run");
    run.progress().stage = Stage::fit;
    run.progress().num_batches = 4;
    run.progress().max_epochs = 10;
  }

  /// One validation that logs these.
  void validate(Callback& callback, const MetricMap& metrics) {
    callback.on_validation_start(run);
    take(metrics);
    callback.on_validation_end(run);
  }
  /// One optimizer step in which training logs these.
  void step(Callback& callback, const MetricMap& metrics = {}) {
    LoggedValues unused;
    StepControl control(run, unused, true);
    control.begin(run.progress().batch++, 0);
    ++run.progress().global_step;
    take(metrics);
    callback.on_train_batch_end(torch::Tensor(), Batch(), control);
  }
  /// The end of an epoch in which training logs these; true where it would be the last one.
  bool end_epoch(Callback& callback, const MetricMap& metrics = {}) {
    take(metrics);
    callback.on_train_epoch_end(run);
    ++run.progress().epoch;
    run.progress().batch = 0;
    return boundary();
  }
  /// What the loop does between steps; returns whether a stop was asked for.
  bool boundary() {
    const Requests requests = std::exchange(run.requests(), {});
    for (const auto& save : requests.saves) {
      write(save.path, "step " + std::to_string(run.global_step()));
      for (const auto& old : save.options.replaces) fs::remove(old);
      saves.push_back(save);
    }
    if (requests.weights) module.load_state_dict(*requests.weights);
    std::erase_if(held_, [](const Requests::Stop& stop) { return stop.reason().empty(); });
    held_.insert(held_.end(), requests.stops.begin(), requests.stops.end());
    if (held_.empty() || !run.progress().minima_are_met()) return false;
    stop_reason = std::exchange(held_, {}).front().reason();
    return true;
  }

  TemporaryFolder folder;
  OneWeight module;
  RunControl run;
  std::vector<Requests::Save> saves;
  std::string stop_reason;

 private:
  std::vector<Requests::Stop> held_;
  void take(const MetricMap& metrics) { run.take_metrics(metrics); }
};

/// Rows that don't matter, for tests that only need something to go through.
class SmallData : public DataModule {
 public:
  explicit SmallData(int64_t rows = 8, bool with_validation = true)
      : rows_(rows), with_validation_(with_validation) {}
  DataLoaders train_dataloader() override { return loader(); }
  DataLoaders val_dataloader() override { return with_validation_ ? loader() : DataLoaders{}; }
  DataLoaders test_dataloader() override { return loader(); }
  DataLoaders predict_dataloader() override { return loader(); }

 private:
  DataLoaders loader() const {
    auto data = std::make_shared<TensorDataset>(
        torch::arange(rows_).to(torch::kFloat).view({-1, 1}), torch::ones({rows_, 1}));
    return DataLoader(std::move(data), {.batch_size = 2});
  }
  int64_t rows_;
  bool with_validation_;
};

}  // namespace levin::test
