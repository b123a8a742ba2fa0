#pragma once

#include <cstdint>
#include <cstdlib>
#include <string>

#include <ATen/Parallel.h>

#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/core/value.h>
#include <levin/framework/run/trainer_options.h>
#include <levin/framework/tensor/random.h>

namespace levin::test {

/// What a process that RanksTest has started as a rank begins with: one thread, a seed, and the
/// Trainer's options in `settings`, on the CPU.
inline TrainerOptions begin_as_rank(const Value& settings, int64_t max_epochs) {
  at::set_num_threads(1);
  seed_everything(7);
  TrainerOptions options;
  from_value(describe(options), settings.at("trainer"), "trainer");
  options.accelerator = "cpu";
  options.max_epochs = max_epochs;
  options.default_root_dir = settings.at("out").as_string();
  return options;
}

/// Leaves what the rank has found where RanksTest looks for it.
inline void leave_result(const Value& settings, const StateDict& result) {
  const char* rank = std::getenv("RANK");
  save_checkpoint(
      settings.at("out").as_string() + "/rank-" + (rank == nullptr ? "0" : rank) + ".ckpt", result);
}

}  // namespace levin::test
