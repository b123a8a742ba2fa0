#include <levin/datamodules/batch_transforms.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include <c10/core/GradMode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <levin/framework/core/error.h>
#include <levin/framework/threads/one_thread.h>

namespace levin {
namespace {

constexpr const char* kTransforms = "transforms";
// Mixed into the seed, so that steps don't use the same random numbers as each other or as orders.
constexpr uint64_t kStepSalt = 0x9d8f3a51c2b74e60;

/// Applies the first `count` steps.
template <class Steps>
void apply_steps(const Steps& steps, size_t count, Batch& batch, const TransformContext& context) {
  for (size_t i = 0; i < count; ++i) {
    TransformContext own = context;
    own.seed ^= kStepSalt * (i + 1);
    steps[i]->apply(batch, own);
  }
}

/// Whether the step at `i` has statistics, whatever they are.
bool has_statistics(const Transform& step) {
  return step.needs_statistics() || !step.statistics().is_null();
}

}  // namespace

BatchTransforms::Steps BatchTransforms::made(const std::vector<NamedSettings>& list) {
  Steps steps;
  if (list.empty()) return steps;
  const TransformList known = known_transforms();
  for (const auto& [name, settings] : list) steps.push_back(known.make(name, settings));
  return steps;
}

BatchTransforms::BatchTransforms(std::vector<NamedSettings> list)
    : list_(std::move(list)), steps_(made(list_)) {}

bool BatchTransforms::needs_statistics() const {
  return std::any_of(steps_.begin(), steps_.end(),
                     [](const auto& step) { return step->needs_statistics(); });
}

void BatchTransforms::learn(const Dataset& training) {
  const OneThread one_thread;
  const at::NoGradGuard no_grad;
  const int64_t size = training.size().value();
  constexpr int64_t kRows = 1024;
  Batch batch;
  for (size_t place = 0; place < steps_.size(); ++place) {
    if (!steps_[place]->needs_statistics()) continue;
    for (int64_t first = 0; first < size; first += kRows) {
      std::vector<int64_t> rows(static_cast<size_t>(std::min(kRows, size - first)));
      std::iota(rows.begin(), rows.end(), first);
      training.get_batch(rows, batch);
      apply_steps(steps_, place, batch, {.positions = rows, .augment = false});
      steps_[place]->learn(batch);
      batch = Batch();
    }
    steps_[place]->end_learning();
  }
}

BatchTransform BatchTransforms::transform() const {
  if (steps_.empty()) return {};
  return [steps = steps_](Batch& batch, const TransformContext& context) {
    apply_steps(steps, steps.size(), batch, context);
  };
}

void BatchTransforms::save(StateDict& state) const {
  Value::Array saved;
  for (size_t i = 0; i < steps_.size(); ++i) {
    if (!has_statistics(*steps_[i])) continue;
    if (steps_[i]->needs_statistics()) return;  // they aren't known yet
    saved.push_back(
        Value::Object{{"name", list_[i].name}, {"statistics", steps_[i]->statistics()}});
  }
  if (!saved.empty()) state.values[kTransforms] = std::move(saved);
}

void BatchTransforms::load(const StateDict& state) {
  const auto saved =
      state.values.contains(kTransforms) ? state.values.at(kTransforms).as_array() : Value::Array{};
  Steps steps = made(list_);
  std::vector<std::string> here;
  std::vector<std::string> trained;
  std::vector<Transform*> with_statistics;
  for (size_t i = 0; i < steps.size(); ++i) {
    if (!has_statistics(*steps[i])) continue;
    here.push_back(list_[i].name);
    with_statistics.push_back(steps[i].get());
  }
  for (const auto& one : saved) trained.push_back(one.at("name").as_string());
  if (here != trained) {
    const auto text = [](const std::vector<std::string>& names) {
      return names.empty() ? std::string("none") : fmt::format("{}", fmt::join(names, ", "));
    };
    throw ConfigError::conflict(
        fmt::format(
            "the model was trained with these transforms that have statistics: {}, but here "
            "there are: {}",
            text(trained), text(here)),
        "set the same list of transforms, so that inputs have the same meaning");
  }
  for (size_t i = 0; i < saved.size(); ++i) {
    with_statistics[i]->set_statistics(saved[i].at("statistics"));
  }
  steps_ = std::move(steps);
}

}  // namespace levin
