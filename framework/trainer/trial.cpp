#include <levin/framework/trainer/trial.h>

#include <fmt/format.h>

#include <levin/framework/core/error.h>

namespace levin {

void refuse_shared_models(const TrainerOptions& options, const char* search) {
  const auto check = [search](const char* option, int64_t size) {
    if (size == 1) return;
    throw ConfigError::conflict(
        fmt::format("{} with {} = {}", search, option, size),
        fmt::format("each rank would put back its own weights only: set the learning rate and the "
                    "batch size, or search for them with {} = 1",
                    option));
  };
  check("pipeline_size", options.pipeline_size);
  check("tensor_size", options.tensor_size);
}

}  // namespace levin
