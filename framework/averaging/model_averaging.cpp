#include <levin/framework/averaging/model_averaging.h>

#include <levin/framework/averaging/diloco.h>
#include <levin/framework/averaging/local_sgd.h>
#include <levin/framework/core/error.h>

namespace levin {
namespace {

void require_positive(const char* setting, int64_t value) {
  if (value >= 1) return;
  throw ConfigError::invalid_value(setting, std::to_string(value), "must be at least 1");
}

}  // namespace

ModelAveraging::ModelAveraging(int64_t period, int64_t flags_every)
    : period_(period), flags_every_(flags_every) {
  require_positive("period", period);
  require_positive("flags_every", flags_every);
}

torch::Tensor ModelAveraging::next(const std::string& /*name*/, const torch::Tensor& /*last*/,
                                   const torch::Tensor& mean) {
  return mean;
}

const ModelAveragingList& shipped_model_averagings() {
  static const ModelAveragingList list = [] {
    ModelAveragingList rules("model_averaging");
    rules.add<LocalSgd>("local_sgd", "ranks train alone and average their weights at intervals");
    rules.add<PostLocalSgd>("post_local_sgd", "the same, after steps in which they sum gradients");
    rules.add<DiLoCo>("diloco", "an outer optimizer steps by what the ranks have changed (DiLoCo)");
    return rules;
  }();
  return list;
}

bool averages_models(const NamedSettings& averaging) {
  if (averaging.name == "none") {
    from_value({}, averaging.settings, "model_averaging: none");
    return false;
  }
  const auto& list = shipped_model_averagings();
  if (list.find(averaging.name) == nullptr) {
    std::vector<std::string> names{"none"};
    for (auto& name : list.names()) names.push_back(std::move(name));
    throw ConfigError::unknown_name("model_averaging", averaging.name, names);
  }
  list.make(averaging.name, averaging.settings);
  return true;
}

}  // namespace levin
