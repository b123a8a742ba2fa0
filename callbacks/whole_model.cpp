#include <levin/callbacks/whole_model.h>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/run/run.h>

namespace levin {

void require_whole_model(std::string_view who, std::string_view why, const Run& run) {
  const int64_t ranks = run.place().model_size;
  if (ranks == 1) return;
  throw ConfigError::conflict(
      fmt::format("{} with a model that is divided among {} ranks: {}", who, ranks, why),
      "leave the callback out, or train with pipeline_size = 1 and tensor_size = 1");
}

}  // namespace levin
