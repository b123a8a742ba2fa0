#pragma once

#include <filesystem>

#include <levin/datamodules/array.h>
#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/models/linear_regression.h>

#include "framework/support.h"
#include "framework/temporary_folder.h"

namespace levin::test {

/// Checkpoints of linear regressions that predict `factor` (a + b + 1) for the row (a, b).
class LinearCheckpoints {
 public:
  LinearCheckpoints() {
    const TemporaryFolder folder;
    LinearRegression model({.in_features = 2});
    ArrayDataModule data(torch::ones({4, 2}), torch::ones({4}),
                         {.val_split = 0.0, .test_split = 0.0, .target_type = "value"});
    Trainer trainer({.accelerator = "cpu", .max_epochs = 1, .default_root_dir = folder.string()});
    trainer.fit(model, data);
    trainer.save_checkpoint(folder / "trained.ckpt");
    state_ = load_checkpoint(folder / "trained.ckpt");
  }

  void save(const std::filesystem::path& path, double factor) const {
    auto state = state_;
    for (auto& [name, tensor] : state.tensors) {
      if (name.starts_with("model.")) tensor = torch::full_like(tensor, factor);
    }
    save_checkpoint(path, state);
  }

 private:
  StateDict state_;
};

}  // namespace levin::test
