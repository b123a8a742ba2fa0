#include <levin/tuning/batched/stacked_models.h>

#include <algorithm>
#include <cstddef>
#include <typeinfo>
#include <utility>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/data/training_set.h>
#include <levin/framework/tensor/random.h>
#include <levin/models/linear_regression.h>
#include <levin/models/mlp.h>
#include <levin/tuning/batched/stackable.h>

// The part of StackedModels that makes the models and their stacks.

namespace levin {
namespace {

/// About how many parameters a part of the models has, so that handing it to a thread pays; and the
/// most parts.
constexpr size_t kNumbersOfStack = 20'000;
constexpr size_t kMostStacks = 8;

/// Puts the random generators into the same state again and again.
class SameDraws {
 public:
  SameDraws() : random_(random_state().clone()) {}
  void begin() const { load_random_state(random_); }

 private:
  StateDict random_;
};

/// The numbers of the models' seeds: 0 for those of the first one, and so on. Empty if there is
/// only one.
std::vector<size_t> numbers_of_seeds(const std::vector<uint64_t>& seeds) {
  std::vector<size_t> numbers;
  for (size_t k = 0; k < seeds.size(); ++k) {
    const bool is_new = k > 0 && seeds[k] != seeds[k - 1];
    numbers.push_back(k == 0 ? 0 : numbers.back() + (is_new ? 1 : 0));
  }
  if (!numbers.empty() && numbers.back() == 0) numbers.clear();
  return numbers;
}

}  // namespace

StackedModels::StackedModels(const std::vector<Maker>& makers, const OptimizerList& optimizers,
                             const std::vector<uint64_t>& seeds)
    : optimizers_(optimizers), seeds_(numbers_of_seeds(seeds)) {
  make_models(makers, seeds);
  is_stopped_.resize(models_.size());
  for (size_t k = 0; k < models_.size(); ++k) {
    register_module(std::to_string(k), models_[k]);
    const auto name = [k](const char* metric) { return fmt::format("{}/{}", metric, k); };
    names_.push_back({name("train_loss"), name("train_penalty"), name("val_loss"), name("val_acc"),
                      name("test_loss"), name("test_acc")});
  }
  make_metrics();
}

/// Makes the models, each from the state of the random generators that it would find alone.
void StackedModels::make_models(const std::vector<Maker>& makers,
                                const std::vector<uint64_t>& seeds) {
  std::vector<const Module*> made;
  const SameDraws draws;
  for (size_t k = 0; k < makers.size(); ++k) {
    seeds.empty() ? draws.begin() : seed_everything(seeds[k]);
    const std::shared_ptr<Module> module = makers[k]();
    models_.push_back(std::dynamic_pointer_cast<SupervisedModel>(module));
    made.push_back(module.get());
    if (models_.back() == nullptr) require_stackable(made);  // throws
    if (!seeds_.empty()) random_.push_back(random_state().clone());
  }
  require_stackable(made);
  if (!seeds.empty()) seed_everything(seeds.front());
}

void StackedModels::prepare(const TrainingSet& train) {
  if (train.row_shape("weight")) {
    throw ConfigError::conflict("models can't be trained together: the rows have weights",
                                "train them one after the other");
  }
  const SameDraws draws;
  for (size_t k = 0; k < models_.size(); ++k) {
    seeds_.empty() ? draws.begin() : load_random_state(random_[k]);
    models_[k]->prepare(train);
  }
  if (!seeds_.empty()) draws.begin();
}

/// Finds out which loss the models have, once they have their layers.
void StackedModels::set_loss() {
  const SupervisedModel& first = *models_.front();
  if (typeid(first) == typeid(LinearRegression)) {
    loss_kind_ = StackedLoss::squared;
  } else if (typeid(first) == typeid(MLP)) {
    activation_ = &find_activation(first.hyper_parameters().at("activation").as_string());
  } else if (first.parameters().front().size(0) == 1) {
    loss_kind_ = StackedLoss::logistic;
  }
}

void StackedModels::require_fitting_parameters() const {
  if (parameters_.front().empty()) {
    throw ModuleError::contract("StackedModels", "the models have no weights yet",
                                "let fit find their sizes, or give them");
  }
  const auto& weight = parameters_.front().front();
  const auto type = weight.scalar_type();
  if (weight.is_cpu() && (type == at::kFloat || type == at::kDouble)) return;
  throw ConfigError::conflict(
      fmt::format("models can't be trained together in {} on {}", c10::toString(type),
                  weight.device().str()),
      "set accelerator to cpu and precision to 32-true or 64-true, or train them one after the "
      "other");
}

/// Makes the stacks, unless they are there.
void StackedModels::stack() {
  const auto holds = [this](const Part& part) {
    return part.layers.holds(parameters_[part.first], parameters_[part.end - 1]);
  };
  if (!parts_.empty() && std::all_of(parts_.begin(), parts_.end(), holds)) return;
  parts_.clear();
  parameters_.clear();
  for (const auto& model : models_) parameters_.push_back(model->parameters());
  require_fitting_parameters();
  set_loss();
  int64_t numbers = 0;
  for (const auto& parameter : parameters_.front()) numbers += parameter.numel();
  for (const auto& parameter : parameters_.front()) {
    if (parameter.dim() == 2) outputs_ = parameter.size(0);
  }
  const auto seed_of = [this](size_t model) { return seeds_.empty() ? 0 : seeds_[model]; };
  for (size_t first = 0, end = 0; first < models_.size(); first = end) {
    while (end < models_.size() && seed_of(end) == seed_of(first)) ++end;
    add_parts(first, end, seed_of(first), static_cast<size_t>(numbers));
  }
}

/// Adds the parts of the models from `first` on, which have the same seed and `numbers` parameters
/// each.
void StackedModels::add_parts(size_t first, size_t end, size_t seed, size_t numbers) {
  const size_t count = end - first;
  const size_t parts =
      std::clamp<size_t>(count * numbers / kNumbersOfStack, 1, std::min(kMostStacks, count));
  for (size_t part = 0; part < parts; ++part) {
    const size_t own_first = first + count * part / parts;
    const size_t own_end = first + count * (part + 1) / parts;
    const auto begin = parameters_.begin();
    parts_.push_back({own_first, own_end, seed,
                      StackedLayers({begin + static_cast<std::ptrdiff_t>(own_first),
                                     begin + static_cast<std::ptrdiff_t>(own_end)},
                                    activation_)});
  }
}

}  // namespace levin
