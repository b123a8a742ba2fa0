#pragma once

#include <cstdint>
#include <memory>

#include <torch/torch.h>

#include <levin/framework/core/value.h>
#include <levin/framework/data/datamodule.h>
#include <levin/framework/data/dataset.h>

// What the tests of pipelines train on.

namespace levin::test {

/// 29 rows in batches of 8 on all ranks together, of which the last has 5.
class PipelineRows final : public levin::DataModule {
 public:
  explicit PipelineRows(int64_t replicas = 1) : batch_size_(8 / replicas) {}
  levin::DataLoaders train_dataloader() override { return loader(29, true); }
  levin::DataLoaders val_dataloader() override { return loader(13, false); }
  levin::DataLoaders test_dataloader() override { return loader(13, false); }
  levin::DataLoaders predict_dataloader() override { return loader(13, false); }

 private:
  levin::DataLoader loader(int64_t rows, bool shuffle) const {
    const auto generator = at::detail::createCPUGenerator(static_cast<uint64_t>(rows));
    const auto x = torch::randn({rows, 3}, generator, torch::kDouble);
    const auto y = (x.sum(1) > 0.0).to(torch::kLong);
    return {std::make_shared<levin::TensorDataset>(x, y),
            {.batch_size = batch_size_, .shuffle = shuffle}};
  }

  int64_t batch_size_;
};

/// The number of pipelines that `settings` ask for.
inline int64_t replicas_in(const Value& settings) {
  return settings.contains("replicas") ? settings.at("replicas").as_int() : 1;
}

/// Settings of a run with `replicas` pipelines of `ranks` ranks each.
inline Value pipeline_of(int64_t ranks, const char* schedule, int64_t micro_batches,
                         int64_t epochs = 2, int64_t replicas = 1) {
  Value settings = Value::Object{{"epochs", epochs}, {"replicas", replicas}};
  settings["trainer"]["pipeline_size"] = ranks;
  settings["trainer"]["pipeline_schedule"] = schedule;
  settings["trainer"]["micro_batches"] = micro_batches;
  settings["trainer"]["gradient_clip_val"] = 0.5;
  settings["trainer"]["accumulate_grad_batches"] = 2;
  return settings;
}

}  // namespace levin::test
